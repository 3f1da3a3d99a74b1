//! What is known of one token: what it was, how the latest exchange ended, and what a request leads to. Pure.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::azure::aadsts::Class;
use crate::azure::grant::{Freshness, Token};
use crate::azure::token::Wanted;
use crate::azure::token_error::TokenError;

/// How long a permanent refusal is repeated without asking Entra again.
const REFUSAL_KEPT: Duration = Duration::from_secs(5);
/// How old a token may be for a caller who wants a new one. Each could have an exchange of its own otherwise.
const NEW: Duration = Duration::from_secs(2);
/// The longest wait that Retry-After is granted in an outage, of which the other side knows no more than we do.
const LONGEST_OUTAGE: Duration = Duration::from_secs(60);
/// The same when Entra throttles, which it means; Microsoft's own libraries grant an hour too.
const LONGEST_THROTTLE: Duration = Duration::from_secs(3600);

/// Why there is no token.
#[derive(Clone, Debug)]
pub struct NoToken {
    /// What Entra said, or the way to it.
    pub error: Arc<TokenError>,
    /// How much longer the other side asks to wait.
    pub wait: Option<Duration>,
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

/// What is known of one token.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) held: Option<Held>,
    /// Why the latest exchange failed; None when it didn't.
    pub(super) failure: Option<Arc<TokenError>>,
    /// When the latest exchange ended.
    pub(super) landed: Option<Instant>,
}

/// A token, and when it came.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) token: Arc<Token>,
    since: Instant,
}

/// What a request for a token leads to.
#[derive(Debug)]
pub(super) enum Step {
    Serve(Arc<Token>),
    ServeAndRefresh(Arc<Token>),
    /// Exchange; should that fail or take long, serve this one.
    ExchangeOr(Arc<Token>),
    Exchange,
    Refuse(NoToken),
}

impl Known {
    /// `now` in Unix seconds, as tokens expire by the calendar; `tick` for what waits on us, and because a clock may be
    /// set back.
    pub(super) fn step(&self, now: u64, tick: Instant, pause: Duration, bypass: bool) -> Step {
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

    pub(super) fn outcome(&self) -> Result<Arc<Token>, NoToken> {
        match (&self.failure, &self.held) {
            (None, Some(held)) => Ok(Arc::clone(&held.token)),
            (Some(error), _) => Err(NoToken::after(error, None)),
            (None, None) => Err(TokenError::Stopped.into()),
        }
    }

    /// Takes an exchange's outcome in, and says so if it changes how things stand.
    pub(super) fn land(
        &mut self,
        wanted: &Wanted,
        outcome: Result<Token, TokenError>,
        tick: Instant,
    ) {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Held, Known, Step};
    use crate::azure::cache::REFRESH_PAUSE;
    use crate::azure::grant::Token;
    use crate::azure::token::Wanted;
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

    fn wanted() -> Wanted {
        Wanted {
            tenant_id: Arc::from("tenant"),
            client_id: Arc::from("client"),
            resource: "resource".to_owned(),
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
            known.land(&wanted(), Err(failure(429, asked)), tick);
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
        let (wanted, tick) = (wanted(), Instant::now());
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
}
