//! Carries a plan out: one step, one call, one line; stops at the first that fails.
//!
//! Every step may be repeated, and the plan is made anew from what is there: a run that was killed anywhere is finished
//! by the next.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::cluster::{Cluster, ClusterError};
use super::desired::{Desired, ServiceAccountId};
use super::plan::Plan;
use super::retry::persist;
use super::step::{IdentityIds, Step};
use crate::azure::arm::{Answer, ArmError, Client, FailureKind, Trust, assignment_name, request};

/// A step that failed; those before it are done, those behind it not begun.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {cause}")]
pub struct ApplyError {
    /// The step, as its line names it.
    pub step: String,
    /// Why.
    pub cause: ApplyCause,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyCause {
    /// At Azure.
    #[error(transparent)]
    Arm(#[from] ArmError),
    /// At the cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// No step before this one made the identity.
    #[error("the ids of identity {0} are not known: it was neither there nor made")]
    UnknownIdentity(String),
}

/// Carries out `plan`, in order.
///
/// # Errors
/// At the first step that fails.
pub async fn apply(
    plan: &Plan,
    desired: &Desired,
    arm: &Client,
    cluster: &Cluster,
) -> Result<(), ApplyError> {
    let mut run = Run {
        desired,
        arm,
        cluster,
        made: BTreeMap::new(),
    };
    for step in &plan.steps {
        let start = Instant::now();
        let outcome = run.carry_out(step).await;
        let duration_ms = start.elapsed().as_millis();
        match outcome {
            Ok(Some(correlation_id)) => {
                tracing::info!(duration_ms, correlation_id, "{step}: done");
            }
            Ok(None) => tracing::info!(duration_ms, "{step}: done"),
            Err(cause) => {
                tracing::error!(duration_ms, "{step}: failed");
                let step = step.to_string();
                return Err(ApplyError { step, cause });
            }
        }
    }
    Ok(())
}

struct Run<'a> {
    desired: &'a Desired,
    arm: &'a Client,
    cluster: &'a Cluster,
    /// The ids of the identities made on the way.
    made: BTreeMap<&'a str, IdentityIds>,
}

impl<'a> Run<'a> {
    /// Carries out one step; gives ARM's correlation id if ARM was called.
    async fn carry_out(&mut self, step: &'a Step) -> Result<Option<String>, ApplyCause> {
        match step {
            Step::CreateResourceGroup { name: _, location } => {
                let put = request::put_group(&self.desired.group, location);
                let answer = persist(async || self.arm.send(&put).await).await?;
                Ok(Some(answer.correlation_id))
            }
            Step::CreateIdentity { name, location } => {
                let put = request::put_identity(&self.desired.group, name, location);
                let answer = persist(async || self.arm.send(&put).await).await?;
                self.made.insert(name, answer.value.into());
                Ok(Some(answer.correlation_id))
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
                    None => &self.made(identity)?.principal_id,
                };
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
                    None => self.made(identity)?,
                };
                self.cluster.annotate(&account, ids).await?;
                Ok(None)
            }
        }
    }

    fn made(&self, identity: &str) -> Result<&IdentityIds, ApplyCause> {
        let made = self.made.get(identity);
        made.ok_or_else(|| ApplyCause::UnknownIdentity(identity.to_owned()))
    }

    async fn assign(
        &self,
        scope: &str,
        role_definition_id: &str,
        principal_id: &str,
    ) -> Result<Option<String>, ApplyCause> {
        let name = assignment_name(scope, principal_id, role_definition_id);
        let put = request::put_assignment(scope, name, role_definition_id, principal_id);
        match persist(async || self.arm.send(&put).await).await {
            Ok(answer) => Ok(Some(answer.correlation_id)),
            // Another made it meanwhile, under a name of his own.
            Err(ArmError::Refused(failure)) if failure.kind == FailureKind::AlreadyAssigned => {
                Ok(Some(failure.correlation_id))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn trust(
        &self,
        identity: &str,
        name: &str,
        trust: &Trust,
    ) -> Result<Option<String>, ApplyCause> {
        let put = request::put_credential(&self.desired.group, identity, name, trust);
        let Answer { correlation_id, .. } = persist(async || self.arm.send(&put).await).await?;
        Ok(Some(correlation_id))
    }
}
