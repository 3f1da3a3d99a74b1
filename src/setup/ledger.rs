//! The ledger: what setup made, and what it was about to make. Nothing that was there before is in it.
//!
//! An entry is noted as intended before the write that makes its object, and confirmed after it. A run that was killed
//! between the two leaves an intended entry, which the next run settles by what it sees.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::desired::ServiceAccountId;
use super::observe::{Observed, ObservedIdentity, ObservedServiceAccount};
use super::step::Step;
use crate::azure::arm::{GroupId, role_guid, same_name};

/// Everything setup made, by what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger(pub BTreeMap<Made, State>);

/// A thing that setup made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Made {
    /// Where it belongs.
    pub place: Place,
    /// What it is.
    pub thing: Thing,
}

/// A resource group, or an identity in it. All in lower case, as Azure keeps none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The subscription.
    pub subscription: String,
    /// The resource group.
    pub resource_group: String,
    /// The identity; absent for the group itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

/// What setup makes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase")]
pub enum Thing {
    /// The resource group.
    ResourceGroup,
    /// The identity.
    ManagedIdentity,
    /// A federated credential of the identity.
    FederatedCredential {
        /// Its name.
        name: String,
    },
    /// A role given to the identity.
    RoleAssignment {
        /// Where it holds.
        scope: String,
        /// The GUID of the role's definition.
        role: String,
    },
    /// A ServiceAccount, with the annotations.
    ServiceAccount(ServiceAccountId),
    /// The annotations of a ServiceAccount that was there.
    Annotations(ServiceAccountId),
}

/// How sure it is that a thing was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It was not there, and was about to be made.
    Intended,
    /// It was made, and nothing tells it from one of its name made later.
    Made,
    /// It was made with this id, which one made anew does not have: the identity's principal, the ServiceAccount's uid.
    MadeAs(String),
}

/// What becomes different in a ledger. Other entries stay, whoever wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Entries that are to stand so.
    pub put: BTreeMap<Made, State>,
    /// Entries that are to go.
    pub strike: BTreeSet<Made>,
}

impl Place {
    /// The group itself.
    #[must_use]
    pub fn group(group: &GroupId) -> Self {
        Self {
            subscription: group.subscription.to_string(),
            resource_group: group.name.to_lowercase(),
            identity: None,
        }
    }

    /// An identity of the group.
    #[must_use]
    pub fn identity(group: &GroupId, name: &str) -> Self {
        Self {
            identity: Some(name.to_lowercase()),
            ..Self::group(group)
        }
    }

    /// The identity that is there now.
    fn seen<'a>(&self, observed: &'a Observed) -> Option<&'a ObservedIdentity> {
        let name = self.identity.as_deref()?;
        let mut identities = observed.identities.iter();
        let there = identities.find(|(there, _)| same_name(there, name));
        there.map(|(_, identity)| identity)
    }
}

impl Ledger {
    /// The ledger after a change.
    #[must_use]
    pub fn with(&self, change: &Change) -> Self {
        let mut entries = self.0.clone();
        entries.retain(|made, _| !change.strike.contains(made));
        entries.extend(
            change
                .put
                .iter()
                .map(|(made, state)| (made.clone(), state.clone())),
        );
        Self(entries)
    }

    /// What is to be noted before the first of `steps`: what they will make, and what became of earlier intentions.
    #[must_use]
    pub fn noted(&self, group: &GroupId, observed: &Observed, steps: &[Step]) -> Change {
        let mut change = Change::default();
        let planned: BTreeSet<Made> = steps.iter().filter_map(|step| makes(step, group)).collect();
        for (made, state) in &self.0 {
            if planned.contains(made) {
                continue;
            }
            let seen = match is_anew(&made.place, &self.0, observed) && made.goes_with_identity() {
                true => Some(false),
                false => exists(made, group, observed),
            };
            match seen {
                Some(true) if *state != State::Intended => {}
                // One that setup made would have come with its annotations.
                Some(true) if made.annotations().is_some_and(|one| planned.contains(&one)) => {
                    change.strike.insert(made.clone());
                }
                Some(true) => {
                    change.put.insert(made.clone(), State::seen(made, observed));
                }
                Some(false) => {
                    change.strike.insert(made.clone());
                }
                None => {}
            }
        }
        for made in planned {
            if !self.has_account_of(&made, &change) {
                change.put.insert(made, State::Intended);
            }
        }
        change
    }

    /// Whether a step's annotations belong to a ServiceAccount that setup made, and so go with it.
    fn has_account_of(&self, made: &Made, change: &Change) -> bool {
        let Thing::Annotations(account) = &made.thing else {
            return false;
        };
        let account = Made {
            place: made.place.clone(),
            thing: Thing::ServiceAccount(account.clone()),
        };
        self.0.contains_key(&account) && !change.strike.contains(&account)
    }
}

impl Made {
    /// Whether it is deleted as a whole, while taking annotations back takes only what setup applied.
    pub(super) fn is_an_object(&self) -> bool {
        !matches!(self.thing, Thing::Annotations(_))
    }

