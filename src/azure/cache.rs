//! Tokens at hand: one exchange at a time for each, refreshed before their time, served through an outage of Entra.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{self, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use crate::azure::aadsts::Class;
use crate::azure::token::{Entra, Freshness, Token, Wanted, unix_seconds};
use crate::azure::token_error::TokenError;

/// How long a caller waits for a new token while the old one is still valid.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a permanent refusal is repeated without asking Entra again.
const REFUSAL_KEPT: Duration = Duration::from_secs(5);
/// How long Entra is left alone after an exchange while a valid token is at hand; half the token's life if that is less.
pub const REFRESH_PAUSE: Duration = Duration::from_secs(10);
/// How old a token may be for a caller who wants a new one. Each could have an exchange of its own otherwise.
const NEW: Duration = Duration::from_secs(2);
/// The longest wait that Retry-After is granted in an outage, of which the other side knows no more than we do.
const LONGEST_OUTAGE: Duration = Duration::from_secs(60);
/// The same when Entra throttles, which it means; Microsoft's own libraries grant an hour too.
const LONGEST_THROTTLE: Duration = Duration::from_secs(3600);
/// How many requests to Entra may be under way.
const EXCHANGES: usize = 32;
/// How many tokens are kept. Callers choose the resource, so there must be an end.
const CAPACITY: usize = 256;

/// The tokens of one process.
#[derive(Debug)]
pub struct Cache {
    entra: Arc<Entra>,
    /// How long Entra is left alone; `REFRESH_PAUSE` but for tests.
    pub refresh_pause: Duration,
    exchanges: Arc<Semaphore>,
    slots: Mutex<HashMap<Wanted, Arc<Slot>>>,
}

/// Why there is no token.
#[derive(Clone, Debug)]
pub struct NoToken {
    /// What Entra said, or the way to it.
    pub error: Arc<TokenError>,
    /// How much longer the other side asks to wait.
    pub wait: Option<Duration>,
}

/// What is known of one token.
#[derive(Debug, Default)]
struct Slot {
    known: Mutex<Known>,
    /// Held by the one exchange under way.
    flight: sync::Mutex<()>,
}

/// An exchange about to be made.
struct Flight {
    entra: Arc<Entra>,
    exchanges: Arc<Semaphore>,
    wanted: Wanted,
    asked: Instant,
    /// Whether the client never had a token.
    newcomer: bool,
}

#[derive(Debug, Default)]
struct Known {
    held: Option<Held>,
    /// Why the latest exchange failed; None when it didn't.
    failure: Option<Arc<TokenError>>,
    /// When the latest exchange ended.
    landed: Option<Instant>,
}

/// A token, and when it came.
#[derive(Clone, Debug)]
struct Held {
    token: Arc<Token>,
    since: Instant,
}

/// What a request for a token leads to.
#[derive(Debug)]
enum Step {
    Serve(Arc<Token>),
    ServeAndRefresh(Arc<Token>),
    /// Exchange; should that fail or take long, serve this one.
    ExchangeOr(Arc<Token>),
    Exchange,
    Refuse(NoToken),
}

impl Cache {
    /// An empty cache in front of `entra`.
    #[must_use]
    pub fn new(entra: Entra) -> Self {
        Self {
            entra: Arc::new(entra),
            refresh_pause: REFRESH_PAUSE,
            exchanges: Arc::new(Semaphore::new(EXCHANGES)),
            slots: Mutex::default(),
        }
    }

    /// The token wanted. `bypass` asks for a new one.
    ///
    /// # Errors
    /// When no valid token is at hand and none can be had.
    pub async fn token(&self, wanted: &Wanted, bypass: bool) -> Result<Arc<Token>, NoToken> {
        let slot = self.slot(wanted);
        let asked = Instant::now();
        let now = unix_seconds(SystemTime::now());
        let step = slot.known().step(now, asked, self.refresh_pause, bypass);
        match step {
            Step::Serve(token) => Ok(token),
            Step::ServeAndRefresh(token) => {
                if slot.flight.try_lock().is_ok() {
                    self.depart(&slot, wanted, asked);
                }
                Ok(token)
            }
            Step::ExchangeOr(token) => {
                let flight = self.depart(&slot, wanted, asked);
                match timeout(PATIENCE, flight).await {
                    Ok(Ok(())) => Ok(slot.known().outcome().unwrap_or(token)),
                    _ => Ok(token),
                }
            }
            Step::Exchange => {
                let flight = self.depart(&slot, wanted, asked);
                match flight.await {
                    Ok(()) => slot.known().outcome(),
                    Err(_) => Err(TokenError::Stopped.into()),
                }
            }
            Step::Refuse(refusal) => Err(refusal),
        }
    }

