//! What is there of what the ledger and the config name.

use std::collections::{BTreeMap, BTreeSet};

use super::desired::ServiceAccountId;
use super::ledger::{Ledger, Made, Place};
use crate::azure::arm::{FederatedCredential, Resource, RoleAssignment};

/// What is there of what the ledger and the config name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What setup made.
    pub ledger: Ledger,
    /// What stands in the resource group; `None` if it is not there.
    pub resources: Option<Vec<Resource>>,
    /// The identities that are there, by the config's names.
    pub identities: BTreeMap<String, FoundIdentity>,
    /// The ServiceAccounts that are there, of those in the ledger.
    pub accounts: BTreeMap<ServiceAccountId, FoundAccount>,
}

/// An identity that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundIdentity {
    /// The client id that its pods ask for.
    pub client_id: String,
    /// Its principal.
    pub principal_id: String,
    /// All its credentials.
    pub credentials: Vec<FederatedCredential>,
    /// The roles it has at the ledger's scopes.
    pub assignments: Vec<RoleAssignment>,
}

/// A ServiceAccount that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundAccount {
    /// Its uid.
    pub uid: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The client id that its annotation names.
    pub client_id: Option<String>,
    /// Who holds fields of it.
    pub managers: BTreeSet<String>,
}

impl Found {
    pub(super) fn things(&self, place: &Place) -> impl Iterator<Item = &Made> {
        self.ledger
            .0
            .keys()
            .filter(move |made| made.place == *place)
    }
}
