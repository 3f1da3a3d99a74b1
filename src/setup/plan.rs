//! The decision: what is wanted and what is there, to the steps between. Pure and total.

use std::collections::BTreeSet;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::adopted::Adopted;
use super::desired::{
    CREDENTIALS_PER_IDENTITY, Desired, DesiredIdentity, LIMIT_OPTIONS, ServiceAccountId,
};
use super::ledger::Change;
use super::observe::{Observed, ObservedIdentity, ObservedServiceAccount};
use super::step::{IdentityIds, Step};
use crate::azure::arm::{FederatedCredential, Trust, role_guid, same_name};
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
    /// What the ledger is to say before the first step.
    #[serde(skip)]
    pub noted: Change,
}

/// No plan: nothing may be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Namespaces are missing; setup makes none.
    #[error("no such namespace: {}; create it or correct the config, setup makes no namespaces", .0.join(", "))]
    MissingNamespaces(Vec<String>),
    /// The ledger's namespace is missing, and there is something to note in it.
    #[error(
        "there is no namespace {0} to keep the ledger in, by which `setup destroy` knows what was made: \
         `kubectl create namespace {0}`, or name another with --ledger-namespace (SETUP_LEDGER_NAMESPACE)"
    )]
    NoLedgerNamespace(String),
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
    plan.noted = observed.ledger.noted(&desired.group, observed, &plan.steps);
    match &observed.no_ledger_namespace {
        Some(name) if !plan.noted.is_empty() => Err(PlanError::NoLedgerNamespace(name.clone())),
        _ => Ok(plan),
    }
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
    plan_roles(plan, observed, identity, existing);
    for account in &identity.service_accounts {
        let state = observed.service_accounts.get(account);
        plan.steps
            .extend(annotation(account, identity, existing, state));
    }
    Ok(())
}