    /// Spawns an exchange, so that a caller who hangs up does not take it along.
    fn depart(&self, slot: &Arc<Slot>, wanted: &Wanted, asked: Instant) -> JoinHandle<()> {
        let flight = Flight {
            entra: Arc::clone(&self.entra),
            exchanges: Arc::clone(&self.exchanges),
            newcomer: !self.had_a_token(&wanted.client_id),
            wanted: wanted.clone(),
            asked,
        };
        let slot = Arc::clone(slot);
        tokio::spawn(async move { slot.fly(flight).await })
    }

    fn had_a_token(&self, client_id: &str) -> bool {
        let slots = lock(&self.slots);
        let mut of_client = slots
            .iter()
            .filter(|(wanted, _)| &*wanted.client_id == client_id);
        of_client.any(|(_, slot)| slot.known().held.is_some())
    }

    fn slot(&self, wanted: &Wanted) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(wanted) {
            return Arc::clone(slot);
        }
        if slots.len() >= CAPACITY {
            let soonest = slots
                .iter()
                .min_by_key(|(_, slot)| {
                    slot.known().held.as_ref().map(|held| held.token.expires_on)
                })
                .map(|(wanted, _)| wanted.clone());
            if let Some(soonest) = soonest {
                slots.remove(&soonest);
            }
        }
        let slot = Arc::<Slot>::default();
        slots.insert(wanted.clone(), Arc::clone(&slot));
        slot
    }
}

impl Slot {
    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// One exchange, unless another that ended after `asked` has done the work.
    async fn fly(&self, flight: Flight) {
        let _only = self.flight.lock().await;
        let Flight {
            entra,
            exchanges,
            wanted,
            asked,
            newcomer,
        } = flight;
        if self.known().landed.is_some_and(|landed| landed >= asked) {
            return;
        }
        let outcome = entra.exchange(&wanted, newcomer, &exchanges).await;
        self.known().land(&wanted, outcome, Instant::now());
    }
}

impl Known {
    /// `now` in Unix seconds, as tokens expire by the calendar; `tick` for what waits on us, and because a clock may be
    /// set back.
    fn step(&self, now: u64, tick: Instant, pause: Duration, bypass: bool) -> Step {
        let age = self
            .landed
            .map(|landed| tick.saturating_duration_since(landed));
        let within = |limit: Duration| age.is_some_and(|age| age < limit);
        if let Some(held) = &self.held {
            let token = Arc::clone(&held.token);
            let wait = self.failure.as_deref().and_then(asked_to_wait);
            let half_life = Duration::from_secs((token.expires_on - token.obtained_on) / 2);
            let resting = within(wait.unwrap_or(pause.min(half_life)));
            match token.freshness(held.now(now, tick)) {
                Freshness::Expired => {}
                _ if bypass && self.failure.is_none() && within(NEW.min(half_life)) => {
                    return Step::Serve(token);
                }
                _ if bypass => {}
                Freshness::Fresh => return Step::Serve(token),
                Freshness::Refresh | Freshness::Stale if resting => return Step::Serve(token),
                Freshness::Refresh => return Step::ServeAndRefresh(token),
                Freshness::Stale => return Step::ExchangeOr(token),
            }
        }
        match &self.failure {
            Some(error) if within(kept(error)) => Step::Refuse(NoToken::after(error, age)),
            _ => Step::Exchange,
        }
    }

    fn outcome(&self) -> Result<Arc<Token>, NoToken> {
        match (&self.failure, &self.held) {
            (None, Some(held)) => Ok(Arc::clone(&held.token)),
            (Some(error), _) => Err(NoToken::after(error, None)),
            (None, None) => Err(TokenError::Stopped.into()),
        }
    }

    /// Takes an exchange's outcome in, and says so if it changes how things stand.
    fn land(&mut self, wanted: &Wanted, outcome: Result<Token, TokenError>, tick: Instant) {
        // As text, which the log escapes.
        let (client_id, resource) = (&*wanted.client_id, &*wanted.resource);
        self.landed = Some(tick);
        match outcome {
            Ok(token) => {
                let expires_on = token.expires_on;
                if self.failure.is_some() {
                    info!(client_id, resource, expires_on, "token obtained again");
                } else if self.held.is_none() {
                    info!(client_id, resource, expires_on, "token obtained");
                } else {
                    debug!(client_id, resource, expires_on, "token refreshed");
                }
                self.held = Some(Held {
                    token: Arc::new(token),
                    since: tick,
                });
                self.failure = None;
            }
            Err(error) => {
                let before = self.failure.as_deref();
                if before.is_some_and(|before| before.same_cause(&error)) {
                    debug!(client_id, resource, %error, "still no token");
                } else {
                    warn!(client_id, resource, %error, "no token");
                }
                self.failure = Some(Arc::new(error));
            }
        }
    }
}

