//! What came of a run, for machines: each identity and each ServiceAccount. Pure.

use serde::Serialize;

use super::adopted::Adopted;
use super::desired::{Desired, DesiredIdentity, ServiceAccountId};
use super::journal::{End, Taken};
use super::plan::Plan;
use super::step::Step;
use super::write::Outcome as Written;

/// Stands with what a run that ended early did not come to.
const NOT_DONE: &str = "not done: the run ended before it";

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether all is as wanted now.
    pub done: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The resource group; absent without a plan, as all that follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<Named>,
    /// The identities, in the config's order.
    pub identities: Vec<Identity>,
}

/// What came of a thing that has a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// What came of it.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What came of an identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Of it, its roles and all its ServiceAccounts; the ids are of itself and its roles.
    #[serde(flatten)]
    pub entry: Entry,
    /// Its ServiceAccounts, in the config's order.
    pub service_accounts: Vec<Account>,
}

/// What came of a ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Its address.
    #[serde(flatten)]
    pub id: ServiceAccountId,
    /// Of it and its federated credential.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What came of a thing and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// In a word.
    pub outcome: Outcome,
    /// ARM's ids of its writes, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub correlation_ids: Vec<String>,
    /// Why it failed: the step, the cause, what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a run made of a thing. Where several hold, the last in this order is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It was as wanted.
    Unchanged,
    /// It differs from what would have been made, or another made it meanwhile, and it is used as it is.
    Adopted,
    /// It was there, and it or what belongs to it was written.
    Updated,
    /// It was made.
    Created,
    /// It is not as wanted.
    Failed,
}

impl Outcome {
    /// As it stands in the report.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Adopted => "adopted",
            Self::Updated => "updated",
            Self::Created => "created",
            Self::Failed => "failed",
        }
    }
}

/// Reports a run that came to `plan`, if any, took these steps of it, and ended with `error`, if any.
#[must_use]
pub fn report(
    desired: &Desired,
    plan: Option<&Plan>,
    taken: &[Taken],
    error: Option<String>,
) -> Report {
    let of_plan = |plan| {
        (
            group(desired, plan, taken),
            identities(desired, plan, taken),
        )
    };
    let (resource_group, identities) = plan.map(of_plan).unzip();
    Report {
        done: error.is_none(),
        error,
        resource_group,
        identities: identities.unwrap_or_default(),
    }
}

fn group(desired: &Desired, plan: &Plan, taken: &[Taken]) -> Named {
    let lane = Lane::of(None, plan, taken);
    let adopted = |adopted: &Adopted| matches!(adopted, Adopted::ResourceGroup { .. });
    let creates = |step: &Step| matches!(step, Step::CreateResourceGroup { .. });
    Named {
        name: desired.group.name.clone(),
        entry: lane.entry(|_| true, creates, plan.adopted.iter().any(adopted)),
    }
}

fn identities(desired: &Desired, plan: &Plan, taken: &[Taken]) -> Vec<Identity> {
    let all = desired.identities.iter();
    all.map(|wanted| identity(wanted, plan, taken)).collect()
}

fn identity(wanted: &DesiredIdentity, plan: &Plan, taken: &[Taken]) -> Identity {
    let lane = Lane::of(Some(&wanted.name), plan, taken);
    let adopted: Vec<_> = plan
        .adopted
        .iter()
        .filter(|adopted| match adopted {
            Adopted::ResourceGroup { .. } => false,
            Adopted::Identity { name, .. } => *name == wanted.name,
            Adopted::FederatedCredential { identity, .. } => *identity == wanted.name,
        })
        .collect();
    let creates = |step: &Step| matches!(step, Step::CreateIdentity { .. });
    let own = |step: &Step| creates(step) || matches!(step, Step::AssignRole { .. });
    let whole = lane.entry(|_| true, creates, !adopted.is_empty());
    let account = |id: &ServiceAccountId| {
        let adopted = adopted.iter().any(|adopted| {
            matches!(adopted, Adopted::FederatedCredential { subject, .. } if *subject == id.subject())
        });
        let creates =
            |step: &Step| matches!(step, Step::AnnotateServiceAccount { create, .. } if *create);
        Account {
            id: id.clone(),
            entry: lane.entry(|step| step.concerns(id), creates, adopted),
        }
    };
    Identity {
        name: wanted.name.clone(),
        entry: Entry {
            correlation_ids: lane.entry(own, creates, false).correlation_ids,
            ..whole
        },
        service_accounts: wanted.service_accounts.iter().map(account).collect(),
    }
}

/// The steps of one identity, or of none, and what came of those that were begun.
struct Lane<'a>(Vec<(&'a Step, Option<&'a End>)>);

impl<'a> Lane<'a> {
    fn of(identity: Option<&str>, plan: &'a Plan, taken: &'a [Taken]) -> Self {
        let taken: Vec<_> = taken
            .iter()
            .filter(|taken| taken.step.identity() == identity)
            .collect();
        let steps = plan.steps.iter().filter(|step| step.identity() == identity);
        let end = |step: &Step| taken.iter().find(|taken| taken.step == *step);
        Self(
            steps
                .map(|step| (step, end(step).map(|taken| &taken.end)))
                .collect(),
        )
    }

    /// What came of the steps that are `of` a thing, one of which `creates` it.
    fn entry(
        &self,
        of: impl Fn(&Step) -> bool,
        creates: impl Fn(&Step) -> bool,
        adopted: bool,
    ) -> Entry {
        let mut entry = Entry {
            outcome: if adopted {
                Outcome::Adopted
            } else {
                Outcome::Unchanged
            },
            correlation_ids: Vec::new(),
            error: None,
        };
        for (step, end) in self.0.iter().filter(|(step, _)| of(step)) {
            let (outcome, id) = match end {
                Some(End::Well(Written::Done(id))) if creates(step) => {
                    (Outcome::Created, id.as_ref())
                }
                Some(End::Well(Written::Done(id))) => (Outcome::Updated, id.as_ref()),
                Some(End::Well(Written::Adopted(id))) => (Outcome::Adopted, Some(id)),
                Some(End::Failed {
                    error,
                    correlation_id,
                }) => {
                    entry
                        .error
                        .get_or_insert_with(|| format!("{step}: {error}"));
                    (Outcome::Failed, correlation_id.as_ref())
                }
                None => {
                    entry.error.get_or_insert_with(|| NOT_DONE.to_owned());
                    (Outcome::Failed, None)
                }
            };
            entry.outcome = entry.outcome.max(outcome);
            entry.correlation_ids.extend(id.cloned());
        }
        entry
    }
}
