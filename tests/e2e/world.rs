//! The world of the cases: a real API server, a simulated Azure, and our webhook registered between them.

use std::process::Output;
use std::time::Duration;

use serde_json::json;

pub use crate::api::base64_of;
use crate::api::{self, Api};
use crate::cluster::Cluster;
use crate::support::{Certificates, free_port};
use crate::webhook::Webhook;

pub const BINARY: &str = env!("CARGO_BIN_EXE_identity-injector");
pub const WALK: &str = include_str!("../walk/pod.yaml");
pub const SERVICE_ACCOUNT: &str = "workload-identity-sa";
/// Of what we run.
pub const SYSTEM: &str = "identity-injector-system";

pub struct World {
    pub cluster: Cluster,
    pub api: Api,
    pub azure: simazure::Simulation,
    pub webhook: Webhook,
    /// Where the test's own webhooks listen.
    pub neighbours: u16,
    pub certificates: Certificates,
    pub folder: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::start("up", "make e2e");
        let kube = identity_injector::kubernetes::connect(Some(&cluster.kubeconfig))
            .await
            .unwrap();
        let options = simazure::Options {
            issuer_cas: vec![cluster.ca_pem.clone()],
            ..Default::default()
        };
        let azure = simazure::start(options).unwrap();
        let api = Api(kube);
        let opted_in = json!({"azure.workload.identity/use": "true"});
        api.namespace("walk", opted_in).await;
        api.namespace("plain", json!({})).await;
        let webhook = Webhook::start(&cluster.kubeconfig, &azure, folder.path(), SYSTEM).await;
        // It says that it is ready: from this instant on.
        webhook.dry_run_pod("walk").await.unwrap();
        World {
            cluster,
            api,
            azure,
            webhook,
            neighbours: free_port(),
            certificates: Certificates::make(&folder.path().join("certs")),
            folder,
        }
    }

    pub async fn version(&self) -> String {
        self.api.0.apiserver_version().await.unwrap().git_version
    }
}

/// What a command printed.
pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Waits for what the API server learns through its caches.
pub async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    api::until(what, Duration::from_secs(20), holds).await;
}
