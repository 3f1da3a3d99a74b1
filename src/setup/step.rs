//! The steps a plan is made of: each is one write.

use std::fmt;

use serde::Serialize;

use super::desired::ServiceAccountId;
use crate::azure::arm::{ManagedIdentity, Trust};

/// One write, to ARM or to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "step",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Step {
    /// Make the resource group.
    CreateResourceGroup {
        /// Its name.
        name: String,
        /// Where.
        location: String,
    },
    /// Make a managed identity.
    CreateIdentity {
        /// Its name.
        name: String,
        /// Where.
        location: String,
    },
    /// Make a federated credential.
    CreateFederatedCredential {
        /// The identity that is to trust.
        identity: String,
        /// The credential's name.
        name: String,
        /// What it trusts.
        #[serde(flatten)]
        trust: Trust,
    },
    /// Give a federated credential the wanted audience; issuer and subject are right.
    UpdateFederatedCredential {
        /// The identity it belongs to.
        identity: String,
        /// The name it has, which is kept.
        name: String,
        /// The audiences it has.
        previous: Vec<String>,
        /// What it is to trust.
        #[serde(flatten)]
        trust: Trust,
    },
    /// Give an identity a role.
    AssignRole {
        /// The identity.
        identity: String,
        /// Where the role holds.
        scope: String,
        /// The role as the config has it.
        role: String,
        /// The id of the role's definition.
        role_definition_id: String,
        /// The identity's principal; absent until the step that makes the identity is done.
        principal_id: Option<String>,
    },
    /// Give a ServiceAccount the identity's annotations; make it if it is absent.
    AnnotateServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The identity that it gets.
        identity: String,
        /// The identity's ids; absent until the step that makes the identity is done.
        ids: Option<IdentityIds>,
        /// Whether the ServiceAccount is to be made.
        create: bool,
    },
}

/// The ids of an identity: pods ask for its tokens by the first two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityIds {
    /// The client id.
    pub client_id: String,
    /// The tenant.
    pub tenant_id: String,
    /// The principal that roles are given to.
    pub principal_id: String,
}

impl From<ManagedIdentity> for IdentityIds {
    fn from(identity: ManagedIdentity) -> Self {
        Self {
            client_id: identity.client_id,
            tenant_id: identity.tenant_id,
            principal_id: identity.principal_id,
        }
    }
}

/// A step as the table shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// create, update, assign or annotate.
    pub action: &'static str,
    /// The kind of the object.
    pub kind: &'static str,
    /// The object, its parent first.
    pub name: String,
    /// What there is to know.
    pub detail: String,
}

impl Row {
    /// A row of these columns.
    #[must_use]
    pub fn new(action: &'static str, kind: &'static str, name: String, detail: String) -> Self {
        Self {
            action,
            kind,
            name,
            detail,
        }
    }
}

impl Step {
    /// The annotation step of `account`.
    #[must_use]
    pub fn annotate(
        account: &ServiceAccountId,
        identity: &str,
        ids: Option<IdentityIds>,
        create: bool,
    ) -> Self {
        Self::AnnotateServiceAccount {
            namespace: account.namespace.clone(),
            name: account.name.clone(),
            identity: identity.to_owned(),
            ids,
            create,
        }
    }

    /// The identity it is for; none is the group's.
    #[must_use]
    pub fn identity(&self) -> Option<&str> {
        match self {
            Self::CreateResourceGroup { .. } => None,
            Self::CreateIdentity { name, .. } => Some(name),
            Self::CreateFederatedCredential { identity, .. }
            | Self::UpdateFederatedCredential { identity, .. }
            | Self::AssignRole { identity, .. }
            | Self::AnnotateServiceAccount { identity, .. } => Some(identity),
        }
    }

    /// Whether it is about a ServiceAccount, or the federated credential of it.
    #[must_use]
    pub fn concerns(&self, account: &ServiceAccountId) -> bool {
        match self {
            Self::CreateFederatedCredential { trust, .. }
            | Self::UpdateFederatedCredential { trust, .. } => trust.subject == account.subject(),
            Self::AnnotateServiceAccount {
                namespace, name, ..
            } => *namespace == account.namespace && *name == account.name,
            Self::CreateResourceGroup { .. }
            | Self::CreateIdentity { .. }
            | Self::AssignRole { .. } => false,
        }
    }

    /// Whether it counts against the limits of managed identities.
    #[must_use]
    pub fn is_paced(&self) -> bool {
        match self {
            Self::CreateIdentity { .. }
            | Self::CreateFederatedCredential { .. }
            | Self::UpdateFederatedCredential { .. } => true,
            Self::CreateResourceGroup { .. }
            | Self::AssignRole { .. }
            | Self::AnnotateServiceAccount { .. } => false,
        }
    }

    /// The step as the table shows it.
    #[must_use]
    pub fn row(&self) -> Row {
        let row = Row::new;
        match self {
            Self::CreateResourceGroup { name, location } => {
                let detail = format!("in {location}");
                row("create", "ResourceGroup", name.clone(), detail)
            }
            Self::CreateIdentity { name, location } => {
                let detail = format!("in {location}");
                row("create", "ManagedIdentity", name.clone(), detail)
            }
            Self::CreateFederatedCredential {
                identity,
                name,
                trust,
            } => {
                let detail = format!("trusts {} of {}", trust.subject, trust.issuer);
                row(
                    "create",
                    "FederatedCredential",
                    format!("{identity}/{name}"),
                    detail,
                )
            }
            Self::UpdateFederatedCredential {
                identity,
                name,
                previous,
                trust,
            } => {
                let detail = format!("audience {} becomes {}", previous.join(" "), trust.audience);
                row(
                    "update",
                    "FederatedCredential",
                    format!("{identity}/{name}"),
                    detail,
                )
            }
            Self::AssignRole {
                identity,
                scope,
                role,
                ..
            } => row(
                "assign",
                "Role",
                format!("{identity}/{role}"),
                format!("at {scope}"),
            ),
            Self::AnnotateServiceAccount {
                namespace,
                name,
                identity,
                ids,
                create,
            } => {
                let client_id = ids.as_ref().map_or("once made", |ids| &ids.client_id);
                let detail = format!("client id of {identity} ({client_id})");
                let action = if *create { "create" } else { "annotate" };
                row(
                    action,
                    "ServiceAccount",
                    format!("{namespace}/{name}"),
                    detail,
                )
            }
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.action, self.kind, self.name)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.row())
    }
}
