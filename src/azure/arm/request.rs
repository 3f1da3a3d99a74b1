//! Requests as values: method, path, api-version, body. Nothing here sends.

use std::fmt;
use std::marker::PhantomData;

use azure_core::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::{Deleted, Page};
use super::resource::{
    FederatedCredential, ManagedCluster, ManagedIdentity, Resource, ResourceGroup, RoleAssignment,
    RoleDefinition, Trust,
};

const GROUPS_VERSION: &str = "2021-04-01";
const IDENTITIES_VERSION: &str = "2024-11-30";
const CLUSTERS_VERSION: &str = "2025-10-01";
const ROLES_VERSION: &str = "2022-04-01";

/// One call, whose answer reads as `T`.
#[derive(Clone, Debug, PartialEq)]
pub struct Request<T> {
    pub(super) method: Method,
    /// Path segments after the endpoint, not yet percent-encoded.
    pub(super) path: Vec<String>,
    pub(super) api_version: &'static str,
    /// OData filter of a list.
    pub(super) filter: Option<String>,
    pub(super) body: Option<Value>,
    answer: PhantomData<fn() -> T>,
}

/// A resource group's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupId {
    /// The subscription.
    pub subscription: Uuid,
    /// The group's name.
    pub name: String,
}

/// Reads a resource group.
#[must_use]
pub fn get_group(group: &GroupId) -> Request<ResourceGroup> {
    Request::get(group_path(group), GROUPS_VERSION)
}

/// Makes a resource group. Over one that exists it would replace the tags: read first.
#[must_use]
pub fn put_group(group: &GroupId, location: &str) -> Request<ResourceGroup> {
    let body = json!({"location": location});
    Request::put(group_path(group), GROUPS_VERSION, body)
}

/// Deletes a resource group and all that is in it.
#[must_use]
pub fn delete_group(group: &GroupId) -> Request<Deleted> {
    Request::delete(group_path(group), GROUPS_VERSION)
}

/// Lists what stands in a resource group.
#[must_use]
pub fn list_resources(group: &GroupId) -> Request<Page<Resource>> {
    let mut path = group_path(group);
    path.push("resources".to_owned());
    Request::get(path, GROUPS_VERSION)
}

/// Reads a managed identity.
#[must_use]
pub fn get_identity(group: &GroupId, name: &str) -> Request<ManagedIdentity> {
    Request::get(identity_path(group, name), IDENTITIES_VERSION)
}

/// Makes a managed identity.
#[must_use]
pub fn put_identity(group: &GroupId, name: &str, location: &str) -> Request<ManagedIdentity> {
    let body = json!({"location": location});
    Request::put(identity_path(group, name), IDENTITIES_VERSION, body)
}

/// Deletes a managed identity, with its federated credentials.
#[must_use]
pub fn delete_identity(group: &GroupId, name: &str) -> Request<Deleted> {
    Request::delete(identity_path(group, name), IDENTITIES_VERSION)
}

/// Lists the federated credentials of an identity.
#[must_use]
pub fn list_credentials(group: &GroupId, identity: &str) -> Request<Page<FederatedCredential>> {
    Request::get(credentials_path(group, identity), IDENTITIES_VERSION)
}

/// Makes or changes a federated credential.
#[must_use]
pub fn put_credential(
    group: &GroupId,
    identity: &str,
    name: &str,
    trust: &Trust,
) -> Request<FederatedCredential> {
    let mut path = credentials_path(group, identity);
    path.push(name.to_owned());
    let body = json!({"properties": {
        "issuer": trust.issuer,
        "subject": trust.subject,
        "audiences": [trust.audience],
    }});
    Request::put(path, IDENTITIES_VERSION, body)
}

/// Deletes a federated credential.
#[must_use]
pub fn delete_credential(group: &GroupId, identity: &str, name: &str) -> Request<Deleted> {
    let mut path = credentials_path(group, identity);
    path.push(name.to_owned());
    Request::delete(path, IDENTITIES_VERSION)
}

/// Finds the roles of this name that can be given at a scope.
#[must_use]
pub fn list_roles(scope: &str, name: &str) -> Request<Page<RoleDefinition>> {
    let path = role_path(scope, "roleDefinitions");
    Request::get(path, ROLES_VERSION)
        .filtered(format!("roleName eq '{}'", name.replace('\'', "''")))
}