    /// Whether it is the identity or in it.
    fn goes_with_identity(&self) -> bool {
        matches!(
            self.thing,
            Thing::ManagedIdentity | Thing::FederatedCredential { .. }
        )
    }

    /// What the annotations of this ServiceAccount would be called, had it been there before.
    fn annotations(&self) -> Option<Self> {
        match &self.thing {
            Thing::ServiceAccount(account) => Some(Self {
                place: self.place.clone(),
                thing: Thing::Annotations(account.clone()),
            }),
            _ => None,
        }
    }
}

impl Change {
    /// Whether it changes nothing, whatever the ledger says.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.strike.is_empty()
    }
}

/// What a step makes, if anything.
#[must_use]
pub fn makes(step: &Step, group: &GroupId) -> Option<Made> {
    let of = |identity: &str, thing| {
        let place = Place::identity(group, identity);
        Some(Made { place, thing })
    };
    match step {
        Step::CreateResourceGroup { .. } => Some(Made {
            place: Place::group(group),
            thing: Thing::ResourceGroup,
        }),
        Step::CreateIdentity { name, .. } => of(name, Thing::ManagedIdentity),
        Step::CreateFederatedCredential { identity, name, .. } => {
            let name = name.clone();
            of(identity, Thing::FederatedCredential { name })
        }
        Step::UpdateFederatedCredential { .. } => None,
        Step::AssignRole {
            identity,
            scope,
            role_definition_id,
            ..
        } => {
            let scope = scope.to_lowercase();
            let role = role_guid(role_definition_id).to_lowercase();
            of(identity, Thing::RoleAssignment { scope, role })
        }
        Step::AnnotateServiceAccount {
            namespace,
            name,
            identity,
            create,
            ..
        } => {
            let account = ServiceAccountId {
                namespace: namespace.clone(),
                name: name.clone(),
            };
            let thing = match create {
                true => Thing::ServiceAccount(account),
                false => Thing::Annotations(account),
            };
            of(identity, thing)
        }
    }
}

impl State {
    /// Made, with the id if the writer learnt one.
    #[must_use]
    pub(super) fn made(id: Option<String>) -> Self {
        id.map_or(Self::Made, Self::MadeAs)
    }

    /// Made by a run that could not confirm it.
    fn seen(made: &Made, observed: &Observed) -> Self {
        let identity = made.place.seen(observed);
        let has_id = matches!(
            made.thing,
            Thing::ManagedIdentity | Thing::RoleAssignment { .. }
        );
        Self::made(
            identity
                .filter(|_| has_id)
                .map(|it| it.ids.principal_id.clone()),
        )
    }
}

/// Whether the identity of a place is another than the one that setup made.
fn is_anew(place: &Place, entries: &BTreeMap<Made, State>, observed: &Observed) -> bool {
    let identity = Made {
        place: place.clone(),
        thing: Thing::ManagedIdentity,
    };
    match (entries.get(&identity), place.seen(observed)) {
        (Some(State::MadeAs(id)), Some(there)) => *id != there.ids.principal_id,
        _ => false,
    }
}

