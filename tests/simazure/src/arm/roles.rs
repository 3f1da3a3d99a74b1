//! Role assignments, at any scope.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::Call;
use super::error::Refusal;
use super::reply::Reply;
use super::resources::Resources;
use super::role_definitions::{BUILT_IN, role_id};
use crate::CLIENT_OBJECT_ID;

/// Role assignments, by scope and name in lower case.
#[derive(Debug, Default)]
pub(super) struct Assignments(BTreeMap<(String, String), Assignment>);

#[derive(Clone, Debug)]
struct Assignment {
    scope: String,
    name: Uuid,
    role: Uuid,
    principal_id: Uuid,
    principal_type: &'static str,
}

/// Why a role assignment was not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Invalid {
    #[error("The role assignment ID '{0}' is not valid. The role assignment ID must be a GUID.")]
    Name(String),
    #[error("The request to create role assignment is not valid: '{0}' must be {1}.")]
    Property(&'static str, &'static str),
    #[error("The specified role definition with ID '{0}' does not exist.")]
    NoRole(String),
    #[error(
        "Principal {0} does not exist in the directory. If you are creating this principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group."
    )]
    NoPrincipal(Uuid),
    #[error("The PrincipalId '{0}' has type 'ServicePrincipal', which is different from '{1}'.")]
    OtherType(Uuid, String),
    #[error("The role assignment already exists. The ID of the existing role assignment is {0}.")]
    Exists(String),
    #[error("Tenant ID, application ID, principal ID, and scope are not allowed to be updated.")]
    Update,
    #[error("The role assignment '{0}' is not found.")]
    NotFound(String),
}

impl Invalid {
    pub(super) fn facts(&self) -> (StatusCode, &'static str) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        match self {
            Invalid::Name(_) => (BAD, "InvalidRoleAssignmentId"),
            Invalid::Property(..) => (BAD, "InvalidCreateRoleAssignmentRequest"),
            Invalid::NoRole(_) => (BAD, "RoleDefinitionDoesNotExist"),
            Invalid::NoPrincipal(_) => (BAD, "PrincipalNotFound"),
            Invalid::OtherType(..) => (BAD, "UnmatchedPrincipalType"),
            Invalid::Exists(_) => (StatusCode::CONFLICT, "RoleAssignmentExists"),
            Invalid::Update => (BAD, "RoleAssignmentUpdateNotPermitted"),
            Invalid::NotFound(_) => (StatusCode::NOT_FOUND, "RoleAssignmentNotFound"),
        }
    }
}

impl Assignment {
    fn json(&self) -> Value {
        json!({
            "id": self.id(),
            "name": self.name.to_string(),
            "type": "Microsoft.Authorization/roleAssignments",
            "properties": {
                "scope": self.scope,
                "roleDefinitionId": role_id(&self.role.to_string()),
                "principalId": self.principal_id.to_string(),
                "principalType": self.principal_type,
                "condition": null,
                "conditionVersion": null,
            },
        })
    }

    fn id(&self) -> String {
        format!(
            "{}/providers/Microsoft.Authorization/roleAssignments/{}",
            self.scope, self.name
        )
    }

    fn says_the_same(&self, other: &Self) -> bool {
        (self.role, self.principal_id) == (other.role, other.principal_id)
    }
}

impl Assignments {
    /// Forgets what was assigned at a resource that is gone, or within it.
    pub(super) fn forget(&mut self, scope: &str) {
        let scope = scope.to_lowercase();
        self.0.retain(|(at, _), _| !is_within(at, &scope));
    }

    /// At the scope, above it (inherited) and below it; only the first two with `atScope()`.
    fn seen_from<'s>(&'s self, scope: &str, call: &'s Call) -> impl Iterator<Item = Value> + 's {
        let scope = scope.to_lowercase();
        let filter = call.query.get("$filter").unwrap_or_default();
        let no_lower = filter.contains("atScope()");
        let principal = call
            .query
            .filtered("principalId")
            .or_else(|| between(filter, "assignedTo('", "'"));
        self.0
            .iter()
            .filter(move |((at, _), one)| {
                (is_within(&scope, at) || !no_lower && is_within(at, &scope))
                    && principal
                        .is_none_or(|only| only.eq_ignore_ascii_case(&one.principal_id.to_string()))
            })
            .map(|(_, one)| one.json())
    }
}

