//! The webhook beside a real API server, which calls it by URL.

#![allow(clippy::unwrap_used, dead_code, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{Api, base64_of, until};
use crate::support::{Certificates, Program, free_port};

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

pub struct Webhook {
    pub program: Program,
    pub port: u16,
    pub certificates: Certificates,
}

impl Webhook {
    /// Starts it, its files in `folder`, and waits until it says that it is ready.
    pub async fn start(kubeconfig: &Path, azure: &simazure::Simulation, folder: &Path) -> Self {
        let certificates = Certificates::make(&folder.join("certs"));
        let (port, health_port) = (free_port(), free_port());
        let arguments = [
            "webhook",
            &format!("--bind=127.0.0.1:{port}"),
            &format!("--health=127.0.0.1:{health_port}"),
            &format!("--cert-dir={}", certificates.directory.display()),
            &format!("--kubeconfig={}", kubeconfig.display()),
            &format!("--tenant-id={}", azure.tenant),
            &format!("--authority-host={}", azure.authority),
            "--drain-delay=0",
        ];
        let mut program = Program::start(
            Path::new(env!("CARGO_BIN_EXE_identity-injector")),
            folder.join("webhook.log"),
            &arguments,
            &[("HTTPS_PROXY".to_owned(), "http://127.0.0.1:9".to_owned())],
        );
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let ready = format!("http://127.0.0.1:{health_port}/readyz");
        program.until_ready(&client, &ready).await;
        Webhook {
            program,
            port,
            certificates,
        }
    }

    /// Registers the configuration of manifests/base, with our address in place of the Service, and waits until pods of
    /// that namespace, which is opted in, are patched.
    pub async fn register(&self, api: &Api, namespace: &str) {
        let text = std::fs::read_to_string("manifests/base/webhook.yaml").unwrap();
        let mut configuration: Value = serde_saphyr::from_str(&text).unwrap();
        for webhook in configuration["webhooks"].as_array_mut().unwrap() {
            let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
            let url = format!("https://127.0.0.1:{}{path}", self.port);
            webhook["clientConfig"] =
                json!({"url": url, "caBundle": base64_of(&self.certificates.ca_pem)});
        }
        api.post(CONFIGURATIONS, &configuration.to_string())
            .await
            .unwrap();
        let probe = include_str!("../walk/pod.yaml")
            .replace("httpbin-pod", "probe")
            .replace("workload-identity-sa", "default");
        let pods = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        let is_called = async || {
            let stored = api.post(&pods, &probe).await;
            stored.is_ok_and(|pod| pod["spec"]["initContainers"].is_array())
        };
        until("the webhook is called", Duration::from_secs(20), is_called).await;
    }
}