/// Whether a thing was seen; `None` if it was not looked for.
fn exists(made: &Made, group: &GroupId, observed: &Observed) -> Option<bool> {
    let place = Place::group(group);
    if (&made.place.subscription, &made.place.resource_group)
        != (&place.subscription, &place.resource_group)
    {
        return None;
    }
    let identity = made.place.seen(observed);
    match &made.thing {
        Thing::ResourceGroup => Some(observed.group.is_some()),
        Thing::ServiceAccount(account) | Thing::Annotations(account) => {
            match observed.service_accounts.get(account)? {
                ObservedServiceAccount::Present(_) => Some(true),
                ObservedServiceAccount::Absent | ObservedServiceAccount::NoNamespace => Some(false),
            }
        }
        Thing::ManagedIdentity => identity.map(|_| true),
        Thing::FederatedCredential { name } => identity.map(|identity| {
            let mut there = identity.credentials.iter();
            there.any(|there| same_name(&there.name, name))
        }),
        Thing::RoleAssignment { scope, role } => identity.and_then(|identity| {
            // Only the config's scopes were looked at.
            let held = identity.assignments.iter().any(|there| {
                there.scope.eq_ignore_ascii_case(scope)
                    && role_guid(&there.role_definition_id).eq_ignore_ascii_case(role)
            });
            held.then_some(true)
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::State::{Intended, Made as IsMade, MadeAs};
    use super::{Change, Ledger, Made, Place, State, Thing};
    use crate::azure::arm::{FederatedCredential, GroupId, ResourceGroup};
    use crate::setup::desired::ServiceAccountId;
    use crate::setup::observe::{Observed, ObservedIdentity, ObservedServiceAccount};
    use crate::setup::step::{IdentityIds, Step};

    fn group() -> GroupId {
        GroupId {
            subscription: uuid::Uuid::nil(),
            name: "RG".to_owned(),
        }
    }

    fn account() -> ServiceAccountId {
        ServiceAccountId {
            namespace: "ns".to_owned(),
            name: "sa".to_owned(),
        }
    }

    fn made(thing: Thing) -> Made {
        let place = match thing {
            Thing::ResourceGroup => Place::group(&group()),
            _ => Place::identity(&group(), "idA"),
        };
        Made { place, thing }
    }

    fn ledger(entries: &[(Thing, State)]) -> Ledger {
        let entry = |(thing, state): &(Thing, State)| (made(thing.clone()), state.clone());
        Ledger(entries.iter().map(entry).collect())
    }

    /// Group, identity, credential `c` and ServiceAccount are there.
    fn observed() -> Observed {
        let credential = FederatedCredential {
            name: "C".to_owned(),
            issuer: String::new(),
            subject: None,
            audiences: Vec::new(),
        };
        let identity = ObservedIdentity {
            ids: IdentityIds {
                client_id: String::new(),
                tenant_id: String::new(),
                principal_id: "p".to_owned(),
            },
            location: String::new(),
            credentials: vec![credential],
            assignments: Vec::new(),
        };
        let here = ObservedServiceAccount::Present(BTreeMap::new());
        Observed {
            issuer: String::new(),
            group: Some(ResourceGroup {
                name: "rg".to_owned(),
                location: String::new(),
            }),
            identities: BTreeMap::from([("idA".to_owned(), identity)]),
            roles: BTreeMap::new(),
            service_accounts: BTreeMap::from([(account(), here)]),
            ledger: Ledger::default(),
            no_ledger_namespace: None,
        }
    }

    fn role() -> Thing {
        Thing::RoleAssignment {
            scope: "/elsewhere".to_owned(),
            role: "r".to_owned(),
        }
    }

    fn credential(name: &str) -> Thing {
        let name = name.to_owned();
        Thing::FederatedCredential { name }
    }

    #[test]
    fn notes_what_is_to_be_made_and_settles_what_was_intended() {
        let annotate = || Step::annotate(&account(), "idA", None, false);
        let service_account = || Thing::ServiceAccount(account());
        let annotations = || Thing::Annotations(account());
        // the ledger before, the steps, the ledger after
        type Entries = Vec<(Thing, State)>;
        let table: [(&str, Entries, Vec<Step>, Entries); 12] = [
            ("nothing", vec![], vec![], vec![]),
            (
                "to be made",
                vec![],
                vec![annotate()],
                vec![(annotations(), Intended)],
            ),
            (
                "made before the crash",
                vec![
                    (credential("c"), Intended),
                    (Thing::ResourceGroup, Intended),
                ],
                vec![],
                vec![(credential("c"), IsMade), (Thing::ResourceGroup, IsMade)],
            ),
            (
                "never made",
                vec![(credential("d"), Intended)],
                vec![],
                vec![],
            ),
            (
                "made, and gone since",
                vec![(credential("d"), IsMade)],
                vec![],
                vec![],
            ),
            (
                "made, and there",
                vec![
                    (credential("c"), IsMade),
                    (Thing::ManagedIdentity, MadeAs("p".to_owned())),
                ],
                vec![],
                vec![
                    (credential("c"), IsMade),
                    (Thing::ManagedIdentity, MadeAs("p".to_owned())),
                ],
            ),
            (
                "made anew by another, with a credential of the name",
                vec![
                    (credential("c"), IsMade),
                    (Thing::ManagedIdentity, MadeAs("q".to_owned())),
                ],
                vec![],
                vec![],
            ),
            (
                "a role at a scope that was not looked at",
                vec![(role(), MadeAs("p".to_owned()))],
                vec![],
                vec![(role(), MadeAs("p".to_owned()))],
            ),
            (
                "not looked at",
                vec![(
                    Thing::ServiceAccount(ServiceAccountId {
                        name: "x".to_owned(),
                        ..account()
                    }),
                    Intended,
                )],
                vec![],
                vec![(
                    Thing::ServiceAccount(ServiceAccountId {
                        name: "x".to_owned(),
                        ..account()
                    }),
                    Intended,
                )],
            ),
            (
                "annotations of an account that setup made",
                vec![(service_account(), IsMade)],
                vec![annotate()],
                vec![(service_account(), IsMade)],
            ),
            (
                "an account that another made meanwhile",
                vec![(service_account(), Intended)],
                vec![annotate()],
                vec![(annotations(), Intended)],
            ),
            (
                "to be made again",
                vec![(annotations(), IsMade)],
                vec![annotate()],
                vec![(annotations(), Intended)],
            ),
        ];
        for (name, before, steps, after) in table {
            let before = ledger(&before);
            let change = before.noted(&group(), &observed(), &steps);
            assert_eq!(before.with(&change), ledger(&after), "{name}");
            assert_eq!(change.is_empty(), before == ledger(&after), "{name}");
        }
    }

    #[test]
    fn a_change_leaves_what_others_wrote() {
        let others = ledger(&[(credential("theirs"), IsMade), (credential("c"), Intended)]);
        let change = Change {
            put: [(made(credential("c")), IsMade)].into(),
            strike: [made(credential("d"))].into(),
        };
        let after = ledger(&[(credential("theirs"), IsMade), (credential("c"), IsMade)]);
        assert_eq!(others.with(&change), after);
    }
}
