//! Role definitions: the built-in ones, the same at any scope.

use serde_json::{Value, json};

use super::call::Call;
use super::error::Refusal;
use super::roles::Invalid;
use crate::SUBSCRIPTION;

/// Built-in roles: name and definition id, the same in every tenant.
pub(super) const BUILT_IN: [(&str, &str); 10] = [
    ("Owner", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
    ("Contributor", "b24988ac-6180-42a0-ab88-20f7382dd24c"),
    ("Reader", "acdd72a7-3385-48ef-bd42-f606fba81ae7"),
    (
        "User Access Administrator",
        "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
    ),
    (
        "Managed Identity Operator",
        "f1a07417-d97a-45cb-824c-7a7467783830",
    ),
    (
        "Managed Identity Contributor",
        "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59",
    ),
    (
        "Key Vault Secrets User",
        "4633458b-17de-408a-b874-0445c86b69e6",
    ),
    ("Key Vault Reader", "21090545-7ca7-4776-b22c-e363652d74d2"),
    (
        "Storage Blob Data Reader",
        "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    ),
    (
        "Storage Blob Data Contributor",
        "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    ),
];

/// The role definitions, or the one of a name.
pub(super) fn definitions(call: &Call) -> impl Iterator<Item = Value> {
    let name = call.query.filtered("roleName");
    BUILT_IN
        .iter()
        .filter(move |(role, _)| name.is_none_or(|name| name.eq_ignore_ascii_case(role)))
        .map(|(role, id)| role_json(role, id))
}

/// The role definition of an id.
pub(super) fn definition(id: &str) -> Result<Value, Refusal> {
    BUILT_IN
        .iter()
        .find(|(_, known)| known.eq_ignore_ascii_case(id))
        .map(|(role, id)| role_json(role, id))
        .ok_or_else(|| Invalid::NoRole(id.to_owned()).into())
}

fn role_json(role: &str, id: &str) -> Value {
    json!({
        "id": role_id(id),
        "name": id,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": role,
            "type": "BuiltInRole",
            "description": "",
            "assignableScopes": ["/"],
            "permissions": [],
        },
    })
}

pub(super) fn role_id(id: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{id}")
}