/// Reads the role of this GUID.
#[must_use]
pub fn get_role(scope: &str, guid: Uuid) -> Request<RoleDefinition> {
    let mut path = role_path(scope, "roleDefinitions");
    path.push(guid.to_string());
    Request::get(path, ROLES_VERSION)
}

/// Lists what a principal is given at a scope, above it and below it.
#[must_use]
pub fn list_assignments(scope: &str, principal_id: &str) -> Request<Page<RoleAssignment>> {
    let path = role_path(scope, "roleAssignments");
    Request::get(path, ROLES_VERSION).filtered(format!("principalId eq '{principal_id}'"))
}

/// Gives a managed identity a role.
#[must_use]
pub fn put_assignment(
    scope: &str,
    name: Uuid,
    role_definition_id: &str,
    principal_id: &str,
) -> Request<RoleAssignment> {
    let mut path = role_path(scope, "roleAssignments");
    path.push(name.to_string());
    let body = json!({"properties": {
        "roleDefinitionId": role_definition_id,
        "principalId": principal_id,
        // Left out it means User, who has to be in the directory by now.
        "principalType": "ServicePrincipal",
    }});
    Request::put(path, ROLES_VERSION, body)
}

/// Takes a role back.
#[must_use]
pub fn delete_assignment(scope: &str, name: &str) -> Request<Deleted> {
    let mut path = role_path(scope, "roleAssignments");
    path.push(name.to_owned());
    Request::delete(path, ROLES_VERSION)
}

/// Reads an AKS cluster.
#[must_use]
pub fn get_cluster(group: &GroupId, name: &str) -> Request<ManagedCluster> {
    let path = provider_path(group, "Microsoft.ContainerService", "managedClusters", name);
    Request::get(path, CLUSTERS_VERSION)
}

impl<T> Request<T> {
    /// The ARM id of what is asked for.
    #[must_use]
    pub fn id(&self) -> String {
        format!("/{}", self.path.join("/"))
    }

    fn get(path: Vec<String>, api_version: &'static str) -> Self {
        Self {
            method: Method::Get,
            path,
            api_version,
            filter: None,
            body: None,
            answer: PhantomData,
        }
    }

    fn delete(path: Vec<String>, api_version: &'static str) -> Self {
        Self {
            method: Method::Delete,
            ..Self::get(path, api_version)
        }
    }

    fn filtered(self, filter: String) -> Self {
        Self {
            filter: Some(filter),
            ..self
        }
    }

    fn put(path: Vec<String>, api_version: &'static str, body: Value) -> Self {
        Self {
            method: Method::Put,
            path,
            api_version,
            filter: None,
            body: Some(body),
            answer: PhantomData,
        }
    }
}

/// The call as a person reads it: `PUT /subscriptions/...`.
impl<T> fmt::Display for Request<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.as_str(), self.id())
    }
}

fn group_path(group: &GroupId) -> Vec<String> {
    let subscription = group.subscription.to_string();
    [
        "subscriptions",
        &subscription,
        "resourcegroups",
        &group.name,
    ]
    .map(str::to_owned)
    .to_vec()
}

fn provider_path(group: &GroupId, provider: &str, kind: &str, name: &str) -> Vec<String> {
    let subscription = group.subscription.to_string();
    [
        "subscriptions",
        &subscription,
        "resourceGroups",
        &group.name,
    ]
    .into_iter()
    .chain(["providers", provider, kind, name])
    .map(str::to_owned)
    .collect()
}

fn role_path(scope: &str, kind: &str) -> Vec<String> {
    scope
        .split('/')
        .filter(|segment| !segment.is_empty())
        .chain(["providers", "Microsoft.Authorization", kind])
        .map(str::to_owned)
        .collect()
}

fn identity_path(group: &GroupId, name: &str) -> Vec<String> {
    let provider = "Microsoft.ManagedIdentity";
    provider_path(group, provider, "userAssignedIdentities", name)
}

fn credentials_path(group: &GroupId, identity: &str) -> Vec<String> {
    let mut path = identity_path(group, identity);
    path.push("federatedIdentityCredentials".to_owned());
    path
}
