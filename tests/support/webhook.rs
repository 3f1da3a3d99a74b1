//! Two replicas of the webhook beside a real API server, which calls the first by URL. They have the rights of
//! manifests/base and make their certificate themselves.

#![allow(clippy::unwrap_used, dead_code, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{Api, collection, text_of, until};
use crate::manifests::documents;
use crate::support::{Program, free_port};

pub const CONFIGURATIONS: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
/// The namespace in manifests/base.
const SYSTEM: &str = "identity-injector-system";

pub struct Webhook {
    /// The first is the one that is called.
    pub replicas: Vec<Replica>,
    /// Where its Secret and Lease are.
    pub namespace: &'static str,
    api: Api,
    arguments: Vec<String>,
    folder: PathBuf,
}

pub struct Replica {
    pub program: Program,
    pub port: u16,
    health: u16,
}

impl Webhook {
    /// Installs manifests/base in `namespace`, but for the Deployment; starts both replicas at once, so that one of them
    /// makes the certificate that both serve; waits until they are ready. `kubeconfig` is an administrator's.
    pub async fn start(
        kubeconfig: &Path,
        azure: &simazure::Simulation,
        folder: &Path,
        namespace: &'static str,
    ) -> Self {
        let client = identity_injector::kubernetes::connect(Some(kubeconfig))
            .await
            .unwrap();
        let own = folder.join("webhook.kubeconfig");
        let mut webhook = Webhook {
            replicas: Vec::new(),
            namespace,
            api: Api(client),
            arguments: vec![
                "webhook".to_owned(),
                format!("--kubeconfig={}", own.display()),
                format!("--namespace={namespace}"),
                format!("--tenant-id={}", azure.tenant),
                format!("--authority-host={}", azure.authority),
                "--drain-delay=0".to_owned(),
            ],
            folder: folder.to_owned(),
        };
        webhook.install().await;
        let text = std::fs::read_to_string(kubeconfig).unwrap();
        let mut kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
        kubeconfig["users"][0]["user"] = json!({"token": webhook.token().await});
        std::fs::write(own, kubeconfig.to_string()).unwrap();
        let ports = [free_port(), free_port()];
        webhook.register(ports[0]).await;
        webhook.replicas = ports.map(|port| webhook.replica(port)).into();
        for replica in &mut webhook.replicas {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let ready = format!("http://127.0.0.1:{}/readyz", replica.health);
            replica.program.until_ready(&client, &ready).await;
        }
        webhook
    }

    async fn install(&self) {
        for file in ["namespace", "rbac", "certificate", "service"] {
            for object in documents(format!("manifests/base/{file}.yaml")) {
                let object = object.to_string().replace(SYSTEM, self.namespace);
                let object: Value = serde_json::from_str(&object).unwrap();
                let path = collection(&object, self.namespace).unwrap();
                self.api.post(&path, &object.to_string()).await.unwrap();
            }
        }
    }

    /// Of the ServiceAccount of manifests/base.
    async fn token(&self) -> Value {
        let namespace = self.namespace;
        let path =
            format!("/api/v1/namespaces/{namespace}/serviceaccounts/identity-injector/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 7200},
        });
        let answer = self.api.post(&path, &request.to_string()).await.unwrap();
        answer["status"]["token"].clone()
    }

    /// The configuration of manifests/base, with our address in place of the Service.
    async fn register(&self, port: u16) {
        let mut configuration = documents("manifests/base/webhook.yaml").remove(0);
        for webhook in configuration["webhooks"].as_array_mut().unwrap() {
            let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
            webhook["clientConfig"] = json!({"url": format!("https://127.0.0.1:{port}{path}")});
        }
        let configuration = configuration.to_string();
        self.api.post(CONFIGURATIONS, &configuration).await.unwrap();
    }

    /// Starts a replica.
    pub fn replica(&self, port: u16) -> Replica {
        let health = free_port();
        let addresses = [
            format!("--bind=127.0.0.1:{port}"),
            format!("--health=127.0.0.1:{health}"),
        ];
        let arguments: Vec<&str> = self
            .arguments
            .iter()
            .chain(&addresses)
            .map(String::as_str)
            .collect();
        let program = Program::start(
            Path::new(env!("CARGO_BIN_EXE_identity-injector")),
            self.folder.join(format!("webhook-{port}.log")),
            &arguments,
            &[("HTTPS_PROXY".to_owned(), "http://127.0.0.1:9".to_owned())],
        );
        Replica {
            program,
            port,
            health,
        }
    }

    /// Waits until pods of that namespace, which is opted in, are patched.
    pub async fn until_called(&self, namespace: &str) {
        let is_called = async || self.dry_run_pod(namespace).await.is_ok();
        until("the webhook is called", Duration::from_secs(20), is_called).await;
    }

    /// A patched pod of a dry run, or what came of it instead.
    pub async fn dry_run_pod(&self, namespace: &str) -> Result<Value, Value> {
        let pods = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        let pod = self.api.post(&pods, &probe()).await?;
        match pod["spec"]["initContainers"].is_array() {
            true => Ok(pod),
            false => Err(pod),
        }
    }

    /// The first webhook's caBundle.
    pub async fn bundle(&self) -> String {
        let path = format!("{CONFIGURATIONS}/identity-injector");
        let configuration = self.api.get(&path).await;
        text_of(&configuration["webhooks"][0]["clientConfig"]["caBundle"])
    }

    /// A client that believes what API servers believe.
    pub async fn client(&self) -> reqwest::Client {
        let bundle = self.bundle().await;
        let roots = reqwest::Certificate::from_pem_bundle(bundle.as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only(roots);
        client.no_proxy().build().unwrap()
    }

    /// What the replicas logged.
    pub fn printed(&self) -> String {
        let logs = self.replicas.iter().map(|it| it.program.printed());
        logs.collect::<Vec<_>>().join("\n\n")
    }
}

/// The walk's pod, of a ServiceAccount that every namespace has.
pub fn probe() -> String {
    let pod = include_str!("../walk/pod.yaml").replace("httpbin-pod", "probe");
    pod.replace("workload-identity-sa", "default")
}
