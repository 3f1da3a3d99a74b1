//! Carries a plan out: one step, one call, one line.
//!
//! ```text
//! note what is intended -> the group -> identities, LANES at a time, each one step after the other -> confirm
//! ```
//!
//! The first step that fails stops all lanes before their next step. Every step may be repeated, and the plan is made
//! anew from what is there: a run that was killed anywhere is finished by the next.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::book::{Book, BookError};
use super::cluster::{Cluster, ClusterError};
use super::desired::{Desired, ServiceAccountId};
use super::ledger::{Change, State, makes};
use super::pace::{LANES, Pacer, Rates, Turns};
use super::plan::Plan;
use super::retry::persist;
use super::step::{IdentityIds, Step};
use crate::azure::arm::{ArmError, Client, FailureKind, Trust, assignment_name, request};

/// How long what was made may wait to be confirmed. The ledger is written whole: each time would be often.
const CONFIRM_PAUSE: Duration = Duration::from_secs(30);

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
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] BookError),
    /// No step before this one made the identity.
    #[error("the ids of identity {0} are not known: it was neither there nor made")]
    UnknownIdentity(String),
}

/// Carries out `plan`, no faster than `rates`.
///
/// # Errors
/// The first step that fails.
pub async fn apply(
    plan: &Plan,
    desired: &Desired,
    arm: &Client,
    cluster: &Cluster,
    rates: Rates,
) -> Result<(), ApplyError> {
    let mut book = Book::of(cluster);
    let ledger = |error: BookError| ApplyError {
        step: "write the ledger".to_owned(),
        cause: error.into(),
    };
    book.change(&plan.noted).await.map_err(ledger)?;
    let run = Run {
        desired,
        arm,
        cluster,
        noted: &plan.noted,
        rates,
        pacer: Pacer::new(rates.subscription),
        stop: CancellationToken::new(),
    };
    let (group, identities): (Vec<_>, Vec<_>) =
        lanes(&plan.steps).partition(|(identity, _)| identity.is_none());
    let group = stream::iter(group).then(|(_, steps)| run.lane(steps));
    let identities = stream::iter(identities).map(|(_, steps)| run.lane(steps));
    let mut ended = pin!(group.chain(identities.buffer_unordered(LANES)));
    let mut outcome = Ok(());
    let mut confirmed = Instant::now();
    let mut done = Change::default();
    while let Some((made, ended)) = ended.next().await {
        done.put.extend(made.put);
        done.strike.extend(made.strike);
        outcome = outcome.and(ended);
        if confirmed.elapsed() >= CONFIRM_PAUSE {
            book.change(&done).await.map_err(ledger)?;
            (confirmed, done) = (Instant::now(), Change::default());
        }
    }
    let confirmed = book.change(&done).await.map_err(ledger);
    outcome.and(confirmed)
}

/// The steps of each identity, and of none.
fn lanes(steps: &[Step]) -> impl Iterator<Item = (Option<&str>, &[Step])> {
    let chunks = steps.chunk_by(|a, b| a.identity() == b.identity());
    chunks.map(|steps| (steps.first().and_then(Step::identity), steps))
}

struct Run<'a> {
    desired: &'a Desired,
    arm: &'a Client,
    cluster: &'a Cluster,
    noted: &'a Change,
    rates: Rates,
    /// Of the subscription's writes.
    pacer: Pacer,
    stop: CancellationToken,
}

/// What came of a step.
enum Outcome {
    /// Done, with ARM's correlation id if ARM was called.
    Done(Option<String>),
    /// Another made the same meanwhile, under a name of his own; ARM's correlation id.
    Adopted(String),
}

/// One identity's way through its steps.
#[derive(Default)]
struct Lane<'a> {
    /// The ids of the identity if it was made on the way.
    made: BTreeMap<&'a str, IdentityIds>,
    turns: Turns,
}

impl<'a> Run<'a> {
    /// Carries out the steps of one identity; what was made, and the error that ended it.
    async fn lane(&self, steps: &'a [Step]) -> (Change, Result<(), ApplyError>) {
        let mut lane = Lane::default();
        let mut done = Change::default();
        for step in steps {
            if self.stop.is_cancelled() {
                break;
            }
            let outcome = match self.take(step, &mut lane).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    self.stop.cancel();
                    return (done, Err(error));
                }
            };
            // What has no entry of its own (annotations, of a ServiceAccount that setup made) was not noted.
            let made = makes(step, &self.desired.group);
            let made = made.filter(|made| self.noted.put.contains_key(made));
            match (made, outcome) {
                (Some(made), Outcome::Done(_)) => drop(done.put.insert(made, State::Made)),
                (Some(made), Outcome::Adopted(_)) => drop(done.strike.insert(made)),
                (None, _) => {}
            }
        }
        (done, Ok(()))
    }

    async fn take(&self, step: &'a Step, lane: &mut Lane<'a>) -> Result<Outcome, ApplyError> {
        if step.is_paced() {
            let own = &mut lane.turns;
            self.pacer.turn_of(own, self.rates.identity).await;
        }
        let start = Instant::now();
        let outcome = self.carry_out(step, lane).await;
        let duration_ms = start.elapsed().as_millis();
        match &outcome {
            Ok(Outcome::Done(Some(correlation_id))) => {
                tracing::info!(duration_ms, correlation_id, "{step}: done");
            }
            Ok(Outcome::Done(None)) => tracing::info!(duration_ms, "{step}: done"),
            Ok(Outcome::Adopted(correlation_id)) => {
                tracing::info!(
                    duration_ms,
                    correlation_id,
                    "{step}: another made it meanwhile, used as it is"
                );
            }
            Err(_) => tracing::error!(duration_ms, "{step}: failed"),
        }
        outcome.map_err(|cause| ApplyError {
            step: step.to_string(),
            cause,
        })
    }

    /// Carries out one step.
    async fn carry_out(&self, step: &'a Step, lane: &mut Lane<'a>) -> Result<Outcome, ApplyCause> {
        match step {
            Step::CreateResourceGroup { name: _, location } => {
                let put = request::put_group(&self.desired.group, location);
                let answer = persist(async || self.arm.send(&put).await).await?;
                Ok(Outcome::Done(Some(answer.correlation_id)))
            }
            Step::CreateIdentity { name, location } => {
                let put = request::put_identity(&self.desired.group, name, location);
                let answer = persist(async || self.arm.send(&put).await).await?;
                lane.made.insert(name, answer.value.into());
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
                    None => &lane.made(identity)?.principal_id,
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
                    None => lane.made(identity)?,
                };
                self.cluster.annotate(&account, ids).await?;
                Ok(Outcome::Done(None))
            }
        }
    }

    async fn assign(
        &self,
        scope: &str,
        role_definition_id: &str,
        principal_id: &str,
    ) -> Result<Outcome, ApplyCause> {
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
    ) -> Result<Outcome, ApplyCause> {
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

impl Lane<'_> {
    fn made(&self, identity: &str) -> Result<&IdentityIds, ApplyCause> {
        let made = self.made.get(identity);
        made.ok_or_else(|| ApplyCause::UnknownIdentity(identity.to_owned()))
    }
}
