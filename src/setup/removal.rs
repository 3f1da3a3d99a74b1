//! The decision of `destroy`: what the ledger has and what is there, to the steps back. Pure and total.

use std::collections::BTreeSet;

use serde::Serialize;

use super::desired::Desired;
use super::found::{Found, FoundIdentity};
use super::ledger::{Made, Place, State, Thing};
use super::undo::{Act, Undo};
use crate::azure::arm::{Resource, assignment_name, role_guid, same_name};
use crate::names::FIELD_MANAGER;

/// The steps back, in order, and what stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// The writes, each safe to repeat.
    pub steps: Vec<Undo>,
    /// What stays, and why.
    pub left: Vec<String>,
    /// Entries of the ledger whose objects are gone already.
    #[serde(skip)]
    pub gone: BTreeSet<Made>,
}

/// Plans the way back: annotations first, so that no new pod counts on what goes next; the group last.
#[must_use]
pub fn removal(desired: &Desired, found: &Found) -> Removal {
    let mut removal = Removal::default();
    let mut identities = Vec::new();
    for identity in &desired.identities {
        let place = Place::identity(&desired.group, &identity.name);
        let things: BTreeSet<_> = found.things(&place).collect();
        let there = found.identities.get(&identity.name);
        for made in &things {
            removal.account(made, found, there);
        }
        identities.push((&identity.name, place, things));
    }
    let mut going = BTreeSet::new();
    for (name, place, things) in &identities {
        if removal.identity(name, place, things, found) {
            going.insert(name.to_lowercase());
        }
    }
    removal.others(desired, found);
    removal.group(desired, found, &going);
    removal
}

impl Removal {
    fn push(&mut self, made: &Made, act: Act) {
        let made = made.clone();
        self.steps.push(Undo { made, act });
    }

    fn account(&mut self, made: &Made, found: &Found, identity: Option<&FoundIdentity>) {
        let (Thing::ServiceAccount(account) | Thing::Annotations(account)) = &made.thing else {
            return;
        };
        let Some(there) = found.accounts.get(account) else {
            self.gone.insert(made.clone());
            return;
        };
        if let (Some(used), Some(identity)) = (&there.client_id, identity)
            && !used.eq_ignore_ascii_case(&identity.client_id)
        {
            self.left.push(format!(
                "ServiceAccount {account}: now of another identity, with client id {used}"
            ));
            return;
        }
        let (account, version) = (account.clone(), there.version.clone());
        let uid = there.uid.clone();
        let others: Vec<_> = there
            .managers
            .iter()
            .filter(|manager| *manager != FIELD_MANAGER)
            .map(String::as_str)
            .collect();
        let state = found.ledger.0.get(made);
        let anew = matches!(state, Some(State::MadeAs(uid)) if there.uid.as_ref() != Some(uid));
        if matches!(made.thing, Thing::Annotations(_)) {
            self.push(made, Act::Unannotate(account, version, uid));
        } else if anew {
            self.left.push(format!(
                "ServiceAccount {account}: made by setup, but made anew by another since: only the annotations go"
            ));
            self.push(made, Act::Unannotate(account, version, uid));
        } else if others.is_empty() {
            self.push(made, Act::DeleteServiceAccount(account, version));
        } else {
            self.left.push(format!(
                "ServiceAccount {account}: made by setup, but {} has fields of it: only the annotations go",
                others.join(", ")
            ));
            self.push(made, Act::Unannotate(account, version, uid));
        }
    }

    /// Plans roles, credentials and the identity itself; tells whether it goes.
    fn identity(
        &mut self,
        name: &str,
        place: &Place,
        things: &BTreeSet<&Made>,
        found: &Found,
    ) -> bool {
        let Some(there) = found.identities.get(name) else {
            self.without_identity(name, things, found);
            return false;
        };
        let itself = Made {
            place: place.clone(),
            thing: Thing::ManagedIdentity,
        };
        if matches!(found.ledger.0.get(&itself), Some(State::MadeAs(id)) if *id != there.principal_id)
        {
            self.left.push(format!(
                "identity {name}: made by setup, but made anew by another since"
            ));
            self.without_identity(name, things, found);
            return false;
        }
        for made in things {
            if let Thing::RoleAssignment { scope, role } = &made.thing {
                self.role(made, name, scope, role, there);
            }
        }
        let mut foreign = Vec::new();
        for credential in &there.credentials {
            let ours = things.iter().find(|made| {
                matches!(&made.thing, Thing::FederatedCredential { name } if same_name(name, &credential.name))
            });
            match ours {
                Some(made) => self.push(
                    made,
                    Act::DeleteFederatedCredential {
                        identity: name.to_owned(),
                        name: credential.name.clone(),
                    },
                ),
                None => foreign.push(credential.name.as_str()),
            }
        }
        for made in things {
            let Thing::FederatedCredential { name } = &made.thing else {
                continue;
            };
            let mut credentials = there.credentials.iter();
            if !credentials.any(|there| same_name(&there.name, name)) {
                self.gone.insert((*made).clone());
            }
        }
        let foreign = foreign.join(", ");
        if !things.contains(&itself) {
            let credentials = match foreign.as_str() {
                "" => String::new(),
                names => format!(" nor credentials {names}"),
            };
            self.left
                .push(format!("identity {name}: not made by setup{credentials}"));
            return false;
        }
        if !foreign.is_empty() {
            self.left.push(format!(
                "identity {name}: made by setup, but its credentials {foreign} are not"
            ));
            return false;
        }
        self.push(&itself, Act::DeleteIdentity(name.to_owned()));
        true
    }

