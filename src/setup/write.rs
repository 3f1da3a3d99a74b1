//! One step carried out: one call to ARM or the cluster, again as long as it is worth it.

use std::collections::BTreeMap;

use super::book::BookError;
use super::cluster::{Cluster, ClusterError};
use super::desired::{Desired, ServiceAccountId};
use super::retry::persist;
use super::step::{IdentityIds, Step};
use crate::azure::arm::{ArmError, Client, FailureKind, Trust, assignment_name, request};

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// At Azure.
    #[error(transparent)]
    Arm(#[from] ArmError),
    /// At the cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] BookError),
    /// No step before this one made the identity.
    #[error("the ids of identity {0} are not known: it was neither there nor made")]
    UnknownIdentity(String),
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, with ARM's correlation id if ARM was called.
    Done(Option<String>),
    /// Another made the same meanwhile, under a name of his own; ARM's correlation id.
    Adopted(String),
}

/// The ids of identities that were made on the way.
pub(super) type MadeIds<'a> = BTreeMap<&'a str, IdentityIds>;

/// Where steps are written to.
pub(super) struct Writer<'a> {
    pub(super) desired: &'a Desired,
    pub(super) arm: &'a Client,
    pub(super) cluster: &'a Cluster,
}

impl WriteError {
    /// Whether nothing came of the write for sure, and nothing will.
    pub(super) fn is_definite(&self) -> bool {
        match self {
            Self::Arm(ArmError::Refused(failure)) => {
                (400..500).contains(&failure.status) && failure.kind != FailureKind::Unavailable
            }
            Self::Arm(ArmError::SignIn(_)) | Self::UnknownIdentity(_) => true,
            Self::Cluster(ClusterError::Refused { code, .. }) => (400..500).contains(code),
            Self::Cluster(ClusterError::Conflict { .. } | ClusterError::Forbidden { .. }) => true,
            Self::Arm(_) | Self::Cluster(_) | Self::Ledger(_) => false,
        }
    }

    /// ARM's id of the call that failed, if ARM answered it.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        match self {
            Self::Arm(error) => error.correlation_id(),
            Self::Cluster(_) | Self::Ledger(_) | Self::UnknownIdentity(_) => None,
        }
    }
}

impl Outcome {
    /// ARM's id of the call, if ARM was called.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        match self {
            Self::Done(id) => id.as_deref(),
            Self::Adopted(id) => Some(id),
        }
    }
}

impl Writer<'_> {
    /// Carries out one step; an identity that it makes is added to `made`, the id that the ledger is to keep is put in `id`.
    pub(super) async fn carry_out<'a>(
        &self,
        step: &'a Step,
        made: &mut MadeIds<'a>,
        id: &mut Option<String>,
    ) -> Result<Outcome, WriteError> {
        match step {
            Step::CreateResourceGroup { name: _, location } => {
                let put = request::put_group(&self.desired.group, location);
                let answer = persist(async || self.arm.send(&put).await).await?;
                Ok(Outcome::Done(Some(answer.correlation_id)))
            }
            Step::CreateIdentity { name, location } => {
                let put = request::put_identity(&self.desired.group, name, location);
                let answer = persist(async || self.arm.send(&put).await).await?;
                *id = Some(answer.value.principal_id.clone());
                made.insert(name, answer.value.into());
                Ok(Outcome::Done(Some(answer.correlation_id)))
            }
            Step::AssignRole {
                identity,
                scope,
                role: _,
                role_definition_id,
                principal_id,
            } => {
                let principal_id = match principal_id {
                    Some(principal_id) => principal_id,
                    None => &ids_of(identity, made)?.principal_id,
                };
                *id = Some(principal_id.clone());
                self.assign(scope, role_definition_id, principal_id).await
            }
            Step::CreateFederatedCredential {
                identity,
                name,
                trust,
            }
            | Step::UpdateFederatedCredential {
                identity,
                name,
                trust,
                previous: _,
            } => self.trust(identity, name, trust).await,
            Step::AnnotateServiceAccount {
                namespace,
                name,
                identity,
                ids,
                create: _,
            } => {
                let account = ServiceAccountId {
                    namespace: namespace.clone(),
                    name: name.clone(),
                };
                let ids = match ids {
                    Some(ids) => ids,
                    None => ids_of(identity, made)?,
                };
                *id = self.cluster.annotate(&account, ids).await?;
                Ok(Outcome::Done(None))
            }
        }
    }

    async fn assign(
        &self,
        scope: &str,
        role_definition_id: &str,
        principal_id: &str,
    ) -> Result<Outcome, WriteError> {
        let name = assignment_name(scope, principal_id, role_definition_id);
        let put = request::put_assignment(scope, name, role_definition_id, principal_id);
        match persist(async || self.arm.send(&put).await).await {
            Ok(answer) => Ok(Outcome::Done(Some(answer.correlation_id))),
            Err(ArmError::Refused(failure)) if failure.kind == FailureKind::AlreadyAssigned => {
                Ok(Outcome::Adopted(failure.correlation_id))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn trust(
        &self,
        identity: &str,
        name: &str,
        trust: &Trust,
    ) -> Result<Outcome, WriteError> {
        let group = &self.desired.group;
        let put = request::put_credential(group, identity, name, trust);
        let failure = match persist(async || self.arm.send(&put).await).await {
            Ok(answer) => return Ok(Outcome::Done(Some(answer.correlation_id))),
            Err(ArmError::Refused(failure)) if failure.kind == FailureKind::AlreadyTrusted => {
                failure
            }
            Err(error) => return Err(error.into()),
        };
        let list = request::list_credentials(group, identity);
        let there = persist(async || self.arm.list(&list).await).await?;
        let trusted = there.iter().any(|there| {
            there.issuer == trust.issuer
                && there.subject.as_ref() == Some(&trust.subject)
                && there.audiences == [trust.audience.as_str()]
        });
        match trusted {
            true => Ok(Outcome::Adopted(failure.correlation_id)),
            false => Err(ArmError::Refused(failure).into()),
        }
    }
}

fn ids_of<'a>(identity: &str, made: &'a MadeIds<'_>) -> Result<&'a IdentityIds, WriteError> {
    let ids = made.get(identity);
    ids.ok_or_else(|| WriteError::UnknownIdentity(identity.to_owned()))
}
