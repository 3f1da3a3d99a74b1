//! How a way ended: what is in Azure, what is in the cluster, and the token that the pod gets.

use serde_json::{Value, json};
use similar::TextDiff;

use crate::api::without_api_access;
use crate::kubelet;
use crate::support::{ask, claims};
use crate::world::{GROUP, NAMESPACE, POD, SERVICE_ACCOUNT, World};

const TENANT_ID: &str = "azure.workload.identity/tenant-id";

impl World {
    /// The end state as a document. Left out are names of credentials and assignments, and what is another at each
    /// run: times, uids, whose field is whose; the ids of the identity are told by what they are.
    pub async fn end(&self) -> Value {
        let group = format!(
            "/subscriptions/{}/resourceGroups/{GROUP}",
            self.azure.subscription
        );
        let (identities, ids) = self.identities(&group).await;
        let namespace = self
            .api
            .get(&format!("/api/v1/namespaces/{NAMESPACE}"))
            .await;
        let account = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{SERVICE_ACCOUNT}");
        let pod = self
            .api
            .get(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{POD}"))
            .await;
        let end = json!({
            "resourceGroup": without(self.arm(&group).await, &["id"]),
            "identities": identities,
            "namespace": without_bookkeeping(namespace),
            "serviceAccount": without_bookkeeping(self.api.get(&account).await),
            "pod": with_status_read(without_api_access(without_bookkeeping(pod.clone()))),
            "token": self.token(&pod).await,
        });
        let mut text = end.to_string();
        for (id, what) in ids {
            text = text.replace(&id, what);
        }
        serde_json::from_str(&text).unwrap()
    }

    /// The group's identities with what hangs on them, and the ids that Azure gave them.
    async fn identities(&self, group: &str) -> (Vec<Value>, Vec<(String, &'static str)>) {
        let providers = format!("{group}/providers");
        let assignments = self
            .arm(&format!(
                "{providers}/Microsoft.Authorization/roleAssignments"
            ))
            .await;
        let listed = self
            .arm(&format!(
                "{providers}/Microsoft.ManagedIdentity/userAssignedIdentities"
            ))
            .await;
        let (mut identities, mut ids) = (Vec::new(), Vec::new());
        for identity in items(&listed) {
            let id = identity["id"].as_str().unwrap();
            let credentials = self
                .arm(&format!("{id}/federatedIdentityCredentials"))
                .await;
            let principal = &identity["properties"]["principalId"];
            let mut roles: Vec<_> = items(&assignments)
                .map(|one| one["properties"].clone())
                .filter(|one| one["principalId"] == *principal)
                .collect();
            let mut credentials: Vec<_> = items(&credentials)
                .map(|one| one["properties"].clone())
                .collect();
            for list in [&mut roles, &mut credentials] {
                list.sort_by_key(Value::to_string);
            }
            for (key, what) in [
                ("clientId", "<client id>"),
                ("principalId", "<principal id>"),
            ] {
                ids.push((
                    identity["properties"][key].as_str().unwrap().to_owned(),
                    what,
                ));
            }
            let mut identity = without(identity.clone(), &["id"]);
            identity["federatedCredentials"] = credentials.into();
            identity["roleAssignments"] = roles.into();
            identities.push(identity);
        }
        (identities, ids)
    }

    /// The claims of the token that the pod's proxy answers, times and serial numbers aside.
    async fn token(&self, pod: &Value) -> Value {
        let (mut proxy, port) =
            kubelet::start_proxy(pod, &self.api, &self.azure, self.folder.path()).await;
        let (status, reply) = ask(port, "2018-02-01", ("Metadata", "true")).await;
        assert_eq!(status, 200, "{reply}\n{}", proxy.printed());
        proxy.stop();
        let claims = claims(reply["access_token"].as_str().unwrap());
        without(claims, &["iat", "nbf", "exp", "uti"])
    }
}

/// The lines in which two ends differ, with their neighbours; none when they are alike.
pub fn diff(left: &Value, right: &Value) -> Option<String> {
    let [left, right] = [left, right].map(|end| format!("{end:#}\n"));
    let diff = TextDiff::from_lines(&left, &right);
    (left != right).then(|| diff.unified_diff().context_radius(3).to_string())
}

/// An end without the annotation that only setup writes; the webhook's default is the same tenant.
pub fn without_tenant_id(end: &Value, tenant: &str) -> Value {
    let mut end = end.clone();
    let annotations = end["serviceAccount"]["metadata"]["annotations"]
        .as_object_mut()
        .unwrap();
    assert_eq!(annotations.remove(TENANT_ID), Some(tenant.into()));
    end
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    assert!(list["nextLink"].is_null(), "more than a page: {list}");
    list["value"].as_array().unwrap().iter()
}

fn without(mut object: Value, keys: &[&str]) -> Value {
    object
        .as_object_mut()
        .unwrap()
        .retain(|key, _| !keys.contains(&key.as_str()));
    object
}

/// An object of the API server without what the server and kubectl note for themselves.
fn without_bookkeeping(object: Value) -> Value {
    let mut object = without(object, &["status"]);
    let metadata = object["metadata"].take();
    let keys = [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "managedFields",
    ];
    let mut metadata = without(metadata, &keys);
    let annotations = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut);
    if let Some(annotations) = annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    object["metadata"] = metadata;
    object
}

/// A pod whose status annotation can be read, without the hash of the settings: the identity's client id is one of them.
fn with_status_read(mut pod: Value) -> Value {
    let status = &mut pod["metadata"]["annotations"]["identity-injector.io/status"];
    let read = serde_json::from_str(status.as_str().unwrap()).unwrap();
    *status = without(read, &["settings"]);
    pod
}
