//! Looks at roles: their definitions, and what an identity has.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::desired::{Desired, DesiredRole};
use super::observe::ObserveError;
use super::retry::persist;
use crate::azure::arm::{ArmError, Client, FailureKind, RoleAssignment, RoleDefinition, request};

/// The ids of the definitions of all roles that `desired` names.
pub(super) async fn definitions(
    desired: &Desired,
    arm: &Client,
) -> Result<BTreeMap<DesiredRole, String>, ObserveError> {
    let identities = desired.identities.iter();
    let wanted: BTreeSet<_> = identities.flat_map(|identity| &identity.roles).collect();
    let mut definitions = BTreeMap::new();
    for role in wanted {
        let id = match definition(&role.scope, &role.role, arm).await? {
            Some(id) => Some(id),
            // What is yet to be made has the roles of its subscription.
            None if is_to_be_made(&role.scope, desired) => {
                let subscription = format!("/subscriptions/{}", desired.group.subscription);
                definition(&subscription, &role.role, arm).await?
            }
            None => None,
        };
        let id = id.ok_or_else(|| ObserveError::NoRole {
            role: role.role.clone(),
            scope: role.scope.clone(),
        })?;
        definitions.insert(role.clone(), id);
    }
    Ok(definitions)
}

/// What a principal has at exactly these scopes.
pub(super) async fn assignments(
    scopes: impl Iterator<Item = &str>,
    principal_id: &str,
    arm: &Client,
) -> Result<Vec<RoleAssignment>, ArmError> {
    let mut found = Vec::new();
    for scope in scopes.collect::<BTreeSet<_>>() {
        let list = request::list_assignments(scope, principal_id);
        let there = listed(persist(async || arm.list(&list).await).await)?;
        // The list has what is inherited too, which a later change elsewhere may take away.
        found.extend(
            there
                .into_iter()
                .filter(|one| one.scope.eq_ignore_ascii_case(scope)),
        );
    }
    Ok(found)
}

async fn definition(scope: &str, role: &str, arm: &Client) -> Result<Option<String>, ArmError> {
    let found = if let Ok(guid) = Uuid::parse_str(role) {
        let get = request::get_role(scope, guid);
        persist(async || arm.find(&get).await).await?
    } else {
        let list = request::list_roles(scope, role);
        let roles: Vec<RoleDefinition> = listed(persist(async || arm.list(&list).await).await)?;
        roles.into_iter().next()
    };
    Ok(found.map(|role| role.id))
}

/// Whether setup makes the scope, or what it stands in.
fn is_to_be_made(scope: &str, desired: &Desired) -> bool {
    let group = &desired.group;
    let path = format!(
        "/subscriptions/{}/resourceGroups/{}",
        group.subscription, group.name
    );
    let within = format!("{}/", scope.to_lowercase());
    within.starts_with(&format!("{}/", path.to_lowercase()))
}

/// A list at a scope that is not there is empty.
fn listed<T>(list: Result<Vec<T>, ArmError>) -> Result<Vec<T>, ArmError> {
    match list {
        Err(error) if error.kind() == Some(FailureKind::NotFound) => Ok(Vec::new()),
        list => list,
    }
}
