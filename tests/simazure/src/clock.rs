//! The one clock that every lag, lifetime and limit is measured by.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::sync::watch;

/// Farthest that a clock can be ahead: a hundred years. So no sum with it leaves the range of dates.
const FARTHEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A clock that runs with the machine's or stands still, and can be advanced either way. Clones are one clock.
#[derive(Clone, Debug)]
pub struct Clock {
    standing: Option<Timestamp>,
    ahead: Arc<watch::Sender<Duration>>,
}

impl Clock {
    /// Runs with the machine's clock.
    #[must_use]
    pub fn running() -> Self {
        Self::from(None)
    }

    /// Stands at this time until it is advanced; a time before 1970 counts as 1970.
    #[must_use]
    pub fn standing(at: SystemTime) -> Self {
        Self::from(Some(Timestamp::try_from(at).unwrap_or_default()))
    }

    /// Moves on by this much, a hundred years in all at most. Whoever waits for a time now past goes on.
    pub fn advance(&self, by: Duration) {
        self.ahead
            .send_modify(|ahead| *ahead = ahead.saturating_add(by).min(FARTHEST));
    }

    /// What the clock shows, Unix time.
    #[must_use]
    pub fn unix(&self) -> Duration {
        Duration::try_from(self.now().as_duration()).unwrap_or_default()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.standing.unwrap_or_else(Timestamp::now) + *self.ahead.borrow()
    }

    /// Returns when the clock shows that much more than now.
    pub(crate) async fn wait(&self, duration: Duration) {
        let until = self.now() + duration;
        let mut moved = self.ahead.subscribe();
        loop {
            let Ok(left) = Duration::try_from(until.duration_since(self.now())) else {
                return;
            };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left), if self.standing.is_none() => {}
                _ = moved.changed() => {}
            }
        }
    }
}

impl From<Option<Timestamp>> for Clock {
    fn from(standing: Option<Timestamp>) -> Self {
        Self {
            standing,
            ahead: Arc::new(watch::Sender::new(Duration::ZERO)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::Clock;

    #[tokio::test]
    async fn stands_until_advanced() {
        let clock = Clock::standing(SystemTime::UNIX_EPOCH);
        let hour = Duration::from_secs(3600);
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move { clock.wait(hour).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(clock.unix(), Duration::ZERO);
        clock.advance(hour / 2);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        clock.advance(hour / 2);
        waiting.await.unwrap();
        assert_eq!(clock.unix(), hour);
        clock.advance(Duration::MAX);
        assert_eq!(clock.unix(), super::FARTHEST);
    }

    #[tokio::test]
    async fn runs_and_can_be_advanced() {
        let clock = Clock::running();
        let before = clock.unix();
        clock.wait(Duration::from_millis(5)).await;
        assert!(clock.unix() - before >= Duration::from_millis(5));
        clock.advance(Duration::from_secs(60));
        assert!(clock.unix() - before >= Duration::from_secs(60));
    }
}
