//! Pods that others have a hand in: mutating webhooks before and after ours, pod security admission.

use std::net::{Ipv4Addr, TcpListener};

use axum::Router;
use axum::routing::post;
use axum_server::tls_rustls::RustlsConfig;
use serde_json::{Value, json};

use crate::support::container;
use crate::webhook::CONFIGURATIONS;
use crate::world::{SERVICE_ACCOUNT, WALK, World, base64_of, until};

impl World {
    /// `a-neighbour` is asked before us and `z-neighbour` after us; each prepends a container, turns the first other
    /// container's variables round and adds a volume in front.
    pub async fn survives_neighbours(&self) {
        self.start_neighbours().await;
        for name in ["a-neighbour", "z-neighbour"] {
            self.api
                .post(CONFIGURATIONS, &self.neighbour(name).to_string())
                .await
                .unwrap();
        }
        let pod = WALK.replace("httpbin-pod", "shared");
        let path = "/api/v1/namespaces/walk/pods";
        until("both neighbours are asked", async || {
            let stored = self
                .api
                .post(&format!("{path}?dryRun=All"), &pod)
                .await
                .unwrap();
            stored["spec"]["containers"].as_array().unwrap().len() == 3
        })
        .await;
        let stored = self.api.post(path, &pod).await.unwrap();
        for name in ["a-neighbour", "z-neighbour"] {
            self.api.delete(&format!("{CONFIGURATIONS}/{name}")).await;
        }
        assert_eq!(
            sorted(&stored["spec"]["containers"]),
            ["a-neighbour", "httpbin", "z-neighbour"]
        );
        assert_eq!(
            sorted(&stored["spec"]["initContainers"]),
            ["azwi-proxy", "azwi-proxy-init"]
        );
        let volumes = sorted(&stored["spec"]["volumes"]);
        let volumes: Vec<_> = volumes
            .iter()
            .filter(|name| !name.starts_with("kube-api-access-"))
            .collect();
        assert_eq!(
            volumes,
            ["a-neighbour", "azure-identity-token", "z-neighbour"]
        );
        for name in ["httpbin", "a-neighbour", "z-neighbour"] {
            let container = container(&stored, name);
            let variables = sorted(&container["env"]);
            let mut once = variables.clone();
            once.dedup();
            assert_eq!(variables, once, "{name}: each variable once");
            assert!(
                variables.contains(&"AZURE_CLIENT_ID".to_owned()),
                "{name}: {variables:?}"
            );
            assert_eq!(
                sorted(&container["volumeMounts"])
                    .iter()
                    .filter(|mount| *mount == "azure-identity-token")
                    .count(),
                1
            );
        }
        assert!(
            self.review(&stored).await.is_none(),
            "one more pass adds something"
        );
    }

    /// Identity alone and env capture pass `restricted`; a redirect is refused there by the API server itself.
    pub async fn restricted_admits_what_needs_no_privilege(&self) {
        let labels = json!({"azure.workload.identity/use": "true", "pod-security.kubernetes.io/enforce": "restricted"});
        self.api.namespace("restricted", labels).await;
        self.api
            .service_account("restricted", SERVICE_ACCOUNT)
            .await;
        let table = [
            (
                "identity",
                json!({}),
                json!({"azure.workload.identity/use": "true"}),
                true,
            ),
            (
                "env",
                json!({"azure.workload.identity/inject-proxy-sidecar": "true", "identity-injector.io/capture": "env"}),
                json!({}),
                true,
            ),
            (
                "redirect",
                json!({"azure.workload.identity/inject-proxy-sidecar": "true"}),
                json!({}),
                false,
            ),
        ];
        for (name, annotations, labels, admitted) in table {
            let security = json!({
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
                "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"},
            });
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "annotations": annotations, "labels": labels},
                "spec": {"serviceAccountName": SERVICE_ACCOUNT, "containers": [{"name": "app", "image": "app", "securityContext": security}]},
            });
            match self
                .api
                .post("/api/v1/namespaces/restricted/pods", &pod.to_string())
                .await
            {
                Ok(stored) => {
                    assert!(admitted, "{name} is admitted");
                    assert!(
                        stored["metadata"]["annotations"]["identity-injector.io/status"]
                            .is_string(),
                        "{name}"
                    );
                }
                Err(status) => {
                    let message = status["message"].as_str().unwrap();
                    assert!(
                        !admitted && message.contains("azwi-proxy-init"),
                        "{name}: {message}"
                    );
                }
            }
        }
    }

    fn neighbour(&self, name: &str) -> Value {
        let url = format!("https://127.0.0.1:{}/{name}", self.neighbours);
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": format!("{name}.example.test"),
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": url, "caBundle": base64_of(&self.certificates.ca_pem)},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "walk"}},
                "reinvocationPolicy": "IfNeeded",
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
                "sideEffects": "None",
            }],
        })
    }

    async fn start_neighbours(&self) {
        let router = Router::new().route(
            "/{name}",
            post(async |path: axum::extract::Path<String>, body: String| meddle(&path, &body)),
        );
        let folder = &self.certificates.directory;
        let tls = RustlsConfig::from_pem_file(folder.join("tls.crt"), folder.join("tls.key"))
            .await
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.neighbours)).unwrap();
        listener.set_nonblocking(true).unwrap();
        tokio::spawn(
            axum_server::from_tcp_rustls(listener, tls)
                .unwrap()
                .serve(router.into_make_service()),
        );
    }
}

/// What a neighbour answers.
fn meddle(name: &str, review: &str) -> String {
    let review: Value = serde_json::from_str(review).unwrap();
    let spec = &review["request"]["object"]["spec"];
    let mut patch = Vec::new();
    let containers = spec["containers"].as_array().unwrap();
    if containers.iter().all(|container| container["name"] != name) {
        if let Some(mut env) = containers[0]["env"].as_array().cloned() {
            env.reverse();
            patch.push(json!({"op": "replace", "path": "/spec/containers/0/env", "value": env}));
        }
        patch.push(json!({"op": "add", "path": "/spec/containers/0", "value": {"name": name, "image": "neighbour"}}));
        patch.push(json!({"op": "add", "path": "/spec/volumes/0", "value": {"name": name, "emptyDir": {}}}));
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
        "uid": review["request"]["uid"], "allowed": true,
        "patchType": "JSONPatch", "patch": base64_of(&Value::from(patch).to_string()),
    }})
    .to_string()
}

fn sorted(list: &Value) -> Vec<String> {
    let entries = list.as_array().unwrap().iter();
    let mut names: Vec<_> = entries
        .map(|entry| entry["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}
