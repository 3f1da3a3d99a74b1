//! An AKS cluster as a document: what the caller says of it, and what only the service does.

use axum::http::header;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::Refusal;
use super::groups::{Group, resource_id, tags};
use super::reply::Reply;
use crate::{Cluster, TENANT};

pub(super) const KIND: &str = "Microsoft.ContainerService/managedClusters";

/// Most identities, and most exceptions, of a cluster's pod identity profile.
const MOST_POD_IDENTITIES: usize = 200;

/// An AKS cluster. Its properties are the caller's, but for those that only the service writes.
#[derive(Clone, Debug)]
pub(super) struct ManagedCluster {
    pub(super) name: String,
    pub(super) location: String,
    pub(super) tags: Value,
    pub(super) identity: Value,
    pub(super) properties: Value,
    pub(super) issuer: String,
    pub(super) kubeconfig: String,
    /// Counts the writes.
    pub(super) revision: u64,
    pub(super) running: Option<Running>,
}

/// A write that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) state: &'static str,
    pub(super) until: Timestamp,
}

impl ManagedCluster {
    /// One that is there from the start.
    pub(super) fn placed(cluster: &Cluster, group: &Group) -> Self {
        let kubelet = resource_id(
            &group.name,
            "Microsoft.ManagedIdentity/userAssignedIdentities",
            &format!("{}-agentpool", cluster.name),
        );
        let id = || Uuid::new_v4().to_string();
        Self {
            name: cluster.name.clone(),
            location: group.location.clone(),
            tags: json!({}),
            identity: json!({"type": "SystemAssigned", "principalId": id(), "tenantId": TENANT}),
            properties: json!({
                "kubernetesVersion": "1.36",
                "dnsPrefix": cluster.name,
                "fqdn": format!("{}.azmk8s.invalid", cluster.name),
                "enableRBAC": true,
                "agentPoolProfiles": [{
                    "name": "nodepool1",
                    "count": 1,
                    "vmSize": "Standard_D2s_v5",
                    "osType": "Linux",
                    "mode": "System",
                    "type": "VirtualMachineScaleSets",
                    "provisioningState": "Succeeded",
                }],
                "identityProfile": {
                    "kubeletidentity": {"resourceId": kubelet, "clientId": id(), "objectId": id()},
                },
                "networkProfile": {"networkPlugin": "azure", "loadBalancerSku": "standard"},
                "servicePrincipalProfile": {"clientId": "msi"},
                "oidcIssuerProfile": {"enabled": !cluster.issuer.is_empty()},
                "securityProfile": {},
            }),
            issuer: cluster.issuer.clone(),
            kubeconfig: cluster.kubeconfig.clone(),
            revision: 1,
            running: None,
        }
    }

    /// One that is being made, with an issuer of its own.
    pub(super) fn fresh(name: &str, location: &str) -> Self {
        let id = Uuid::new_v4();
        Self {
            name: name.to_owned(),
            location: location.to_owned(),
            tags: json!({}),
            identity: json!({"type": "SystemAssigned"}),
            properties: json!({}),
            issuer: format!("https://{location}.oic.prod-aks.invalid/{TENANT}/{id}/"),
            kubeconfig: String::new(),
            revision: 0,
            running: None,
        }
    }

    pub(super) fn json(&self, group: &Group) -> Value {
        let mut properties = self.properties.clone();
        properties["provisioningState"] = json!(self.state());
        properties["powerState"] = json!({"code": "Running"});
        properties["nodeResourceGroup"] =
            json!(format!("MC_{}_{}_{}", group.name, self.name, self.location));
        if properties["oidcIssuerProfile"]["enabled"] == true {
            properties["oidcIssuerProfile"]["issuerURL"] = json!(self.issuer);
        }
        for entry in pod_identities(&mut properties) {
            entry["provisioningState"] = json!("Assigned");
        }
        json!({
            "id": resource_id(&group.name, KIND, &self.name),
            "name": self.name,
            "type": "Microsoft.ContainerService/ManagedClusters",
            "location": self.location,
            "tags": self.tags,
            "eTag": self.etag(),
            "identity": self.identity,
            "sku": {"name": "Base", "tier": "Free"},
            "properties": properties,
        })
    }

    fn state(&self) -> &'static str {
        self.running.map_or("Succeeded", |running| running.state)
    }

    pub(super) fn etag(&self) -> String {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, self.name.as_bytes());
        format!("{id}-{}", self.revision)
    }

    pub(super) fn document(&self, group: &Group) -> Reply {
        Reply::ok(self.json(group)).with(header::ETAG, format!("\"{}\"", self.etag()))
    }

    pub(super) fn refuse_when_running(&self) -> Result<(), Refusal> {
        match self.running {
            Some(_) => Err(Refusal::ClusterBusy(self.name.clone())),
            None => Ok(()),
        }
    }

    /// The cluster with its properties replaced. What only the service writes is refused when the body differs in it.
    pub(super) fn replaced(&self, body: &Value) -> Result<Self, Refusal> {
        let asked = &body["properties"];
        let invalid =
            |value: &Value, name, why| Err(Refusal::InvalidProperty(value.to_string(), name, why));
        let state = &asked["provisioningState"];
        if !state.is_null() && state != self.state() {
            return invalid(state, "provisioningState", "it is read-only");
        }
        let mut properties = match asked {
            Value::Object(_) => asked.clone(),
            _ => json!({}),
        };
        let profile = &properties["podIdentityProfile"];
        for key in ["userAssignedIdentities", "userAssignedIdentityExceptions"] {
            let count = profile[key].as_array().map_or(0, Vec::len);
            if count > MOST_POD_IDENTITIES {
                let why = "a cluster can have 200 identities and 200 exceptions at most";
                return invalid(&json!(count), "podIdentityProfile", why);
            }
        }
        // An issuer once enabled stays: tokens that name it are out.
        let enabled = self.properties["oidcIssuerProfile"]["enabled"] == true;
        match &properties["oidcIssuerProfile"]["enabled"] {
            off @ Value::Bool(false) if enabled => {
                return invalid(off, "oidcIssuerProfile.enabled", "it can't be disabled");
            }
            Value::Bool(_) => {}
            _ => properties["oidcIssuerProfile"] = json!({"enabled": enabled}),
        }
        let identity = match &body["identity"] {
            asked @ Value::Object(_) => asked.clone(),
            _ => self.identity.clone(),
        };
        Ok(Self {
            tags: tags(body),
            identity,
            properties,
            revision: self.revision + 1,
            ..self.clone()
        })
    }
}

fn pod_identities(properties: &mut Value) -> impl Iterator<Item = &mut Value> {
    properties
        .pointer_mut("/podIdentityProfile/userAssignedIdentities")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}
