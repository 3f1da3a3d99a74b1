//! The subscription's surroundings: tenant, locations, and the resource providers with their registration.

use serde_json::{Value, json};

use super::error::Refusal;
use crate::{SUBSCRIPTION, TENANT};

/// The resource providers, each with its resource types.
const PROVIDERS: [(&str, &[&str]); 4] = [
    (
        "Microsoft.Authorization",
        &["roleAssignments", "roleDefinitions"],
    ),
    ("Microsoft.ContainerService", &["managedClusters"]),
    (
        "Microsoft.ManagedIdentity",
        &[
            "userAssignedIdentities",
            "userAssignedIdentities/federatedIdentityCredentials",
        ],
    ),
    ("Microsoft.Resources", &["resourceGroups"]),
];

/// Locations where groups can be: name and display name.
const LOCATIONS: [(&str, &str); 4] = [
    ("eastus", "East US"),
    ("malaysiasouth", "Malaysia South"),
    ("westeurope", "West Europe"),
    ("westus2", "West US 2"),
];

/// Which providers the subscription is registered with.
#[derive(Debug)]
pub(super) struct Providers {
    unregistered: Vec<String>,
}

impl Providers {
    pub(super) fn without(unregistered: &[String]) -> Self {
        let unregistered = unregistered.iter().map(|name| name.to_lowercase());
        Self {
            unregistered: unregistered.collect(),
        }
    }

    pub(super) fn is_registered(&self, namespace: &str) -> bool {
        !self.unregistered.contains(&namespace.to_lowercase())
    }

    pub(super) fn register(&mut self, namespace: &str) -> Result<Value, Refusal> {
        self.unregistered
            .retain(|name| !name.eq_ignore_ascii_case(namespace));
        self.one(namespace)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Value> {
        PROVIDERS
            .iter()
            .map(|(namespace, types)| self.json(namespace, types))
    }

    pub(super) fn one(&self, namespace: &str) -> Result<Value, Refusal> {
        PROVIDERS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(namespace))
            .map(|(namespace, types)| self.json(namespace, types))
            .ok_or_else(|| Refusal::ProviderNotFound(namespace.to_owned()))
    }

    fn json(&self, namespace: &str, types: &[&str]) -> Value {
        let locations: Vec<_> = LOCATIONS.iter().map(|(_, display)| display).collect();
        let types: Vec<_> = types
            .iter()
            .map(|name| json!({"resourceType": name, "locations": locations, "apiVersions": []}))
            .collect();
        json!({
            "id": format!("/subscriptions/{SUBSCRIPTION}/providers/{namespace}"),
            "namespace": namespace,
            "registrationPolicy": "RegistrationRequired",
            "registrationState": if self.is_registered(namespace) { "Registered" } else { "NotRegistered" },
            "resourceTypes": types,
        })
    }
}

/// The operations a provider offers: reading, writing and deleting each of its types.
pub(super) fn offers(namespace: &str) -> Result<Vec<Value>, Refusal> {
    let (namespace, types) = PROVIDERS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(namespace))
        .ok_or_else(|| Refusal::ProviderNotFound(namespace.to_owned()))?;
    let offer = |kind: &str, verb: &str| {
        json!({
            "name": format!("{namespace}/{kind}/{verb}"),
            "display": {"provider": namespace, "resource": kind, "operation": verb},
        })
    };
    Ok(types
        .iter()
        .flat_map(|kind| ["read", "write", "delete"].map(|verb| offer(kind, verb)))
        .collect())
}

pub(super) fn locations() -> impl Iterator<Item = Value> {
    LOCATIONS.iter().map(|(name, display)| {
        json!({
            "id": format!("/subscriptions/{SUBSCRIPTION}/locations/{name}"),
            "name": name,
            "displayName": display,
            "regionalDisplayName": display,
            "metadata": {"regionType": "Physical"},
        })
    })
}

pub(super) fn subscription() -> Value {
    json!({
        "id": format!("/subscriptions/{SUBSCRIPTION}"),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": SUBSCRIPTION,
        "tenantId": TENANT,
        "displayName": "Simulated subscription",
        "state": "Enabled",
    })
}

pub(super) fn tenant() -> Value {
    json!({
        "id": format!("/tenants/{TENANT}"),
        "tenantId": TENANT,
        "displayName": "Simulated tenant",
        "defaultDomain": "simulated.invalid",
        "tenantType": "AAD",
        "countryCode": "US",
    })
}
