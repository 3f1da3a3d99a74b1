//! A run's report in the cluster: a ConfigMap, and Events beside what they are about.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::json;
use tokio::time::timeout;

use super::cluster::{Cluster, ClusterError};
use super::desired::ServiceAccountId;
use super::notice::Notice;
use super::report::Report;
use crate::names::FIELD_MANAGER;

/// The key of the report in its ConfigMap.
const KEY: &str = "report.json";
/// How many Events are written at once.
const AT_ONCE: usize = 8;
/// How long all Events may take: a pod that is told to end has little time.
const EVENTS_LIMIT: Duration = Duration::from_secs(20);

/// Writes the ConfigMap `name` in the ledger's namespace; gives what Events refer to it by.
///
/// # Errors
/// When the API server does not do it.
pub async fn publish(
    cluster: &Cluster,
    name: &str,
    report: &Report,
) -> Result<ObjectReference, ClusterError> {
    let namespace = &cluster.ledger_namespace;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
    let patch = Patch::Apply(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {KEY: json!(report).to_string()},
    }));
    // Forced: whoever else wrote into it, the report is the last run's.
    let how = PatchParams::apply(FIELD_MANAGER).force();
    let asked = maps.patch(name, &how, &patch);
    let operation = format!("PATCH ConfigMap {namespace}/{name}");
    Ok(cluster.ask(operation, asked).await?.object_ref(&()))
}

/// Writes the Events; what is about no ServiceAccount is about `report`. One that can't be written is warned of.
pub async fn notify(cluster: &Cluster, notices: &[Notice], report: &ObjectReference) {
    let recorder = Recorder::new(cluster.client.clone(), Reporter::from(FIELD_MANAGER));
    let sent = stream::iter(notices).map(|notice| send(cluster, &recorder, notice, report));
    let sent = sent.buffer_unordered(AT_ONCE);
    let failures = sent.filter_map(async |sent: Result<(), ClusterError>| sent.err());
    match timeout(EVENTS_LIMIT, failures.collect::<Vec<_>>()).await {
        Ok(failures) => {
            if let Some(error) = failures.first() {
                let (count, all) = (failures.len(), notices.len());
                tracing::warn!("{count} of {all} Events not written: {error}");
            }
        }
        Err(_) => {
            let seconds = EVENTS_LIMIT.as_secs();
            tracing::warn!("not all Events written: the API server took more than {seconds} s");
        }
    }
}

async fn send(
    cluster: &Cluster,
    recorder: &Recorder,
    notice: &Notice,
    report: &ObjectReference,
) -> Result<(), ClusterError> {
    let about = match &notice.about {
        Some(account) => reference(cluster, account).await?,
        None => report.clone(),
    };
    let event = Event {
        type_: match notice.warning {
            true => EventType::Warning,
            false => EventType::Normal,
        },
        reason: notice.reason.to_owned(),
        note: Some(notice.note.clone()),
        action: "Setup".to_owned(),
        secondary: None,
    };
    let operation = format!(
        "POST Event of {} {}/{}",
        about.kind.as_deref().unwrap_or_default(),
        about.namespace.as_deref().unwrap_or_default(),
        about.name.as_deref().unwrap_or_default()
    );
    let asked = recorder.publish(&event, &about);
    cluster.ask(operation, asked).await
}

/// With the uid, without which `kubectl describe` does not show the Event. One that is not there has none.
async fn reference(
    cluster: &Cluster,
    account: &ServiceAccountId,
) -> Result<ObjectReference, ClusterError> {
    Ok(ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("ServiceAccount".to_owned()),
        namespace: Some(account.namespace.clone()),
        name: Some(account.name.clone()),
        uid: cluster.uid(account).await?,
        ..ObjectReference::default()
    })
}
