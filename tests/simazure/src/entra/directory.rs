//! What Entra knows of managed identities: it learns of each change after a while, and remembers what it did not find.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use uuid::Uuid;

use crate::arm::credentials::FederatedCredential;
use crate::options::Lags;

/// A managed identity as Entra sees it, by client id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Application {
    pub(crate) client_id: Uuid,
    pub(crate) principal_id: Uuid,
    pub(crate) name: String,
    pub(crate) credentials: BTreeMap<String, FederatedCredential>,
}

/// A change that Resource Manager made to an identity.
#[derive(Debug)]
pub(crate) enum Change {
    Created(Application),
    Deleted,
    /// A credential was written, or deleted when it is none; the name is in lower case.
    Credential(String, Option<FederatedCredential>),
}

/// The directory.
#[derive(Debug)]
pub(crate) struct Directory {
    lags: Lags,
    applications: BTreeMap<Uuid, Application>,
    /// Changes on their way, by the time they arrive and then by their order.
    coming: BTreeMap<(Timestamp, u64), (Uuid, Change)>,
    changes: u64,
    /// What was known of a client when no match was found, and until when that is believed.
    misses: HashMap<Uuid, (Timestamp, Option<Application>)>,
}

impl Directory {
    pub(crate) fn new(lags: Lags) -> Self {
        Self {
            lags,
            applications: BTreeMap::new(),
            coming: BTreeMap::new(),
            changes: 0,
            misses: HashMap::new(),
        }
    }

    /// Sends a change on its way. One never overtakes an earlier one to the same identity.
    pub(crate) fn send(&mut self, client_id: Uuid, change: Change, now: Timestamp) {
        let lag = match change {
            Change::Created(_) | Change::Deleted => self.lags.identity,
            Change::Credential(..) => self.lags.credential,
        };
        let earlier = self
            .coming
            .iter()
            .filter(|(_, (other, _))| *other == client_id)
            .map(|((arrives, _), _)| *arrives)
            .max();
        let arrives = earlier.unwrap_or(now).max(now + lag);
        self.changes += 1;
        self.coming
            .insert((arrives, self.changes), (client_id, change));
    }

    /// What has arrived about a client.
    pub(crate) fn known(&mut self, client_id: Uuid, now: Timestamp) -> Option<&Application> {
        self.receive(now);
        self.applications.get(&client_id)
    }

    /// Whether it is true of this principal that it has arrived.
    pub(crate) fn has_principal(&mut self, principal_id: Uuid, now: Timestamp) -> bool {
        self.receive(now);
        self.applications
            .values()
            .any(|one| one.principal_id == principal_id)
    }

    /// Every application that has arrived.
    pub(crate) fn all(&mut self, now: Timestamp) -> impl Iterator<Item = &Application> {
        self.receive(now);
        self.applications.values()
    }

    /// What a token is decided by: what has arrived, unless a miss is still believed.
    pub(crate) fn believed(&mut self, client_id: Uuid, now: Timestamp) -> Option<Application> {
        self.misses.retain(|_, (until, _)| now < *until);
        match self.misses.get(&client_id) {
            Some((_, believed)) => believed.clone(),
            None => self.known(client_id, now).cloned(),
        }
    }

    /// Remembers that no match was found in this. Asking again does not prolong it.
    pub(crate) fn missed(
        &mut self,
        client_id: Uuid,
        believed: Option<Application>,
        now: Timestamp,
    ) {
        let until = now + self.lags.negative_cache;
        if now < until {
            self.misses.entry(client_id).or_insert((until, believed));
        }
    }

    fn receive(&mut self, now: Timestamp) {
        while let Some(first) = self.coming.first_entry() {
            if first.key().0 > now {
                return;
            }
            let (client_id, change) = first.remove();
            match change {
                Change::Created(application) => {
                    self.applications.insert(client_id, application);
                }
                Change::Deleted => {
                    self.applications.remove(&client_id);
                }
                Change::Credential(name, credential) => {
                    let Some(application) = self.applications.get_mut(&client_id) else {
                        continue;
                    };
                    match credential {
                        Some(credential) => application.credentials.insert(name, credential),
                        None => application.credentials.remove(&name),
                    };
                }
            }
        }
    }
}