    /// What went with an identity that somebody deleted is gone; its role assignments stay behind, and go by the principal
    /// that the ledger has.
    fn without_identity(&mut self, name: &str, things: &BTreeSet<&Made>, found: &Found) {
        for made in things {
            match (&made.thing, found.ledger.0.get(*made)) {
                (Thing::ServiceAccount(_) | Thing::Annotations(_), _) => {}
                (Thing::RoleAssignment { scope, role }, Some(State::MadeAs(principal))) => {
                    let revoke = Act::Revoke {
                        identity: name.to_owned(),
                        scope: scope.clone(),
                        name: assignment_name(scope, principal, role).to_string(),
                    };
                    self.push(made, revoke);
                }
                _ => {
                    self.gone.insert((*made).clone());
                }
            }
        }
    }

    fn role(
        &mut self,
        made: &Made,
        identity: &str,
        scope: &str,
        role: &str,
        there: &FoundIdentity,
    ) {
        let held = there.assignments.iter().find(|one| {
            one.scope.eq_ignore_ascii_case(scope)
                && role_guid(&one.role_definition_id).eq_ignore_ascii_case(role)
        });
        let ours = assignment_name(scope, &there.principal_id, role).to_string();
        match held {
            Some(held) if same_name(&held.name, &ours) => self.push(
                made,
                Act::Revoke {
                    identity: identity.to_owned(),
                    scope: held.scope.clone(),
                    name: held.name.clone(),
                },
            ),
            Some(held) => {
                self.left.push(format!(
                    "role assignment {} of {identity} at {scope}: not made by setup",
                    held.name
                ));
                self.gone.insert(made.clone());
            }
            None => {
                self.gone.insert(made.clone());
            }
        }
    }

    /// What the ledger has of this group beside the config.
    fn others(&mut self, desired: &Desired, found: &Found) {
        let group = Place::group(&desired.group);
        let known: BTreeSet<_> = desired
            .identities
            .iter()
            .map(|identity| identity.name.to_lowercase())
            .collect();
        let others: BTreeSet<_> = found
            .ledger
            .0
            .keys()
            .map(|made| &made.place)
            .filter(|place| {
                (&place.subscription, &place.resource_group)
                    == (&group.subscription, &group.resource_group)
            })
            .filter_map(|place| place.identity.as_ref())
            .filter(|identity| !known.contains(*identity))
            .collect();
        for identity in others {
            self.left.push(format!(
                "identity {identity}: in the ledger, but not in this config"
            ));
        }
    }

    fn group(&mut self, desired: &Desired, found: &Found, going: &BTreeSet<String>) {
        let name = &desired.group.name;
        let itself = Made {
            place: Place::group(&desired.group),
            thing: Thing::ResourceGroup,
        };
        let ours = found.ledger.0.contains_key(&itself);
        let Some(resources) = &found.resources else {
            if ours {
                self.gone.insert(itself);
            }
            return;
        };
        if !ours {
            self.left
                .push(format!("resource group {name}: not made by setup"));
            return;
        }
        let stays = resources
            .iter()
            .filter(|one| !(is_identity(one) && going.contains(&one.name.to_lowercase())));
        let stays: Vec<_> = stays.map(ToString::to_string).collect();
        if stays.is_empty() {
            self.push(&itself, Act::DeleteResourceGroup(name.clone()));
        } else {
            self.left.push(not_empty(name, &stays));
        }
    }
}

/// The sentence for a group that stays because of what is in it.
#[must_use]
pub fn not_empty(group: &str, stays: &[String]) -> String {
    format!(
        "resource group {group}: made by setup, but {} stands in it",
        stays.join(", ")
    )
}

fn is_identity(resource: &Resource) -> bool {
    same_name(
        &resource.kind,
        "Microsoft.ManagedIdentity/userAssignedIdentities",
    )
}
