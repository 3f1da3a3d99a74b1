//! A real API server, as plain JSON over its paths.

#![allow(clippy::unwrap_used, dead_code, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

/// The client of a cluster's administrator.
pub struct Api(pub kube::Client);

impl Api {
    /// What was stored, or the Status of the refusal.
    pub async fn post(&self, path: &str, body: &str) -> Result<Value, Value> {
        self.post_heard(path, body).await.0
    }

    /// The same, and the warnings that came with it.
    pub async fn post_heard(&self, path: &str, body: &str) -> (Result<Value, Value>, Vec<String>) {
        let request = Request::post(path).header("content-type", "application/yaml");
        heard(self.send(request, body).await).await
    }

    /// What server-side apply would store, or why it would not, and the warnings that came with it. Fields that the kind
    /// does not have are refused.
    pub async fn dry_apply(
        &self,
        path: &str,
        object: &Value,
    ) -> (Result<Value, Value>, Vec<String>) {
        let path = format!("{path}?dryRun=All&fieldManager=dry&fieldValidation=Strict&force=true");
        let request = Request::patch(path).header("content-type", "application/apply-patch+yaml");
        heard(self.send(request, &object.to_string()).await).await
    }

    /// What was stored, or the Status of the refusal; none where the API server does not answer.
    pub async fn try_post(&self, path: &str, body: &str) -> Option<Result<Value, Value>> {
        let request = Request::post(path).header("content-type", "application/yaml");
        let request = request.body(body.as_bytes().to_vec().into()).unwrap();
        let reply = self.0.send(request).await.ok()?;
        let ok = reply.status().is_success();
        let bytes = reply.into_body().collect_bytes().await.ok()?;
        let value = serde_json::from_slice(&bytes).ok()?;
        Some(if ok { Ok(value) } else { Err(value) })
    }

    /// Changes an object by a JSON merge patch.
    pub async fn patch(&self, path: &str, change: &Value) -> Value {
        self.patched(path, "application/merge-patch+json", change)
            .await
    }

    /// Changes an object by the operations of a JSON patch.
    pub async fn patch_json(&self, path: &str, operations: &Value) -> Value {
        self.patched(path, "application/json-patch+json", operations)
            .await
    }

    async fn patched(&self, path: &str, content_type: &str, change: &Value) -> Value {
        let request = Request::patch(path).header("content-type", content_type);
        let reply = self.send(request, &change.to_string()).await;
        assert!(reply.status().is_success(), "{path}: {}", reply.status());
        json_of(reply).await
    }

    /// Makes or changes an object, as `kubectl apply --server-side` does.
    pub async fn apply(&self, path: &str, object: &Value) -> Value {
        let path = format!("{path}?fieldManager=kubectl");
        let request = Request::patch(&path).header("content-type", "application/apply-patch+yaml");
        let reply = self.send(request, &object.to_string()).await;
        let ok = reply.status().is_success();
        let stored = json_of(reply).await;
        assert!(ok, "{path}: {stored}");
        stored
    }

    pub async fn get(&self, path: &str) -> Value {
        json_of(self.send(Request::get(path), "").await).await
    }

    /// What is no JSON: a log.
    pub async fn text(&self, path: &str) -> String {
        let reply = self.send(Request::get(path), "").await;
        let bytes = reply.into_body().collect_bytes().await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub async fn delete(&self, path: &str) {
        let reply = self.send(Request::delete(path), "").await;
        assert!(reply.status().is_success(), "{path}: {}", reply.status());
    }

    pub async fn namespace(&self, name: &str, labels: Value) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        self.post("/api/v1/namespaces", &namespace.to_string())
            .await
            .unwrap();
    }

    pub async fn service_account(&self, namespace: &str, name: &str) {
        let account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        self.post(
            &format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
            &account.to_string(),
        )
        .await
        .unwrap();
    }

    async fn send(&self, request: http::request::Builder, body: &str) -> Response<Body> {
        let request = request.body(body.as_bytes().to_vec().into()).unwrap();
        self.0.send(request).await.unwrap()
    }
}

/// Where objects of that kind are made; None for what is none of the API server's.
pub fn collection(object: &Value, namespace: &str) -> Option<String> {
    let (kind, version) = (object["kind"].as_str()?, object["apiVersion"].as_str()?);
    let base = match version.contains('/') {
        true => format!("/apis/{version}"),
        false => format!("/api/{version}"),
    };
    let kind = kind.to_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    };
    match kind.as_str() {
        "kustomization" => None,
        "clusterrole"
        | "clusterrolebinding"
        | "customresourcedefinition"
        | "mutatingwebhookconfiguration"
        | "namespace" => Some(format!("{base}/{plural}")),
        _ => Some(format!("{base}/namespaces/{namespace}/{plural}")),
    }
}

/// A pod without the `kube-api-access-xxxxx` volume and its mounts, which the API server itself adds under a random name.
pub fn without_api_access(mut pod: Value) -> Value {
    let own = |entry: &Value| {
        !entry["name"]
            .as_str()
            .unwrap_or_default()
            .starts_with("kube-api-access-")
    };
    for list in ["/spec/containers", "/spec/initContainers"] {
        for container in pod
            .pointer_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            container["volumeMounts"]
                .as_array_mut()
                .into_iter()
                .for_each(|mounts| mounts.retain(own));
        }
    }
    pod["spec"]["volumes"]
        .as_array_mut()
        .into_iter()
        .for_each(|volumes| volumes.retain(own));
    pod
}

/// What came of a request, and the warnings that came with it.
async fn heard(reply: Response<Body>) -> (Result<Value, Value>, Vec<String>) {
    let warnings = reply.headers().get_all("warning").iter().map(|header| {
        let text = header.to_str().unwrap().trim_start_matches("299 - ");
        text.trim_matches('"').to_owned()
    });
    let warnings = warnings.collect();
    let ok = reply.status().is_success();
    let value = json_of(reply).await;
    (if ok { Ok(value) } else { Err(value) }, warnings)
}

async fn json_of(reply: Response<Body>) -> Value {
    serde_json::from_slice(&reply.into_body().collect_bytes().await.unwrap()).unwrap()
}

/// Waits for what the API server learns through its caches, or the cluster makes.
pub async fn until(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn base64_of(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// What base64 holds.
pub fn text_of(base64: &Value) -> String {
    use base64::Engine;
    let engine = base64::engine::general_purpose::STANDARD;
    String::from_utf8(engine.decode(base64.as_str().unwrap()).unwrap()).unwrap()
}
