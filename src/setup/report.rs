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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Entry, Report, report};
    use crate::azure::arm::Trust;
    use crate::setup::adopted::Adopted;
    use crate::setup::config;
    use crate::setup::desired::{Desired, ServiceAccountId};
    use crate::setup::journal::{End, Taken};
    use crate::setup::notice::{Notice, notices};
    use crate::setup::plan::Plan;
    use crate::setup::step::Step;
    use crate::setup::write::Outcome;

    fn desired() -> Desired {
        let config = "
subscription: 11111111-2222-3333-4444-555555555555
resourceGroup: {name: rg, location: westus2}
issuer: auto
identities:
  - name: idA
    serviceAccounts: [{namespace: ns, name: sa}, {namespace: ns, name: sb}]
    roleAssignments: [{scope: /subscriptions/11111111-2222-3333-4444-555555555555, role: Reader}]
  - name: idB
    serviceAccounts: [{namespace: ns, name: sc}]
";
        config::parse(config).unwrap()
    }

    fn account(name: &str) -> ServiceAccountId {
        ServiceAccountId {
            namespace: "ns".to_owned(),
            name: name.to_owned(),
        }
    }

    fn group() -> Step {
        Step::CreateResourceGroup {
            name: "rg".to_owned(),
            location: "westus2".to_owned(),
        }
    }

    fn identity(name: &str) -> Step {
        Step::CreateIdentity {
            name: name.to_owned(),
            location: "westus2".to_owned(),
        }
    }

    fn credential(identity: &str, name: &str) -> Step {
        Step::CreateFederatedCredential {
            identity: identity.to_owned(),
            name: format!("c-{name}"),
            trust: Trust {
                issuer: "https://i/".to_owned(),
                subject: account(name).subject(),
                audience: "a".to_owned(),
            },
        }
    }

    fn role() -> Step {
        Step::AssignRole {
            identity: "idA".to_owned(),
            scope: "/s".to_owned(),
            role: "Reader".to_owned(),
            role_definition_id: "r".to_owned(),
            principal_id: None,
        }
    }

    fn annotate(identity: &str, name: &str, create: bool) -> Step {
        Step::annotate(&account(name), identity, None, create)
    }

    fn done(id: &str) -> Option<End> {
        let id = (!id.is_empty()).then(|| id.to_owned());
        Some(End::Well(Outcome::Done(id)))
    }

    fn adopted(id: &str) -> Option<End> {
        Some(End::Well(Outcome::Adopted(id.to_owned())))
    }

    fn failed(id: &str) -> Option<End> {
        Some(End::Failed {
            error: "no right".to_owned(),
            correlation_id: Some(id.to_owned()),
        })
    }

    type Steps = Vec<(Step, Option<End>)>;

    /// A plan of these steps, and those of them that ended.
    fn run(steps: Steps, adopted: Vec<Adopted>) -> (Plan, Vec<Taken>) {
        let taken = steps.iter().filter_map(|(step, end)| {
            let (step, end) = (step.clone(), end.clone()?);
            Some(Taken { step, end })
        });
        let taken = taken.collect();
        let plan = Plan {
            steps: steps.into_iter().map(|(step, _)| step).collect(),
            adopted,
            ..Plan::default()
        };
        (plan, taken)
    }

    fn lines(report: &Report) -> Vec<String> {
        let line = |name: &str, entry: &Entry| {
            let mut line = format!("{name} {}", entry.outcome.word());
            for id in &entry.correlation_ids {
                line += &format!(" {id}");
            }
            line + &entry
                .error
                .as_ref()
                .map_or_else(String::new, |error| format!(": {error}"))
        };
        let group = report.resource_group.iter();
        let mut lines: Vec<_> = group.map(|group| line(&group.name, &group.entry)).collect();
        for identity in &report.identities {
            lines.push(line(&identity.name, &identity.entry));
            let accounts = identity.service_accounts.iter();
            lines.extend(accounts.map(|account| line(&account.id.to_string(), &account.entry)));
        }
        lines
    }

    fn events(notices: &[Notice]) -> Vec<String> {
        let event = |notice: &Notice| {
            let kind = if notice.warning { "Warning" } else { "Normal" };
            let about = notice.about.as_ref();
            let about = about.map_or_else(|| "report".to_owned(), ToString::to_string);
            format!("{kind} {about} {}: {}", notice.reason, notice.note)
        };
        notices.iter().map(event).collect()
    }

    #[test]
    fn says_what_came_of_each() {
        let credential_error = "create FederatedCredential idA/c-sa: no right";
        let not_done = "not done: the run ended before it";
        let ended = "Warning report SetupFailed: no right";
        let elsewhere = |identity: &str| Adopted::Identity {
            name: identity.to_owned(),
            location: "eastus".to_owned(),
        };
        let renamed = Adopted::FederatedCredential {
            identity: "idA".to_owned(),
            name: "theirs".to_owned(),
            subject: account("sb").subject(),
        };
        let annotated = |name: &str, identity: &str| {
            format!(
                "Normal ns/{name} IdentityAnnotated: pods with this ServiceAccount get identity {identity}"
            )
        };
        let well = |counts: &str| format!("Normal report SetupDone: identities: {counts}");
        // the steps and how they ended, what was adopted before, what the report and the Events say
        let table: [(&str, Steps, Vec<Adopted>, Vec<String>, Vec<String>); 6] = [
            (
                "nothing to do",
                vec![],
                vec![],
                ["rg", "idA", "ns/sa", "ns/sb", "idB", "ns/sc"]
                    .map(|name| format!("{name} unchanged"))
                    .into(),
                vec![well("2 unchanged")],
            ),
            (
                "from nothing",
                vec![
                    (group(), done("1")),
                    (identity("idA"), done("2")),
                    (credential("idA", "sa"), done("3")),
                    (credential("idA", "sb"), done("4")),
                    (role(), done("5")),
                    (annotate("idA", "sa", true), done("")),
                    (annotate("idA", "sb", false), done("")),
                    (identity("idB"), done("6")),
                    (credential("idB", "sc"), done("7")),
                    (annotate("idB", "sc", true), done("")),
                ],
                vec![],
                [
                    "rg created 1",
                    "idA created 2 5",
                    "ns/sa created 3",
                    "ns/sb updated 4",
                    "idB created 6",
                    "ns/sc created 7",
                ]
                .map(str::to_owned)
                .into(),
                vec![
                    annotated("sa", "idA"),
                    annotated("sb", "idA"),
                    annotated("sc", "idB"),
                    well("2 created"),
                ],
            ),
            (
                "one more ServiceAccount",
                vec![
                    (credential("idA", "sb"), done("1")),
                    (annotate("idA", "sb", true), done("")),
                ],
                vec![elsewhere("idA")],
                [
                    "rg unchanged",
                    "idA updated",
                    "ns/sa unchanged",
                    "ns/sb created 1",
                    "idB unchanged",
                    "ns/sc unchanged",
                ]
                .map(str::to_owned)
                .into(),
                vec![annotated("sb", "idA"), well("1 updated, 1 unchanged")],
            ),
            (
                "used as it is",
                vec![(credential("idB", "sc"), adopted("1"))],
                vec![
                    Adopted::ResourceGroup {
                        name: "rg".to_owned(),
                        location: "eastus".to_owned(),
                    },
                    renamed,
                ],
                [
                    "rg adopted",
                    "idA adopted",
                    "ns/sa unchanged",
                    "ns/sb adopted",
                    "idB adopted",
                    "ns/sc adopted 1",
                ]
                .map(str::to_owned)
                .into(),
                vec![well("2 adopted")],
            ),
            (
                "a step fails",
                vec![
                    (identity("idA"), done("1")),
                    (credential("idA", "sa"), failed("2")),
                    (role(), None),
                    (annotate("idA", "sa", false), None),
                    (credential("idB", "sc"), None),
                ],
                vec![],
                vec![
                    "rg unchanged".to_owned(),
                    format!("idA failed 1: {credential_error}"),
                    format!("ns/sa failed 2: {credential_error}"),
                    "ns/sb unchanged".to_owned(),
                    format!("idB failed: {not_done}"),
                    format!("ns/sc failed: {not_done}"),
                ],
                vec![
                    format!("Warning ns/sa IdentityFailed: no identity idA: {credential_error}"),
                    ended.to_owned(),
                ],
            ),
            (
                "the group fails",
                vec![(group(), failed("1")), (identity("idB"), None)],
                vec![],
                vec![
                    "rg failed 1: create ResourceGroup rg: no right".to_owned(),
                    "idA unchanged".to_owned(),
                    "ns/sa unchanged".to_owned(),
                    "ns/sb unchanged".to_owned(),
                    format!("idB failed: {not_done}"),
                    "ns/sc unchanged".to_owned(),
                ],
                vec![ended.to_owned()],
            ),
        ];
        for (name, steps, adopted, said, heard) in table {
            let (plan, taken) = run(steps, adopted);
            let has_failed = |taken: &Taken| matches!(taken.end, End::Failed { .. });
            let error = taken.iter().any(has_failed).then(|| "no right".to_owned());
            let report = report(&desired(), Some(&plan), &taken, error);
            assert_eq!(lines(&report), said, "{name}");
            assert_eq!(events(&notices(&report, &taken)), heard, "{name}");
        }
        let none = report(&desired(), None, &[], Some("no plan".to_owned()));
        assert_eq!(
            json!(none),
            json!({"done": false, "error": "no plan", "identities": []})
        );
    }

    #[test]
    fn json_has_a_field_for_each_value() {
        let steps = vec![
            (identity("idB"), done("1")),
            (credential("idB", "sc"), failed("2")),
        ];
        let (plan, taken) = run(steps, vec![]);
        let mut desired = desired();
        desired.identities.remove(0);
        let report = report(&desired, Some(&plan), &taken, Some("no right".to_owned()));
        let error = "create FederatedCredential idB/c-sc: no right";
        let expected = json!({
            "done": false,
            "error": "no right",
            "resourceGroup": {"name": "rg", "outcome": "unchanged"},
            "identities": [{
                "name": "idB", "outcome": "failed", "correlationIds": ["1"], "error": error,
                "serviceAccounts": [{
                    "namespace": "ns", "name": "sc", "outcome": "failed", "correlationIds": ["2"], "error": error,
                }],
            }],
        });
        assert_eq!(json!(report), expected);
    }
}
