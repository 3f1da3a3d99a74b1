//! How fast Azure takes writes to managed identities.
//!
//! `Turns` is pure: what was sent, and now, to the wait. `Pacer` waits.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How many identities are worked on at once. At 4 s between two writes of one, 8 fill the 2 writes a second of a
/// subscription if Azure takes no time; more keep it filled while Azure takes some, and to the end.
pub const LANES: usize = 32;

/// The shortest time between two writes; published as requests a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Of one identity, its credentials among them.
    pub identity: Duration,
    /// Of a subscription.
    pub subscription: Duration,
    /// Between two lists of a subscription.
    pub lists: Duration,
}

/// Turns that come one interval after the other, to whoever asks first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// When the next one is free, on the clock that `now` is of.
    free: Duration,
}

/// Turns that all lanes share.
#[derive(Debug)]
pub struct Pacer {
    start: Instant,
    interval: Duration,
    turns: Mutex<Turns>,
}

impl Rates {
    /// The limits that Microsoft publishes: 0.25 writes a second of an identity, 2 of a subscription, 5 lists.
    pub const PUBLISHED: Self = Self {
        identity: Duration::from_secs(4),
        subscription: Duration::from_millis(500),
        lists: Duration::from_millis(200),
    };
    /// No limits.
    pub const UNLIMITED: Self = Self {
        identity: Duration::ZERO,
        subscription: Duration::ZERO,
        lists: Duration::ZERO,
    };
}

impl Turns {
    /// Takes the next turn, and tells how long it is until then.
    pub fn take(&mut self, now: Duration, interval: Duration) -> Duration {
        let turn = self.free.max(now);
        self.free = turn + interval;
        turn - now
    }

    /// How long it is until the next turn, which is left to whoever takes it.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        self.free.saturating_sub(now)
    }
}

impl Pacer {
    /// Turns from now on, one each `interval`.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            start: Instant::now(),
            interval,
            turns: Mutex::default(),
        }
    }

    /// Waits for a turn.
    pub async fn turn(&self) {
        let wait = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.take(self.start.elapsed(), self.interval)
        };
        sleep(wait).await;
    }

    /// Waits for a turn of one's own, `interval` after the last, and only then for a shared one: who still waits for
    /// his own must not hold one that another could take.
    pub async fn turn_of(&self, own: &mut Turns, interval: Duration) {
        sleep(own.wait(self.start.elapsed())).await;
        self.turn().await;
        own.take(self.start.elapsed(), interval);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Rates, Turns};

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn turns_come_one_interval_after_the_other() {
        let mut turns = Turns::default();
        // now, the wait before and the wait of who takes the turn
        let table = [(0, 0), (0, 4), (1, 7), (20, 0), (23, 1), (100, 0)];
        for (now, wait) in table {
            assert_eq!(turns.wait(seconds(now)), seconds(wait), "at {now}");
            assert_eq!(
                turns.take(seconds(now), seconds(4)),
                seconds(wait),
                "at {now}"
            );
        }
    }

    /// Identities that write one after the other, `lanes` at a time: how long all take.
    fn simulated(identities: usize, writes: usize, lanes: usize) -> Duration {
        let Rates {
            identity,
            subscription,
            ..
        } = Rates::PUBLISHED;
        let mut shared = Turns::default();
        // When each lane is ready, its own turns, and the writes it has left.
        let mut running = vec![(Duration::ZERO, Turns::default(), 0); lanes];
        let (mut waiting, mut end) = (identities, Duration::ZERO);
        loop {
            for lane in &mut running {
                if lane.2 == 0 && waiting > 0 {
                    waiting -= 1;
                    *lane = (lane.0, Turns::default(), writes);
                }
            }
            let busy = running.iter_mut().filter(|lane| lane.2 > 0);
            let Some((ready, own, left)) = busy.min_by_key(|lane| lane.0) else {
                return end;
            };
            let sent = *ready + shared.take(*ready, subscription);
            own.take(sent, identity);
            *left -= 1;
            end = end.max(sent);
            *ready = if *left == 0 {
                sent
            } else {
                sent + own.wait(sent)
            };
        }
    }

    #[test]
    fn many_identities_are_as_fast_as_published() {
        // identities, writes each, lanes, what the limits allow
        let table = [
            (200, 6, 32, seconds(600)),
            (1, 6, 32, seconds(20)),
            (20, 6, 32, seconds(60)),
        ];
        for (identities, writes, lanes, allowed) in table {
            let took = simulated(identities, writes, lanes);
            assert!(took <= allowed.mul_f64(1.1), "{identities}: {took:?}");
            let least = allowed.mul_f64(0.9) - seconds(5).min(allowed / 4);
            assert!(took >= least, "{identities}: {took:?} breaks the limits");
        }
    }
}
