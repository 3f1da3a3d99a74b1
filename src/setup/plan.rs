//! The decision: what is wanted and what is there, to the steps between. Pure and total.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::config::{
    CREDENTIALS_PER_IDENTITY, Desired, DesiredIdentity, LIMIT_OPTIONS, ServiceAccountId,
};
use super::observe::{Observed, ObservedIdentity, ObservedServiceAccount};
use super::step::{IdentityIds, Step};
use crate::azure::arm::{FederatedCredential, Trust, same_name};
use crate::names::{CLIENT_ID, TENANT_ID};

/// Azure's limit of a credential's name, in characters.
const CREDENTIAL_NAME_LENGTH: usize = 120;

/// What is to be done, in order, and what is taken as it stands. No step: all is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The writes, each safe to repeat.
    pub steps: Vec<Step>,
    /// What differs from the config and is left alone.
    pub adopted: Vec<Adopted>,
}

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

/// No plan: nothing may be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Namespaces are missing; setup makes none.
    #[error("no such namespace: {}; create it or correct the config, setup makes no namespaces", .0.join(", "))]
    MissingNamespaces(Vec<String>),
    /// An identity would get more credentials than Azure allows.
    #[error(
        "identity {identity} has {existing} federated credentials and would get {wanted} more, but \
         {CREDENTIALS_PER_IDENTITY} are allowed: {LIMIT_OPTIONS}"
    )]
    TooManyCredentials {
        /// The identity.
        identity: String,
        /// How many it has.
        existing: usize,
        /// How many it would get.
        wanted: usize,
    },
    /// The name setup would give belongs to a credential that trusts someone else.
    #[error(
        "identity {identity} has a federated credential {name} that trusts another subject or issuer: \
         it is not setup's; delete it"
    )]
    CredentialNameTaken {
        /// The identity.
        identity: String,
        /// The name.
        name: String,
    },
}

/// Plans the way from `observed` to `desired`.
///
/// # Errors
/// When something stands in the way that setup may not change.
pub fn plan(desired: &Desired, observed: &Observed) -> Result<Plan, PlanError> {
    refuse_missing_namespaces(observed)?;
    let mut plan = Plan::default();
    match &observed.group {
        None => plan.steps.push(Step::CreateResourceGroup {
            name: desired.group.name.clone(),
            location: desired.location.clone(),
        }),
        // A PUT over it would move nothing and wipe its tags.
        Some(group) if !same_name(&group.location, &desired.location) => {
            plan.adopted.push(Adopted::ResourceGroup {
                name: group.name.clone(),
                location: group.location.clone(),
            });
        }
        Some(_) => {}
    }
    for identity in &desired.identities {
        plan_identity(&mut plan, desired, observed, identity)?;
    }
    Ok(plan)
}

/// The name setup gives the credential of `account` for `issuer`: legal, readable, and one for each (issuer, subject).
#[must_use]
pub fn credential_name(account: &ServiceAccountId, issuer: &str) -> String {
    let digest = Sha256::digest(format!("{issuer}|{}", account.subject()));
    let suffix: String = digest[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut name = format!("{}-{}", account.namespace, account.name).replace('.', "-");
    name.truncate(CREDENTIAL_NAME_LENGTH - suffix.len() - 1);
    format!("{name}-{suffix}")
}

fn refuse_missing_namespaces(observed: &Observed) -> Result<(), PlanError> {
    let missing: BTreeSet<_> = observed
        .service_accounts
        .iter()
        .filter(|(_, state)| **state == ObservedServiceAccount::NoNamespace)
        .map(|(account, _)| account.namespace.clone())
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(PlanError::MissingNamespaces(missing.into_iter().collect()))
    }
}

fn plan_identity(
    plan: &mut Plan,
    desired: &Desired,
    observed: &Observed,
    identity: &DesiredIdentity,
) -> Result<(), PlanError> {
    let existing = observed.identities.get(&identity.name);
    match existing {
        None => plan.steps.push(Step::CreateIdentity {
            name: identity.name.clone(),
            location: desired.location.clone(),
        }),
        Some(existing) if !same_name(&existing.location, &desired.location) => {
            plan.adopted.push(Adopted::Identity {
                name: identity.name.clone(),
                location: existing.location.clone(),
            });
        }
        Some(_) => {}
    }
    let credentials = existing.map_or(&[][..], |existing| &existing.credentials);
    let mut created = 0;
    for account in &identity.service_accounts {
        let trust = Trust {
            issuer: observed.issuer.clone(),
            subject: account.subject(),
            audience: desired.audience.clone(),
        };
        created += plan_credential(plan, identity, credentials, account, trust)?;
    }
    if credentials.len() + created > CREDENTIALS_PER_IDENTITY {
        return Err(PlanError::TooManyCredentials {
            identity: identity.name.clone(),
            existing: credentials.len(),
            wanted: created,
        });
    }
    for account in &identity.service_accounts {
        let state = observed.service_accounts.get(account);
        plan.steps
            .extend(annotation(account, identity, existing, state));
    }
    Ok(())
}

/// Plans one credential; tells how many are created, 0 or 1.
fn plan_credential(
    plan: &mut Plan,
    identity: &DesiredIdentity,
    credentials: &[FederatedCredential],
    account: &ServiceAccountId,
    trust: Trust,
) -> Result<usize, PlanError> {
    let name = credential_name(account, &trust.issuer);
    let identity = identity.name.clone();
    let trusting = credentials.iter().find(|credential| {
        credential.issuer == trust.issuer && credential.subject.as_ref() == Some(&trust.subject)
    });
    match trusting {
        None if credentials
            .iter()
            .any(|credential| same_name(&credential.name, &name)) =>
        {
            Err(PlanError::CredentialNameTaken { identity, name })
        }
        None => {
            plan.steps.push(Step::CreateFederatedCredential {
                identity,
                name,
                trust,
            });
            Ok(1)
        }
        Some(credential) => {
            if credential.audiences != [trust.audience.as_str()] {
                plan.steps.push(Step::UpdateFederatedCredential {
                    identity,
                    name: credential.name.clone(),
                    previous: credential.audiences.clone(),
                    trust,
                });
            } else if !same_name(&credential.name, &name) {
                plan.adopted.push(Adopted::FederatedCredential {
                    identity,
                    name: credential.name.clone(),
                    subject: trust.subject,
                });
            }
            Ok(0)
        }
    }
}

fn annotation(
    account: &ServiceAccountId,
    identity: &DesiredIdentity,
    existing: Option<&ObservedIdentity>,
    state: Option<&ObservedServiceAccount>,
) -> Option<Step> {
    let ids = existing.map(|existing| existing.ids.clone());
    let step = |create| Some(Step::annotate(account, &identity.name, ids.clone(), create));
    match state {
        Some(ObservedServiceAccount::Present(annotations)) => {
            let has = |key, value: &str| annotations.get(key).is_some_and(|there| there == value);
            let done = ids.as_ref().is_some_and(
                |IdentityIds {
                     client_id,
                     tenant_id,
                 }| { has(CLIENT_ID, client_id) && has(TENANT_ID, tenant_id) },
            );
            if done { None } else { step(false) }
        }
        Some(ObservedServiceAccount::Absent | ObservedServiceAccount::NoNamespace) | None => {
            step(true)
        }
    }
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
