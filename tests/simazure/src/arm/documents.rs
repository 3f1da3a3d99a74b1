//! The resources as documents: what is answered of each, and what a PUT's body says.

use serde_json::{Value, json};

use super::error::Refusal;
use super::resources::{Group, Identity};
use crate::{Cluster, SUBSCRIPTION, TENANT};

impl Group {
    pub(super) fn json(&self) -> Value {
        json!({
            "id": group_id(&self.name),
            "name": self.name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": self.location,
            "tags": self.tags,
            "properties": {"provisioningState": "Succeeded"},
        })
    }

    pub(super) fn cluster_json(&self, cluster: &Cluster) -> Value {
        let (group, name) = (&self.name, &cluster.name);
        json!({
            "id": format!(
                "{}/providers/Microsoft.ContainerService/managedClusters/{name}",
                group_id(group)
            ),
            "name": name,
            "type": "Microsoft.ContainerService/ManagedClusters",
            "location": self.location,
            "tags": {},
            "properties": {
                "provisioningState": "Succeeded",
                "powerState": {"code": "Running"},
                "nodeResourceGroup": format!("MC_{group}_{name}_{}", self.location),
                "oidcIssuerProfile": {"enabled": true, "issuerURL": cluster.issuer},
                "securityProfile": {},
            },
        })
    }
}

impl Identity {
    pub(super) fn json(&self, group: &Group) -> Value {
        json!({
            "id": identity_id(&group.name, &self.name),
            "name": self.name,
            "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
            "location": self.location,
            "tags": self.tags,
            "properties": {
                "tenantId": TENANT,
                "principalId": self.principal_id.to_string(),
                "clientId": self.client_id.to_string(),
                "isolationScope": "None",
            },
        })
    }
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

fn group_id(group: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}")
}

pub(super) fn identity_id(group: &str, name: &str) -> String {
    format!(
        "{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
        group_id(group)
    )
}

/// The location as Azure stores it: `West US 2` is `westus2`.
pub(super) fn location(body: &Value) -> Result<String, Refusal> {
    let location = body["location"]
        .as_str()
        .unwrap_or_default()
        .replace(' ', "")
        .to_lowercase();
    if location.is_empty() {
        return Err(Refusal::LocationRequired);
    }
    Ok(location)
}

/// The tags of a PUT, which replace the old ones: none given is none left.
pub(super) fn tags(body: &Value) -> Value {
    match &body["tags"] {
        tags @ Value::Object(_) => tags.clone(),
        _ => json!({}),
    }
}