impl Resources {
    pub(super) fn assignments(&mut self, scope: &str, call: &Call) -> Result<Reply, Refusal> {
        self.scope(scope)?;
        let items = self.assignments.seen_from(scope, call);
        Reply::page(items, call, &self.origin, self.page_size)
    }

    pub(super) fn assignment(
        &mut self,
        scope: &str,
        name: &str,
        call: &Call,
    ) -> Result<Reply, Refusal> {
        self.scope(scope)?;
        let key = (scope.to_lowercase(), name.to_lowercase());
        match call.method.as_str() {
            "GET" => match self.assignments.0.get(&key) {
                Some(assignment) => Ok(Reply::ok(assignment.json())),
                None => Err(Invalid::NotFound(name.to_owned()).into()),
            },
            "DELETE" => Ok(match self.assignments.0.remove(&key) {
                Some(assignment) => Reply::ok(assignment.json()),
                None => Reply::deleted(false),
            }),
            "PUT" => self.put_assignment(key, scope, call),
            other => Err(Refusal::MethodNotAllowed(other.to_owned())),
        }
    }

    fn put_assignment(
        &mut self,
        key: (String, String),
        scope: &str,
        call: &Call,
    ) -> Result<Reply, Refusal> {
        let assignment = self.asked_assignment(&key.1, scope, call)?;
        if let Some(existing) = self.assignments.0.get(&key) {
            if !existing.says_the_same(&assignment) {
                return Err(Invalid::Update.into());
            }
            return Ok(Reply::ok(existing.json()));
        }
        let twin = self
            .assignments
            .0
            .iter()
            .find(|((at, _), one)| *at == key.0 && one.says_the_same(&assignment));
        if let Some((_, twin)) = twin {
            return Err(Invalid::Exists(twin.name.simple().to_string()).into());
        }
        let reply = Reply::put(true, assignment.json());
        self.assignments.0.insert(key, assignment);
        Ok(reply)
    }

    fn asked_assignment(
        &mut self,
        name: &str,
        scope: &str,
        call: &Call,
    ) -> Result<Assignment, Refusal> {
        let name: Uuid = name.parse().map_err(|_| Invalid::Name(name.to_owned()))?;
        let text = |key: &str| call.body["properties"][key].as_str().unwrap_or_default();
        let definition = text("roleDefinitionId");
        let role = definition.rsplit('/').next().unwrap_or_default();
        if role.is_empty() {
            return Err(Invalid::Property("roleDefinitionId", "an id of a role definition").into());
        }
        if !BUILT_IN.iter().any(|(_, id)| id.eq_ignore_ascii_case(role)) {
            return Err(Invalid::NoRole(role.to_owned()).into());
        }
        let wrong_role = Invalid::Property("roleDefinitionId", "an id of a role definition");
        let principal_id: Uuid = text("principalId")
            .parse()
            .map_err(|_| Invalid::Property("principalId", "a GUID"))?;
        // Left out it is a user, and a user has to be in the directory by now.
        let kind = match text("principalType") {
            "" => "User",
            kind => kind,
        };
        let arrived = principal_id.to_string() == CLIENT_OBJECT_ID
            || self.directory.has_principal(principal_id, call.now);
        let service_principal = kind.eq_ignore_ascii_case("ServicePrincipal");
        // A stated service principal need not have arrived yet, but has to be on its way.
        if !(arrived || service_principal && self.is_principal(principal_id)) {
            return Err(Invalid::NoPrincipal(principal_id).into());
        }
        if !service_principal {
            return Err(Invalid::OtherType(principal_id, kind.to_owned()).into());
        }
        Ok(Assignment {
            scope: scope.to_owned(),
            name,
            role: role.parse().map_err(|_| wrong_role)?,
            principal_id,
            principal_type: "ServicePrincipal",
        })
    }
}

/// Whether a path is another or begins with it, whole segments, both in lower case.
fn is_within(path: &str, scope: &str) -> bool {
    path.strip_prefix(scope)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(found, _)| found)
}
