//! A webhook in this process, the API server it watches, and what is sent to it.

use std::time::Duration;

use clap::Parser;
use identity_injector::cli::{Cli, Command};
use identity_injector::webhook;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::Certificates;

pub const ID: &str = "11111111-2222-3333-4444-555555555555";
pub const OTHER_ID: &str = "99999999-2222-3333-4444-555555555555";

/// A webhook that serves, and the API server it watches.
pub struct World {
    pub kube: simkube::Cluster,
    pub client: reqwest::Client,
    pub reviews: String,
    pub health: String,
    pub shutdown: CancellationToken,
    pub serving: tokio::task::JoinHandle<anyhow::Result<identity_injector::exit::Exit>>,
    pub certificates: Certificates,
    _folder: tempfile::TempDir,
}

impl World {
    pub async fn start(flags: &[&str]) -> Self {
        Self::start_beside("v1.36.3", flags).await
    }

    /// Starts beside an API server of that version.
    pub async fn start_beside(version: &str, flags: &[&str]) -> Self {
        // Fails only where another test of this process was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let kube = simkube::start(simkube::Options {
            version: version.to_owned(),
            ..Default::default()
        })
        .await
        .unwrap();
        let labels = json!({"azure.workload.identity/use": "true"});
        kube.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}})).unwrap();
        kube.put(service_account("app", ID)).unwrap();
        let certificates = Certificates::make(&folder.path().join("certs"));
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, kube.kubeconfig()).unwrap();
        let certs = format!("--cert-dir={}", certificates.directory.display());
        let fixed = [
            "identity-injector",
            "webhook",
            "--bind=127.0.0.1:0",
            "--health=127.0.0.1:0",
            "--tenant-id=t",
            "--certs=files",
            &certs,
        ];
        let Command::Webhook(args) = Cli::parse_from(fixed.iter().chain(flags)).command else {
            unreachable!()
        };
        let client = identity_injector::kubernetes::connect(Some(&kubeconfig))
            .await
            .unwrap();
        let bound = webhook::bind(args, client).await.unwrap();
        let reviews = format!("https://localhost:{}/mutate-v1-pod", bound.reviews.port());
        let health = format!("http://{}", bound.health);
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(bound.run(shutdown.clone()));
        let client = certificates.client();
        let world = World {
            kube,
            client,
            reviews,
            health,
            shutdown,
            serving,
            certificates,
            _folder: folder,
        };
        while world.get("/readyz").await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world
    }

    /// Asks the plain port.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let reply = reqwest::get(format!("{}{path}", self.health))
            .await
            .unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    }

    pub async fn post(&self, content_type: &str, query: &str, body: String) -> (u16, Value) {
        let request = self
            .client
            .post(format!("{}{query}", self.reviews))
            .header("content-type", content_type);
        let reply = request.body(body).send().await.unwrap();
        assert_eq!(reply.version(), reqwest::Version::HTTP_2);
        let (status, body) = (reply.status().as_u16(), reply.text().await.unwrap());
        (
            status,
            serde_json::from_str(&body).unwrap_or(Value::String(body)),
        )
    }

    pub async fn review(&self, pod: Value) -> Value {
        let (status, reply) = self
            .post(
                "application/json",
                "?timeout=1s",
                review("v1", &pod, "CREATE").to_string(),
            )
            .await;
        assert_eq!(status, 200, "{reply}");
        assert_eq!(reply["response"]["uid"], "u-1");
        reply["response"].clone()
    }
}

pub fn service_account(name: &str, client_id: &str) -> Value {
    let annotations =
        json!({"azure.workload.identity/client-id": client_id, "other.example/key": "large"});
    let metadata = json!({"name": name, "namespace": "shop", "annotations": annotations});
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
}

pub fn pod(service_account: &str) -> Value {
    json!({
        "metadata": {"generateName": "app-", "labels": {"azure.workload.identity/use": "true"}},
        "spec": {"serviceAccountName": service_account, "containers": [{"name": "app"}]},
    })
}

pub fn review(version: &str, object: &Value, operation: &str) -> Value {
    json!({"apiVersion": format!("admission.k8s.io/{version}"), "kind": "AdmissionReview", "request": {
        "uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": operation,
        "namespace": "shop", "object": object,
    }})
}

/// An answer's patch.
pub fn patch(response: &Value) -> Option<Value> {
    use base64::Engine;
    let patch = response["patch"].as_str()?;
    let patch = base64::engine::general_purpose::STANDARD
        .decode(patch)
        .unwrap();
    Some(serde_json::from_slice(&patch).unwrap())
}

/// The client id in an answer's patch.
pub fn client_id(response: &Value) -> Option<String> {
    let patch = patch(response)?;
    let variable = patch[0]["value"]
        .as_array()?
        .iter()
        .find(|entry| entry["name"] == "AZURE_CLIENT_ID")?;
    variable["value"].as_str().map(str::to_owned)
}
