//! The world of the cases: a real API server, a simulated Azure, and our webhook registered between them.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

pub use crate::api::base64_of;
use crate::api::{self, Api};
use crate::cluster::Cluster;
use crate::support::{Certificates, Program, free_port};

pub const BINARY: &str = env!("CARGO_BIN_EXE_identity-injector");
pub const WALK: &str = include_str!("../walk/pod.yaml");
pub const AUDIENCE: &str = "api://AzureADTokenExchange";
pub const SERVICE_ACCOUNT: &str = "workload-identity-sa";

pub struct World {
    pub cluster: Cluster,
    pub api: Api,
    pub azure: simazure::Simulation,
    pub certificates: Certificates,
    pub webhook: Program,
    pub webhook_port: u16,
    /// Where the test's own webhooks listen.
    pub neighbours: u16,
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
        let certificates = Certificates::make(&folder.path().join("certs"));
        let (webhook_port, health_port) = (free_port(), free_port());
        let arguments = [
            "webhook",
            &format!("--bind=127.0.0.1:{webhook_port}"),
            &format!("--health=127.0.0.1:{health_port}"),
            &format!("--cert-dir={}", certificates.directory.display()),
            &format!("--kubeconfig={}", cluster.kubeconfig.display()),
            &format!("--tenant-id={}", azure.tenant),
            &format!("--authority-host={}", azure.authority),
            "--drain-delay=0",
        ];
        let mut webhook = Program::start(
            Path::new(BINARY),
            folder.path().join("webhook.log"),
            &arguments,
            &[("HTTPS_PROXY".to_owned(), "http://127.0.0.1:9".to_owned())],
        );
        let ready = format!("http://127.0.0.1:{health_port}/readyz");
        webhook
            .until_ready(
                &reqwest::Client::builder().no_proxy().build().unwrap(),
                &ready,
            )
            .await;
        let world = World {
            cluster,
            api: Api(kube),
            azure,
            certificates,
            webhook,
            webhook_port,
            neighbours: free_port(),
            folder,
        };
        world
            .api
            .namespace("walk", json!({"azure.workload.identity/use": "true"}))
            .await;
        world.api.namespace("plain", json!({})).await;
        let ledger = "identity-injector-system";
        world.api.namespace(ledger, json!({})).await;
        world.register_webhook().await;
        world
    }

    pub async fn version(&self) -> String {
        self.api.0.apiserver_version().await.unwrap().git_version
    }

    /// The configuration of manifests/base, with our address and authority in place of the Service.
    pub async fn register_webhook(&self) {
        let text = std::fs::read_to_string("manifests/base/webhook.yaml").unwrap();
        let mut configuration: Value = serde_saphyr::from_str(&text).unwrap();
        for webhook in configuration["webhooks"].as_array_mut().unwrap() {
            let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
            let url = format!("https://127.0.0.1:{}{path}", self.webhook_port);
            webhook["clientConfig"] =
                json!({"url": url, "caBundle": base64_of(&self.certificates.ca_pem)});
        }
        let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
        self.api
            .post(path, &configuration.to_string())
            .await
            .unwrap();
        let probe = WALK
            .replace("httpbin-pod", "probe")
            .replace(SERVICE_ACCOUNT, "default");
        until("the webhook is called", async || {
            let stored = self
                .api
                .post("/api/v1/namespaces/walk/pods?dryRun=All", &probe)
                .await;
            stored.is_ok_and(|pod| pod["spec"]["initContainers"].is_array())
        })
        .await;
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
