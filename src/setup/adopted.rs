//! What is there, differs from what setup would make, and does.

use std::fmt;

use serde::Serialize;

/// Something that is there, differs from what would have been made, and does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "adopted",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Adopted {
    /// The resource group is in another location.
    ResourceGroup {
        /// Its name.
        name: String,
        /// Where it is.
        location: String,
    },
    /// An identity is in another location.
    Identity {
        /// Its name.
        name: String,
        /// Where it is.
        location: String,
    },
    /// A credential has another name than setup gives.
    FederatedCredential {
        /// The identity it belongs to.
        identity: String,
        /// Its name.
        name: String,
        /// Whom it trusts.
        subject: String,
    },
}

impl fmt::Display for Adopted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ResourceGroup { name, location } => {
                write!(f, "resource group {name} is in {location}: used as it is")
            }
            Self::Identity { name, location } => {
                write!(f, "identity {name} is in {location}: used as it is")
            }
            Self::FederatedCredential {
                identity,
                name,
                subject,
            } => write!(
                f,
                "credential {identity}/{name} trusts {subject} already: used as it is"
            ),
        }
    }
}
