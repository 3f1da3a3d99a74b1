//! The world of the cases: a real API server, a simulated Azure, and our webhook registered between them.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

pub use crate::api::base64_of;
use crate::api::{self, Api, collection};
use crate::cluster::Cluster;
use crate::support::{Certificates, Program, free_port};

pub const BINARY: &str = env!("CARGO_BIN_EXE_identity-injector");
pub const WALK: &str = include_str!("../walk/pod.yaml");
pub const AUDIENCE: &str = "api://AzureADTokenExchange";
pub const SERVICE_ACCOUNT: &str = "workload-identity-sa";
pub const SYSTEM: &str = "identity-injector-system";
pub const CONFIGURATIONS: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

pub struct World {
    pub cluster: Cluster,
    pub api: Api,
    pub azure: simazure::Simulation,
    pub certificates: Certificates,
    /// The first is the one that is called.
    pub replicas: Vec<Replica>,
    /// Of the ServiceAccount of manifests/base.
    pub kubeconfig: PathBuf,
    /// Where the test's own webhooks listen.
    pub neighbours: u16,
    pub folder: tempfile::TempDir,
}

/// One of the webhook.
pub struct Replica {
    pub program: Program,
    pub port: u16,
    pub health: u16,
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
        let mut world = World {
            cluster,
            api: Api(kube),
            azure,
            certificates,
            replicas: Vec::new(),
            kubeconfig: folder.path().join("kubeconfig"),
            neighbours: free_port(),
            folder,
        };
        world
            .api
            .namespace("walk", json!({"azure.workload.identity/use": "true"}))
            .await;
        world.api.namespace("plain", json!({})).await;
        world.install().await;
        let ports = [free_port(), free_port()];
        world.register_webhook(ports[0]).await;
        // Both at once: one of them makes the certificate that both serve.
        for port in ports {
            let replica = world.replica(port);
            world.replicas.push(replica);
        }
        for replica in &mut world.replicas {
            replica.until_ready().await;
        }
        until("the webhook is called", async || {
            world.dry_run_pod().await.is_ok()
        })
        .await;
        world
    }

    pub async fn version(&self) -> String {
        self.api.0.apiserver_version().await.unwrap().git_version
    }

    /// What manifests/base has besides the Deployment and the webhooks, and a kubeconfig of its ServiceAccount.
    async fn install(&self) {
        for file in ["namespace", "rbac", "certificate", "service"] {
            for object in documents(&format!("manifests/base/{file}.yaml")) {
                let path = collection(&object, SYSTEM).unwrap();
                self.api.post(&path, &object.to_string()).await.unwrap();
            }
        }
        let path = format!("/api/v1/namespaces/{SYSTEM}/serviceaccounts/identity-injector/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 7200},
        });
        let token = self.api.post(&path, &request.to_string()).await.unwrap();
        let text = std::fs::read_to_string(&self.cluster.kubeconfig).unwrap();
        let mut kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
        kubeconfig["users"][0]["user"] = json!({"token": token["status"]["token"]});
        std::fs::write(&self.kubeconfig, kubeconfig.to_string()).unwrap();
    }

    /// Starts a replica with the rights of manifests/base.
    pub fn replica(&self, port: u16) -> Replica {
        let health = free_port();
        let arguments = [
            "webhook",
            &format!("--bind=127.0.0.1:{port}"),
            &format!("--health=127.0.0.1:{health}"),
            &format!("--kubeconfig={}", self.kubeconfig.display()),
            &format!("--tenant-id={}", self.azure.tenant),
            &format!("--authority-host={}", self.azure.authority),
            "--drain-delay=0",
        ];
        let program = Program::start(
            Path::new(BINARY),
            self.folder.path().join(format!("webhook-{port}.log")),
            &arguments,
            &[("HTTPS_PROXY".to_owned(), "http://127.0.0.1:9".to_owned())],
        );
        Replica {
            program,
            port,
            health,
        }
    }

    /// The configuration of manifests/base, with our address in place of the Service.
    async fn register_webhook(&self, port: u16) {
        let mut configuration = documents("manifests/base/webhook.yaml").remove(0);
        for webhook in configuration["webhooks"].as_array_mut().unwrap() {
            let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
            webhook["clientConfig"] = json!({"url": format!("https://127.0.0.1:{port}{path}")});
        }
        self.api
            .post(CONFIGURATIONS, &configuration.to_string())
            .await
            .unwrap();
    }

    /// A patched pod of a dry run, or what was refused.
    pub async fn dry_run_pod(&self) -> Result<Value, Value> {
        let probe = WALK
            .replace("httpbin-pod", "probe")
            .replace(SERVICE_ACCOUNT, "default");
        let path = "/api/v1/namespaces/walk/pods?dryRun=All";
        let pod = self.api.post(path, &probe).await?;
        match pod["spec"]["initContainers"].is_array() {
            true => Ok(pod),
            false => Err(pod),
        }
    }

    /// A client that believes what API servers believe.
    pub async fn client(&self) -> reqwest::Client {
        let bundle = self.bundle().await;
        let roots = reqwest::Certificate::from_pem_bundle(bundle.as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only(roots);
        client.no_proxy().build().unwrap()
    }

    /// The first webhook's caBundle.
    pub async fn bundle(&self) -> String {
        let path = format!("{CONFIGURATIONS}/identity-injector");
        let configuration = self.api.get(&path).await;
        text_of(&configuration["webhooks"][0]["clientConfig"]["caBundle"])
    }

    /// What the replicas logged.
    pub fn printed(&self) -> String {
        let logs = self
            .replicas
            .iter()
            .map(|replica| replica.program.printed());
        logs.collect::<Vec<_>>().join("\n\n")
    }
}

impl Replica {
    pub async fn until_ready(&mut self) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://127.0.0.1:{}/readyz", self.health);
        self.program.until_ready(&client, &url).await;
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

/// What base64 holds.
pub fn text_of(base64: &Value) -> String {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64.as_str().unwrap());
    String::from_utf8(bytes.unwrap()).unwrap()
}

/// The documents of a YAML file.
pub fn documents(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}