impl Held {
    /// The time, but not before what it must be by the token's age.
    fn now(&self, now: u64, tick: Instant) -> u64 {
        let age = tick.saturating_duration_since(self.since).as_secs();
        now.max(self.token.obtained_on.saturating_add(age))
    }
}

impl NoToken {
    /// A failure that is `age` old.
    fn after(error: &Arc<TokenError>, age: Option<Duration>) -> Self {
        let age = age.unwrap_or_default();
        Self {
            error: Arc::clone(error),
            wait: asked_to_wait(error).map(|wait| wait.saturating_sub(age)),
        }
    }
}

impl From<TokenError> for NoToken {
    fn from(error: TokenError) -> Self {
        Self::after(&Arc::new(error), None)
    }
}

/// How long a failure answers for Entra when no valid token is at hand.
fn kept(error: &TokenError) -> Duration {
    match error.class() {
        Class::Permanent | Class::Resource | Class::Settling | Class::Spreading => REFUSAL_KEPT,
        Class::Throttled => asked_to_wait(error).unwrap_or(REFUSAL_KEPT),
        Class::Transient => asked_to_wait(error).unwrap_or(Duration::ZERO),
    }
}

fn asked_to_wait(error: &TokenError) -> Option<Duration> {
    let asked = Duration::from_secs(error.retry_after()?);
    Some(asked.min(match error.class() {
        Class::Throttled => LONGEST_THROTTLE,
        _ => LONGEST_OUTAGE,
    }))
}

