//! What the listeners share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::arm::resources::Resources;
use crate::clock::Clock;
use crate::entra::issuers::Issuers;
use crate::faults::Faults;
use crate::journal::Journal;
use crate::jwt::SigningKey;

/// The simulated Azure behind both listeners.
pub(crate) struct Azure {
    /// `https://localhost:PORT`, the address of Resource Manager and of Entra.
    pub(crate) origin: String,
    /// Signs every access token.
    pub(crate) key: SigningKey,
    /// Keys of the federated issuers.
    pub(crate) issuers: Issuers,
    /// Resources that the tenant has no principal for.
    pub(crate) denied_resources: Vec<String>,
    /// What was asked.
    pub(crate) journal: Journal,
    /// What time it is.
    pub(crate) clock: Clock,
    faults: Mutex<Faults>,
    resources: Mutex<Resources>,
}

impl Azure {
    pub(crate) fn new(
        origin: String,
        key: SigningKey,
        issuers: Issuers,
        resources: Resources,
        denied_resources: Vec<String>,
        clock: Clock,
    ) -> Self {
        Self {
            origin,
            key,
            issuers,
            denied_resources,
            journal: Journal::default(),
            clock,
            faults: Mutex::default(),
            resources: Mutex::new(resources),
        }
    }

    /// The faults that wait, locked. Never held across an await.
    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The subscription's content, locked. Never held across an await.
    pub(crate) fn resources(&self) -> MutexGuard<'_, Resources> {
        self.resources
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
