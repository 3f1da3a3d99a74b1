//! AKS clusters: read and replaced whole, guarded by an etag, each write a long-running operation.

use axum::http::{HeaderName, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::Call;
use super::error::Refusal;
use super::groups::{Group, location, patch_tags, resource_id, tags};
use super::operations::{result_url, status_url, wait};
use super::path::Place;
use super::reply::Reply;
use super::resources::Resources;
use crate::{Cluster, TENANT};

const KIND: &str = "Microsoft.ContainerService/managedClusters";
const ASYNC_OPERATION: HeaderName = HeaderName::from_static("azure-asyncoperation");

/// Location of the resource groups that the clusters given at start live in.
const LOCATION: &str = "westus2";

/// Most identities, and most exceptions, of a cluster's pod identity profile.
const MOST_POD_IDENTITIES: usize = 200;

/// An AKS cluster. Its properties are the caller's, but for those that only the service writes.
#[derive(Clone, Debug)]
pub(super) struct ManagedCluster {
    name: String,
    location: String,
    tags: Value,
    identity: Value,
    properties: Value,
    issuer: String,
    kubeconfig: String,
    /// Counts the writes.
    revision: u64,
    running: Option<Running>,
}

/// A write that goes on.
#[derive(Clone, Copy, Debug)]
struct Running {
    state: &'static str,
    until: Timestamp,
}

impl ManagedCluster {
    /// One that is being made, with an issuer of its own.
    fn fresh(name: &str, location: &str) -> Self {
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

    fn json(&self, group: &Group) -> Value {
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

    fn etag(&self) -> String {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, self.name.as_bytes());
        format!("{id}-{}", self.revision)
    }

    fn document(&self, group: &Group) -> Reply {
        Reply::ok(self.json(group)).with(header::ETAG, format!("\"{}\"", self.etag()))
    }

    fn refuse_when_running(&self) -> Result<(), Refusal> {
        match self.running {
            Some(_) => Err(Refusal::ClusterBusy(self.name.clone())),
            None => Ok(()),
        }
    }

    /// The cluster with its properties replaced. What only the service writes is refused when the body differs in it.
    fn replaced(&self, body: &Value) -> Result<Self, Refusal> {
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

impl Group {
    pub(super) fn cluster(&self, name: &str) -> Result<&ManagedCluster, Refusal> {
        self.clusters
            .get(&name.to_lowercase())
            .ok_or_else(|| self.lacks(KIND, name))
    }

    pub(super) fn clusters_json(&self) -> Vec<Value> {
        self.clusters.values().map(|one| one.json(self)).collect()
    }

    /// Ends the writes that were to end by now.
    pub(super) fn settle_clusters(&mut self, now: Timestamp) {
        let is_over = |running: &Running| running.until <= now;
        self.clusters.retain(|_, cluster| {
            !cluster
                .running
                .is_some_and(|running| is_over(&running) && running.state == "Deleting")
        });
        for cluster in self.clusters.values_mut() {
            cluster.running.take_if(|running| is_over(running));
        }
    }
}

impl Resources {
    /// Puts a cluster there from the start.
    pub(super) fn place(&mut self, cluster: &Cluster) {
        let group = self
            .groups
            .entry(cluster.resource_group.to_lowercase())
            .or_insert_with(|| Group::new(&cluster.resource_group, LOCATION));
        let kubelet = resource_id(
            &group.name,
            "Microsoft.ManagedIdentity/userAssignedIdentities",
            &format!("{}-agentpool", cluster.name),
        );
        let id = || Uuid::new_v4().to_string();
        let placed = ManagedCluster {
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
        };
        group.clusters.insert(cluster.name.to_lowercase(), placed);
    }

    pub(super) fn answer_cluster(&mut self, at: &Place, call: &Call) -> Result<Reply, Refusal> {
        let key = at.name.to_lowercase();
        match call.method.as_str() {
            "GET" => {
                let group = self.group(&at.group)?;
                Ok(group.cluster(&at.name)?.document(group))
            }
            "PUT" => self.put_cluster(at, call),
            "PATCH" => {
                let group = self.group_mut(&at.group)?;
                check_etag(group.clusters.get(&key), call)?;
                if let Some(cluster) = group.clusters.get_mut(&key) {
                    cluster.refuse_when_running()?;
                    patch_tags(&mut cluster.tags, &call.body);
                    cluster.revision += 1;
                }
                let group = self.group(&at.group)?;
                Ok(group.cluster(&at.name)?.document(group))
            }
            "DELETE" => {
                let until = call.now + self.lags.operation;
                let group = self.group_mut(&at.group)?;
                check_etag(group.clusters.get(&key), call)?;
                let Some(cluster) = group.clusters.get_mut(&key) else {
                    return Ok(Reply::deleted(false));
                };
                cluster.running = Some(Running {
                    state: "Deleting",
                    until,
                });
                let operation = self.operations.start(until);
                let url = result_url(&self.origin, operation);
                let reply = Reply::status(StatusCode::ACCEPTED);
                Ok(reply.poll(header::LOCATION, &url, wait(until, call.now)))
            }
            other => Err(Refusal::MethodNotAllowed(other.to_owned())),
        }
    }

    fn put_cluster(&mut self, at: &Place, call: &Call) -> Result<Reply, Refusal> {
        let until = call.now + self.lags.operation;
        let asked = location(&call.body)?;
        let key = at.name.to_lowercase();
        let group = self.group_mut(&at.group)?;
        check_etag(group.clusters.get(&key), call)?;
        let created = !group.clusters.contains_key(&key);
        let cluster = match group.clusters.get(&key) {
            None => ManagedCluster::fresh(&at.name, &asked).replaced(&call.body)?,
            Some(cluster) => {
                cluster.refuse_when_running()?;
                if cluster.location != asked {
                    return Err(Refusal::ResourceLocation {
                        name: cluster.name.clone(),
                        group: group.name.clone(),
                        asked,
                        actual: cluster.location.clone(),
                    });
                }
                cluster.replaced(&call.body)?
            }
        };
        group.clusters.insert(
            key,
            ManagedCluster {
                running: Some(Running {
                    state: if created { "Creating" } else { "Updating" },
                    until,
                }),
                ..cluster
            },
        );
        let body = group.cluster(&at.name)?.json(group);
        let operation = self.operations.start(until);
        let url = status_url(&self.origin, operation);
        Ok(Reply::put(created, body).poll(ASYNC_OPERATION, &url, wait(until, call.now)))
    }

    pub(super) fn kubeconfig(&self, at: &Place) -> Result<Reply, Refusal> {
        let cluster = self.group(&at.group)?.cluster(&at.name)?;
        let value = STANDARD.encode(&cluster.kubeconfig);
        Ok(Reply::ok(
            json!({"kubeconfigs": [{"name": "clusterUser", "value": value}]}),
        ))
    }
}

fn check_etag(cluster: Option<&ManagedCluster>, call: &Call) -> Result<(), Refusal> {
    let actual = cluster.map(ManagedCluster::etag);
    let is = |asked: &String| match &actual {
        Some(actual) => asked == "*" || asked == actual,
        None => false,
    };
    let mismatch = |asked: &String| {
        Err(Refusal::EtagMismatch {
            asked: asked.clone(),
            actual: actual.clone().unwrap_or_default(),
        })
    };
    match (&call.if_match, &call.if_none_match) {
        (Some(asked), _) if !is(asked) => mismatch(asked),
        (_, Some(asked)) if is(asked) => mismatch(asked),
        _ => Ok(()),
    }
}
