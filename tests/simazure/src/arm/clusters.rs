//! What is done to AKS clusters: read and replaced whole, guarded by an etag, each write a long-running operation.

use axum::http::{HeaderName, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::Call;
use super::error::Refusal;
use super::groups::{Group, location, patch_tags};
use super::managed_cluster::{KIND, ManagedCluster, Running};
use super::operations::{result_url, status_url, wait};
use super::path::Place;
use super::reply::Reply;
use super::resources::Resources;
use crate::Cluster;

const ASYNC_OPERATION: HeaderName = HeaderName::from_static("azure-asyncoperation");

/// Location of the resource groups that the clusters given at start live in.
const LOCATION: &str = "westus2";

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
        let placed = ManagedCluster::placed(cluster, group);
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
        let mut kubeconfigs = vec![json!({"name": "clusterUser", "value": value})];
        kubeconfigs.retain(|_| !cluster.kubeconfig.is_empty());
        Ok(Reply::ok(json!({"kubeconfigs": kubeconfigs})))
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