fn plan_roles(
    plan: &mut Plan,
    observed: &Observed,
    identity: &DesiredIdentity,
    existing: Option<&ObservedIdentity>,
) {
    let assignments = existing.map_or(&[][..], |existing| &existing.assignments);
    let key = |scope: &str, id: &str| (scope.to_lowercase(), role_guid(id).to_lowercase());
    let there = assignments
        .iter()
        .map(|there| key(&there.scope, &there.role_definition_id));
    let mut given: BTreeSet<_> = there.collect();
    for role in &identity.roles {
        let Some(id) = observed.roles.get(role) else {
            continue;
        };
        // The same role may stand twice in the config, by name and by GUID.
        if given.insert(key(&role.scope, id)) {
            plan.steps.push(Step::AssignRole {
                identity: identity.name.clone(),
                scope: role.scope.clone(),
                role: role.role.clone(),
                role_definition_id: id.clone(),
                principal_id: existing.map(|existing| existing.ids.principal_id.clone()),
            });
        }
    }
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
                     ..
                 }| { has(CLIENT_ID, client_id) && has(TENANT_ID, tenant_id) },
            );
            if done { None } else { step(false) }
        }
        Some(ObservedServiceAccount::Absent | ObservedServiceAccount::NoNamespace) | None => {
            step(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{PlanError, credential_name, plan};
    use crate::azure::arm::{FederatedCredential, ResourceGroup, RoleAssignment};
    use crate::names::{CLIENT_ID, TENANT_ID};
    use crate::setup::adopted::Adopted;
    use crate::setup::config;
    use crate::setup::desired::{Desired, DesiredRole, ServiceAccountId};
    use crate::setup::ledger::Ledger;
    use crate::setup::observe::{Observed, ObservedIdentity, ObservedServiceAccount};
    use crate::setup::step::IdentityIds;

    const ISSUER: &str = "https://issuer.test/";
    const SUBJECT: &str = "system:serviceaccount:ns:sa";
    const AUDIENCE: &str = "api://AzureADTokenExchange";

    fn desired() -> Desired {
        config::parse(
            "{subscription: 11111111-2222-3333-4444-555555555555,
              resourceGroup: {name: rg, location: West US 2}, issuer: auto,
              identities: [{name: idA, serviceAccounts: [{namespace: ns, name: sa}]}]}",
        )
        .unwrap()
    }

    fn account() -> ServiceAccountId {
        desired().identities[0].service_accounts[0].clone()
    }

    fn our_name() -> String {
        credential_name(&account(), ISSUER)
    }

    fn credential(name: &str, issuer: &str, subject: &str, audience: &str) -> FederatedCredential {
        FederatedCredential {
            name: name.to_owned(),
            issuer: issuer.to_owned(),
            subject: (!subject.is_empty()).then(|| subject.to_owned()),
            audiences: vec![audience.to_owned()],
        }
    }

    fn annotated(client_id: &str, tenant_id: &str) -> ObservedServiceAccount {
        ObservedServiceAccount::Present(BTreeMap::from([
            (CLIENT_ID.to_owned(), client_id.to_owned()),
            (TENANT_ID.to_owned(), tenant_id.to_owned()),
        ]))
    }

    /// All as it is to be.
    fn done() -> Observed {
        let ids = IdentityIds {
            client_id: "c".to_owned(),
            tenant_id: "t".to_owned(),
            principal_id: "p".to_owned(),
        };
        let identity = ObservedIdentity {
            ids,
            location: "westus2".to_owned(),
            credentials: vec![credential(&our_name(), ISSUER, SUBJECT, AUDIENCE)],
            assignments: Vec::new(),
        };
        Observed {
            issuer: ISSUER.to_owned(),
            group: Some(ResourceGroup {
                name: "rg".to_owned(),
                location: "westus2".to_owned(),
            }),
            identities: BTreeMap::from([("idA".to_owned(), identity)]),
            roles: BTreeMap::new(),
            service_accounts: BTreeMap::from([(account(), annotated("c", "t"))]),
            ledger: Ledger::default(),
            no_ledger_namespace: None,
        }
    }

    fn with_credentials(credentials: Vec<FederatedCredential>) -> Observed {
        let mut observed = done();
        if let Some(identity) = observed.identities.get_mut("idA") {
            identity.credentials = credentials;
        }
        observed
    }

    fn with_account(state: ObservedServiceAccount) -> Observed {
        Observed {
            service_accounts: BTreeMap::from([(account(), state)]),
            ..done()
        }
    }

    #[test]
    fn steps() {
        let create = format!("create FederatedCredential idA/{}", our_name());
        let one = |name, issuer, subject, audience| {
            with_credentials(vec![credential(name, issuer, subject, audience)])
        };
        let nothing = Observed {
            group: None,
            identities: BTreeMap::new(),
            ..with_account(ObservedServiceAccount::Absent)
        };
        let no_identity = Observed {
            identities: BTreeMap::new(),
            ..done()
        };
        let table: [(&str, Observed, &[&str]); 14] = [
            ("done", done(), &[]),
            (
                "nothing is there",
                nothing,
                &[
                    "create ResourceGroup rg",
                    "create ManagedIdentity idA",
                    &create,
                    "create ServiceAccount ns/sa",
                ],
            ),
            (
                "a new identity has other ids than the annotations can have",
                no_identity,
                &[
                    "create ManagedIdentity idA",
                    &create,
                    "annotate ServiceAccount ns/sa",
                ],
            ),
            ("no credential", with_credentials(vec![]), &[&create]),
            ("another name", one("x-1", ISSUER, SUBJECT, AUDIENCE), &[]),
            (
                "another audience",
                one("x-1", ISSUER, SUBJECT, "other"),
                &["update FederatedCredential idA/x-1"],
            ),
            (
                "an issuer without the slash",
                one("x-1", "https://issuer.test", SUBJECT, AUDIENCE),
                &[&create],
            ),
            (
                "an issuer in other case",
                one("x-1", "https://Issuer.test/", SUBJECT, AUDIENCE),
                &[&create],
            ),
            (
                "a subject in other case",
                one("x-1", ISSUER, "system:serviceaccount:ns:SA", AUDIENCE),
                &[&create],
            ),
            (
                "an expression for a subject",
                one("x-1", ISSUER, "", AUDIENCE),
                &[&create],
            ),
            (
                "no service account",
                with_account(ObservedServiceAccount::Absent),
                &["create ServiceAccount ns/sa"],
            ),
            (
                "no annotations",
                with_account(ObservedServiceAccount::Present(BTreeMap::new())),
                &["annotate ServiceAccount ns/sa"],
            ),
            (
                "another client id",
                with_account(annotated("x", "t")),
                &["annotate ServiceAccount ns/sa"],
            ),
            (
                "another tenant",
                with_account(annotated("c", "x")),
                &["annotate ServiceAccount ns/sa"],
            ),
        ];
        for (name, observed, steps) in table {
            let plan = plan(&desired(), &observed).unwrap();
            let planned: Vec<_> = plan.steps.iter().map(ToString::to_string).collect();
            assert_eq!(planned, steps, "{name}");
        }
    }

    #[test]
    fn roles() {
        const READER: &str = "/providers/x/roleDefinitions/aaaa";
        let role = |scope: &str, role: &str| DesiredRole {
            scope: scope.to_owned(),
            role: role.to_owned(),
        };
        let mut desired = desired();
        desired.identities[0].roles = vec![role("/s/A", "Reader"), role("/s/a", "aaaa")];
        let wanted = desired.identities[0].roles.iter();
        let roles: BTreeMap<_, _> = wanted
            .map(|role| (role.clone(), READER.to_owned()))
            .collect();
        let with = |there: &[(&str, &str)]| {
            let assignment = |(scope, id): &(&str, &str)| RoleAssignment {
                name: "n".to_owned(),
                scope: (*scope).to_owned(),
                role_definition_id: (*id).to_owned(),
            };
            let mut observed = Observed {
                roles: roles.clone(),
                ..done()
            };
            if let Some(identity) = observed.identities.get_mut("idA") {
                identity.assignments = there.iter().map(assignment).collect();
            }
            observed
        };
        let assign = &["assign Role idA/Reader"][..];
        let table = [
            ("none, and once by name and by GUID", with(&[]), assign),
            (
                "in other case, of another prefix",
                with(&[("/S/A", "/subscriptions/s/roleDefinitions/AAAA")]),
                &[],
            ),
            ("another scope", with(&[("/s", READER)]), assign),
            ("another role", with(&[("/s/A", "/x/bbbb")]), assign),
        ];
        for (name, observed, steps) in table {
            let plan = plan(&desired, &observed).unwrap();
            let planned: Vec<_> = plan.steps.iter().map(ToString::to_string).collect();
            assert_eq!(planned, steps, "{name}");
        }
    }

    #[test]
    fn what_differs_and_does_is_told_and_left_alone() {
        let mut elsewhere = done();
        elsewhere.group = elsewhere.group.map(|group| ResourceGroup {
            location: "northeurope".to_owned(),
            ..group
        });
        if let Some(identity) = elsewhere.identities.get_mut("idA") {
            identity.location = "eastus".to_owned();
            identity.credentials[0].name = "theirs".to_owned();
        }
        let plan = plan(&desired(), &elsewhere).unwrap();
        assert_eq!(plan.steps, []);
        let expected = [
            Adopted::ResourceGroup {
                name: "rg".to_owned(),
                location: "northeurope".to_owned(),
            },
            Adopted::Identity {
                name: "idA".to_owned(),
                location: "eastus".to_owned(),
            },
            Adopted::FederatedCredential {
                identity: "idA".to_owned(),
                name: "theirs".to_owned(),
                subject: SUBJECT.to_owned(),
            },
        ];
        assert_eq!(plan.adopted, expected);
    }

    #[test]
    fn refusals() {
        let others = |count: usize| -> Vec<_> {
            (0..count)
                .map(|n| {
                    credential(
                        &format!("x-{n}"),
                        ISSUER,
                        &format!("{SUBJECT}{n}"),
                        AUDIENCE,
                    )
                })
                .collect()
        };
        let identity = "idA".to_owned();
        let table = [
            ("19 and one more", with_credentials(others(19)), None),
            (
                "20 and one more",
                with_credentials(others(20)),
                Some(PlanError::TooManyCredentials {
                    identity: identity.clone(),
                    existing: 20,
                    wanted: 1,
                }),
            ),
            (
                "our name, another's trust",
                with_credentials(vec![credential(
                    &our_name(),
                    "https://other",
                    SUBJECT,
                    AUDIENCE,
                )]),
                Some(PlanError::CredentialNameTaken {
                    identity,
                    name: our_name(),
                }),
            ),
            (
                "no namespace",
                with_account(ObservedServiceAccount::NoNamespace),
                Some(PlanError::MissingNamespaces(vec!["ns".to_owned()])),
            ),
        ];
        for (name, observed, refusal) in table {
            assert_eq!(plan(&desired(), &observed).err(), refusal, "{name}");
        }
    }

    #[test]
    fn credential_names() {
        let name = |namespace: &str, name: &str, issuer: &str| {
            let account = ServiceAccountId {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            };
            credential_name(&account, issuer)
        };
        let plain = name("ns", "my.sa", ISSUER);
        assert!(
            plain.starts_with("ns-my-sa-") && plain.len() == 17,
            "{plain}"
        );
        assert_eq!(plain, name("ns", "my.sa", ISSUER));
        assert_ne!(plain, name("ns", "my-sa", ISSUER));
        assert_ne!(plain, name("ns", "my.sa", "https://issuer.test"));
        let long = name(&"n".repeat(63), &"s".repeat(253), ISSUER);
        assert_eq!(long.len(), 120);
        assert_ne!(long, name(&"n".repeat(63), &"s".repeat(252), ISSUER));
    }

    #[test]
    fn a_ledger_to_be_written_needs_its_namespace() {
        let without = |observed: Observed| Observed {
            no_ledger_namespace: Some("system".to_owned()),
            ..observed
        };
        let table = [
            ("nothing to do", without(done()), false),
            (
                "nothing that is made",
                without(with_credentials(vec![credential(
                    &our_name(),
                    ISSUER,
                    SUBJECT,
                    "other",
                )])),
                false,
            ),
            (
                "a credential to be made",
                without(with_credentials(vec![])),
                true,
            ),
            ("the namespace is there", with_credentials(vec![]), false),
        ];
        for (name, observed, refused) in table {
            let error = plan(&desired(), &observed).err();
            let expected = refused.then(|| PlanError::NoLedgerNamespace("system".to_owned()));
            assert_eq!(error, expected, "{name}");
        }
    }
}