/// A panic under a lock leaves plain values behind, which are as good as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{CAPACITY, Cache, Held, Known, REFRESH_PAUSE, Step};
    use crate::azure::clock::Clock;
    use crate::azure::settling::Settling;
    use crate::azure::token::{Entra, Exchanges, Token, Wanted};
    use crate::azure::token_error::TokenError;

    const EXPIRED: u64 = 4600;

    fn token() -> Token {
        Token {
            secret: "t".into(),
            obtained_on: 1000,
            refresh_on: 2800,
            expires_on: EXPIRED,
        }
    }

    fn held(since: Instant) -> Held {
        let token = Arc::new(token());
        Held { token, since }
    }

    fn failure(status: u16, retry_after: Option<u64>) -> TokenError {
        TokenError::Status {
            authority: "https://login".to_owned(),
            status,
            retry_after,
        }
    }

    fn wanted(resource: &str) -> Wanted {
        Wanted {
            tenant_id: Arc::from("tenant"),
            client_id: Arc::from("client"),
            resource: resource.to_owned(),
        }
    }

    #[test]
    fn steps() {
        let (permanent, transient) = (|| failure(400, None), || failure(503, None));
        let (told, told_hours) = (|| failure(503, Some(30)), || failure(503, Some(7200)));
        let throttled = || failure(429, Some(7200));
        // (name, has a token, failed so, seconds ago, now, bypass) -> step
        let table = [
            ("nothing known", false, None, 0, 1000, false, "exchange"),
            ("fresh", true, None, 0, 1000, false, "serve"),
            (
                "fresh, but a new one is asked for",
                true,
                None,
                2,
                1000,
                true,
                "exchange",
            ),
            (
                "new, and a new one is asked for",
                true,
                None,
                1,
                1000,
                true,
                "serve",
            ),
            ("half its life", true, None, 10, 2800, false, "refresh"),
            (
                "half its life from the start",
                true,
                None,
                9,
                2800,
                false,
                "serve",
            ),
            (
                "at its end by its age, the clock set back",
                true,
                None,
                3600,
                0,
                false,
                "exchange",
            ),
            (
                "half its life, outage just seen",
                true,
                Some(transient()),
                9,
                2800,
                false,
                "serve",
            ),
            (
                "half its life, outage seen a while ago",
                true,
                Some(transient()),
                10,
                2800,
                false,
                "refresh",
            ),
            (
                "half its life, told to wait",
                true,
                Some(told()),
                29,
                2800,
                false,
                "serve",
            ),
            (
                "near its end",
                true,
                None,
                10,
                4300,
                false,
                "exchange, else serve",
            ),
            (
                "near its end from the start",
                true,
                None,
                9,
                4300,
                false,
                "serve",
            ),
            (
                "near its end, outage just seen",
                true,
                Some(transient()),
                9,
                4300,
                false,
                "serve",
            ),
            (
                "near its end, refusal just seen",
                true,
                Some(permanent()),
                9,
                4300,
                false,
                "serve",
            ),
            ("at its end", true, None, 0, EXPIRED, false, "exchange"),
            (
                "at its end, outage",
                true,
                Some(transient()),
                0,
                EXPIRED,
                false,
                "exchange",
            ),
            (
                "just refused",
                false,
                Some(permanent()),
                4,
                1000,
                false,
                "refuse",
            ),
            (
                "refused a while ago",
                false,
                Some(permanent()),
                5,
                1000,
                false,
                "exchange",
            ),
            (
                "outage",
                false,
                Some(transient()),
                0,
                1000,
                false,
                "exchange",
            ),
            (
                "told to wait",
                false,
                Some(told()),
                29,
                1000,
                false,
                "refuse",
            ),
            (
                "told to wait, waited",
                false,
                Some(told()),
                30,
                1000,
                false,
                "exchange",
            ),
            (
                "told to wait for hours, a minute ago",
                false,
                Some(told_hours()),
                60,
                1000,
                false,
                "exchange",
            ),
            (
                "throttled for hours",
                false,
                Some(throttled()),
                3599,
                1000,
                false,
                "refuse",
            ),
            (
                "throttled for hours, an hour ago",
                false,
                Some(throttled()),
                3600,
                1000,
                false,
                "exchange",
            ),
            (
                "told to wait, a new one asked for",
                true,
                Some(told()),
                29,
                1000,
                true,
                "refuse",
            ),
        ];
        let tick = Instant::now();
        for (name, has_token, failure, age, now, bypass, expected) in table {
            let known = Known {
                held: has_token.then(|| held(tick)),
                failure: failure.map(Arc::new),
                landed: Some(tick),
            };
            let step = match known.step(now, tick + Duration::from_secs(age), REFRESH_PAUSE, bypass)
            {
                Step::Serve(_) => "serve",
                Step::ServeAndRefresh(_) => "refresh",
                Step::ExchangeOr(_) => "exchange, else serve",
                Step::Exchange => "exchange",
                Step::Refuse(_) => "refuse",
            };
            assert_eq!(step, expected, "{name}");
        }
    }

    #[test]
    fn a_refusal_says_how_long_is_left() {
        // Retry-After, seconds ago, wait
        for (asked, ago, wait) in [
            (None, 3, None),
            (Some(30), 0, Some(30)),
            (Some(30), 29, Some(1)),
            (Some(7200), 10, Some(3590)),
        ] {
            let tick = Instant::now();
            let mut known = Known::default();
            known.land(&wanted("r"), Err(failure(429, asked)), tick);
            match known.step(0, tick + Duration::from_secs(ago), REFRESH_PAUSE, false) {
                Step::Refuse(refusal) => {
                    assert_eq!(refusal.wait, wait.map(Duration::from_secs), "{asked:?}");
                }
                step => panic!("{step:?}"),
            }
        }
    }

    #[test]
    fn landings() {
        let mut known = Known::default();
        let (wanted, tick) = (wanted("r"), Instant::now());
        assert!(known.outcome().is_err());
        known.land(&wanted, Ok(token()), tick);
        assert!(known.outcome().is_ok());
        known.land(&wanted, Err(failure(503, None)), tick);
        assert!(known.outcome().is_err());
        assert!(
            known.held.is_some(),
            "a failure does not take the token away"
        );
        known.land(&wanted, Ok(token()), tick);
        assert!(known.outcome().is_ok());
    }

    #[test]
    fn bounds() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cache = Cache::new(Entra {
            http: reqwest::Client::builder()
                .tls_certs_only([])
                .build()
                .unwrap(),
            authority: "https://login".parse().unwrap(),
            token_file: "/absent".into(),
            settling: Settling {
                window: Duration::ZERO,
                newcomers_until: Instant::now(),
            },
            exchanges: Exchanges::default(),
            clock: Clock::default(),
        });
        let kept = cache.slot(&wanted("kept"));
        kept.known()
            .land(&wanted("kept"), Ok(token()), Instant::now());
        for number in 0..2 * CAPACITY {
            cache.slot(&wanted(&number.to_string()));
        }
        assert_eq!(cache.slots.lock().unwrap().len(), CAPACITY);
        assert!(
            Arc::ptr_eq(&kept, &cache.slot(&wanted("kept"))),
            "a token outlives slots without"
        );
    }
}
