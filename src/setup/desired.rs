//! What is wanted, as values that are legal.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::azure::arm::GroupId;

/// Azure's limit of federated credentials for one identity.
pub const CREDENTIALS_PER_IDENTITY: usize = 20;
/// What to do about that limit; ends the sentences that refuse.
pub const LIMIT_OPTIONS: &str = "spread the service accounts over several identities with the same roles, \
     let workloads share service accounts, or use identity bindings (AKS)";

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The resource group's address.
    pub group: GroupId,
    /// Where the group and the identities are made.
    pub location: String,
    /// Where the issuer's name comes from.
    pub issuer: IssuerSource,
    /// The audience of every credential.
    pub audience: String,
    /// The identities, in the file's order.
    pub identities: Vec<DesiredIdentity>,
}

/// Where the issuer's name comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerSource {
    /// The API server's discovery document.
    Cluster,
    /// This URL, byte for byte.
    Url(String),
    /// The AKS cluster's OIDC profile in ARM.
    Aks {
        /// The cluster's resource group, in the config's subscription.
        group: GroupId,
        /// The cluster.
        name: String,
    },
}

/// A managed identity and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredIdentity {
    /// Its name.
    pub name: String,
    /// The ServiceAccounts that it trusts.
    pub service_accounts: Vec<ServiceAccountId>,
    /// The roles that it gets.
    pub roles: Vec<DesiredRole>,
}

/// A role that an identity gets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DesiredRole {
    /// Where it holds, an ARM id.
    pub scope: String,
    /// The role, by name or GUID.
    pub role: String,
}

/// A ServiceAccount's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceAccountId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ServiceAccountId {
    /// The `sub` of its tokens.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

impl fmt::Display for ServiceAccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
