//! The world of the cases: a real API server, a simulated Azure, and our webhook registered between them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use http::Request;
use serde_json::{Value, json};

use crate::support::{Certificates, Program, free_port};

pub const BINARY: &str = env!("CARGO_BIN_EXE_identity-injector");
pub const WALK: &str = include_str!("../walk/pod.yaml");
pub const AUDIENCE: &str = "api://AzureADTokenExchange";
pub const SERVICE_ACCOUNT: &str = "workload-identity-sa";

pub struct World {
    pub cluster: Cluster,
    pub kube: kube::Client,
    pub azure: simazure::Simulation,
    pub certificates: Certificates,
    pub webhook: Program,
    pub webhook_port: u16,
    /// Where the test's own webhooks listen.
    pub neighbours: u16,
    pub folder: tempfile::TempDir,
}

/// The API server's process; it stops itself when its standard input ends.
pub struct Cluster {
    child: Child,
    input: Option<ChildStdin>,
    pub kubeconfig: PathBuf,
    pub ca_pem: String,
}

impl Cluster {
    fn start() -> Self {
        let binary = Path::new("tests/cluster/bin/cluster");
        assert!(
            binary.exists(),
            "{} is not built: run `make e2e`",
            binary.display()
        );
        let mut child = Command::new(binary)
            .arg("up")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("no cluster: its reason stands above"));
        let ca_pem = std::fs::read_to_string(ready["ca"].as_str().unwrap()).unwrap();
        Cluster {
            child,
            input,
            kubeconfig: ready["kubeconfig"].as_str().unwrap().into(),
            ca_pem,
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.input.take());
        self.child.wait().unwrap();
    }
}

impl World {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::start();
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
            kube,
            azure,
            certificates,
            webhook,
            webhook_port,
            neighbours: free_port(),
            folder,
        };
        world
            .namespace("walk", json!({"azure.workload.identity/use": "true"}))
            .await;
        world.namespace("plain", json!({})).await;
        world.namespace("identity-injector-system", json!({})).await;
        world.register_webhook().await;
        world
    }

    pub async fn version(&self) -> String {
        self.kube.apiserver_version().await.unwrap().git_version
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
        self.post(path, &configuration.to_string()).await.unwrap();
        let probe = WALK
            .replace("httpbin-pod", "probe")
            .replace(SERVICE_ACCOUNT, "default");
        until("the webhook is called", async || {
            let stored = self
                .post("/api/v1/namespaces/walk/pods?dryRun=All", &probe)
                .await;
            stored.is_ok_and(|pod| pod["spec"]["initContainers"].is_array())
        })
        .await;
    }

    pub async fn post(&self, path: &str, body: &str) -> Result<Value, Value> {
        let request = Request::post(path).header("content-type", "application/yaml");
        let reply = self
            .kube
            .send(request.body(body.as_bytes().to_vec().into()).unwrap())
            .await
            .unwrap();
        let ok = reply.status().is_success();
        let value = body_of(reply).await;
        if ok { Ok(value) } else { Err(value) }
    }

    pub async fn get(&self, path: &str) -> Value {
        body_of(
            self.kube
                .send(Request::get(path).body(Vec::new().into()).unwrap())
                .await
                .unwrap(),
        )
        .await
    }

    pub async fn delete(&self, path: &str) {
        let reply = self
            .kube
            .send(Request::delete(path).body(Vec::new().into()).unwrap())
            .await
            .unwrap();
        assert!(reply.status().is_success(), "{path}: {}", reply.status());
    }

    pub async fn namespace(&self, name: &str, labels: Value) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        self.post("/api/v1/namespaces", &namespace.to_string())
            .await
            .unwrap();
    }

    pub async fn service_account(&self, namespace: &str) {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": SERVICE_ACCOUNT}});
        self.post(
            &format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
            &account.to_string(),
        )
        .await
        .unwrap();
    }
}

async fn body_of(reply: http::Response<kube::client::Body>) -> Value {
    serde_json::from_slice(&reply.into_body().collect_bytes().await.unwrap()).unwrap()
}

pub fn base64_of(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
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
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "not in 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
