//! The steps a plan is made of: each is one write.

use std::fmt;

use serde::Serialize;

use super::desired::ServiceAccountId;
use crate::azure::arm::Trust;

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

/// The ids by which a pod asks for an identity's tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityIds {
    /// The client id.
    pub client_id: String,
    /// The tenant.
    pub tenant_id: String,
}

/// A step as the table shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// create, update or annotate.
    pub action: &'static str,
    /// The kind of the object.
    pub kind: &'static str,
    /// The object, its parent first.
    pub name: String,
    /// What there is to know.
    pub detail: String,
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

    /// The step as the table shows it.
    #[must_use]
    pub fn row(&self) -> Row {
        let row = |action, kind, name: String, detail: String| Row {
            action,
            kind,
            name,
            detail,
        };
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

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.row();
        write!(f, "{} {} {}", row.action, row.kind, row.name)
    }
}
