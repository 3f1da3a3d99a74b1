//! The steps of a removal: each is one write.

use std::fmt;

use serde::{Serialize, Serializer};

use super::desired::ServiceAccountId;
use super::ledger::Made;
use super::step::Row;

/// One write, and the entry that is struck when it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// The entry.
    pub made: Made,
    /// The write.
    pub act: Act,
}

/// A write that removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Take the annotations off a ServiceAccount of this version and uid.
    Unannotate(ServiceAccountId, Option<String>, Option<String>),
    /// Delete a ServiceAccount of this version.
    DeleteServiceAccount(ServiceAccountId, Option<String>),
    /// Take a role back.
    Revoke {
        /// The identity.
        identity: String,
        /// Where it holds.
        scope: String,
        /// The assignment.
        name: String,
    },
    /// Delete a federated credential of an identity.
    DeleteFederatedCredential {
        /// The identity.
        identity: String,
        /// The credential.
        name: String,
    },
    /// Delete an identity.
    DeleteIdentity(String),
    /// Delete the resource group, if nothing stands in it by then.
    DeleteResourceGroup(String),
}

impl Undo {
    /// The identity whose credentials it is about, if it is one of Azure's writes.
    #[must_use]
    pub fn identity(&self) -> Option<&str> {
        match &self.act {
            Act::Revoke { identity, .. } | Act::DeleteFederatedCredential { identity, .. } => {
                Some(identity)
            }
            Act::DeleteIdentity(identity) => Some(identity),
            Act::Unannotate(..) | Act::DeleteServiceAccount(..) | Act::DeleteResourceGroup(_) => {
                None
            }
        }
    }

    /// Whether it counts against the limits of managed identities.
    #[must_use]
    pub fn is_paced(&self) -> bool {
        matches!(
            self.act,
            Act::DeleteFederatedCredential { .. } | Act::DeleteIdentity(_)
        )
    }

    /// The step as the table shows it.
    #[must_use]
    pub fn row(&self) -> Row {
        let row = Row::new;
        let nothing = String::new;
        match &self.act {
            Act::Unannotate(account, ..) => {
                let detail = "client id and tenant id".to_owned();
                row("unannotate", "ServiceAccount", account.to_string(), detail)
            }
            Act::DeleteServiceAccount(account, _) => {
                row("delete", "ServiceAccount", account.to_string(), nothing())
            }
            Act::Revoke {
                identity,
                scope,
                name,
            } => row(
                "revoke",
                "Role",
                format!("{identity}/{name}"),
                format!("at {scope}"),
            ),
            Act::DeleteFederatedCredential { identity, name } => {
                let name = format!("{identity}/{name}");
                row("delete", "FederatedCredential", name, nothing())
            }
            Act::DeleteIdentity(name) => row("delete", "ManagedIdentity", name.clone(), nothing()),
            Act::DeleteResourceGroup(name) => {
                let detail = "if it is empty then".to_owned();
                row("delete", "ResourceGroup", name.clone(), detail)
            }
        }
    }
}

impl Serialize for Undo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.row().serialize(serializer)
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.row())
    }
}
