//! Tokens at hand: one exchange at a time for each, refreshed before their time, served through an outage of Entra.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{self, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::azure::grant::Token;
use crate::azure::known::{Known, NoToken, Step};
use crate::azure::token::{Entra, Wanted, unix_seconds};
use crate::azure::token_error::TokenError;

/// How long a caller waits for a new token while the old one is still valid.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long Entra is left alone after an exchange while a valid token is at hand; half the token's life if that is less.
pub const REFRESH_PAUSE: Duration = Duration::from_secs(10);
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

/// A panic under a lock leaves plain values behind, which are as good as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{CAPACITY, Cache};
    use crate::azure::clock::Clock;
    use crate::azure::grant::Token;
    use crate::azure::settling::Settling;
    use crate::azure::token::{Entra, Exchanges, Wanted};

    fn token() -> Token {
        Token {
            secret: "t".into(),
            obtained_on: 1000,
            refresh_on: 2800,
            expires_on: 4600,
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
