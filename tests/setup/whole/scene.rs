//! The simulated Azure and API server, each case in a resource group and namespaces of its own, and runs that can be
//! killed at any call.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use azure_core::credentials::Secret;
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use identity_injector::azure::arm::{self, Transport, request};
use identity_injector::azure::sign_in::{self, Method};
use identity_injector::kubernetes;
use identity_injector::setup::cluster::Cluster;
use identity_injector::setup::config;
use identity_injector::setup::desired::Desired;
use identity_injector::setup::destroy::{destroy, find};
use identity_injector::setup::journal::Journal;
use identity_injector::setup::ledger::{Ledger, State};
use identity_injector::setup::pace::Rates;
use identity_injector::setup::removal::removal;
use identity_injector::setup::{apply, look};
use serde_json::{Value, json};
use simazure::Simulation;
use std::pin::Pin;
use tokio::process::Command;
use tokio::sync::Notify;

use crate::unseen;

/// Both, shared by the cases of a test.
pub struct Scene {
    pub azure: Simulation,
    pub kube: simkube::Cluster,
    folder: tempfile::TempDir,
}

/// One resource group, its config and its namespaces.
pub struct Case<'a> {
    pub scene: &'a Scene,
    pub name: String,
    pub desired: Desired,
    pub text: String,
}

/// Where a run dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// It lives.
    Never,
    /// Before its n-th call, counted from 0.
    Before(usize),
    /// After the effect of its n-th call, before the answer.
    After(usize),
}

/// Counts calls to both peers, and burns at one of them.
#[derive(Debug)]
pub struct Fuse {
    death: Death,
    calls: AtomicUsize,
    burnt: Notify,
}

#[derive(Debug)]
struct Fused<T>(T, Arc<Fuse>);

type Reply<'a> = Pin<Box<dyn Future<Output = azure_core::Result<AsyncRawResponse>> + Send + 'a>>;

impl Fuse {
    async fn pass<T>(&self, call: impl Future<Output = T>) -> T {
        let n = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.death == Death::Before(n) {
            self.burnt.notify_one();
            return std::future::pending().await;
        }
        let answer = call.await;
        if self.death == Death::After(n) {
            self.burnt.notify_one();
            return std::future::pending().await;
        }
        answer
    }
}

impl HttpClient for Fused<Transport> {
    fn execute_request<'a, 'b, 'c>(&'a self, request: &'b Request) -> Reply<'c>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.1.pass(self.0.execute_request(request)))
    }
}

impl Scene {
    pub async fn start() -> Self {
        Self::start_with(simazure::Lags::default()).await
    }

    pub async fn start_with(lags: simazure::Lags) -> Self {
        // Another test of this process may have set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kube = simkube::start(simkube::Options::default()).await.unwrap();
        let azure = simazure::start(simazure::Options {
            issuer_cas: vec![kube.ca_pem().to_owned()],
            lags,
            ..Default::default()
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), kube.kubeconfig()).unwrap();
        Self {
            azure: azure.unwrap(),
            kube,
            folder,
        }
    }

    /// A case of its own: namespaces are made, the ServiceAccount `old` is there without annotations.
    pub fn case(&self, name: &str) -> Case<'_> {
        for namespace in [name.to_owned(), format!("{name}-ledger")] {
            self.put("Namespace", "", &namespace);
        }
        self.put("ServiceAccount", name, "old");
        let text = format!(
            "
subscription: {}
resourceGroup: {{name: {name}, location: westus2}}
issuer: auto
identities:
  - name: idA
    serviceAccounts: [{{namespace: {name}, name: sa}}, {{namespace: {name}, name: old}}]
    roleAssignments: [{{scope: /subscriptions/{0}/resourceGroups/{name}, role: Reader}}]
  - name: idB
    serviceAccounts: [{{namespace: {name}, name: sb}}]
",
            self.azure.subscription
        );
        Case {
            scene: self,
            name: name.to_owned(),
            desired: config::parse(&text).unwrap(),
            text,
        }
    }

    /// The file that leads to the API server.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// `setup COMMAND` by the binary, signed in as the administrator, with the cloud's address for all it knows of Azure.
    pub fn setup(&self, command: &str, config: &Path, ledger: &str) -> Command {
        let azure = &self.azure;
        let mut setup = Command::new(env!("CARGO_BIN_EXE_identity-injector"));
        setup
            .args(["setup", command, "--ledger-namespace", ledger, "--config"])
            .arg(config)
            .env_clear()
            .env("SSL_CERT_FILE", &azure.ca_file)
            .env("AZURE_ENVIRONMENT", azure.arm.trim_end_matches('/'))
            .env("SETUP_KUBECONFIG", self.kubeconfig())
            .env("SETUP_SIGN_IN", "client-secret")
            .env("AZURE_TENANT_ID", azure.tenant)
            .env("AZURE_CLIENT_ID", azure.client_id)
            .env("AZURE_CLIENT_SECRET", azure.client_secret);
        setup
    }

    /// A client that trusts the simulated Azure.
    pub fn http(&self) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.azure.ca_pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([root]);
        client.no_proxy().build().unwrap()
    }

    pub fn put(&self, kind: &str, namespace: &str, name: &str) {
        let metadata = json!({"name": name, "namespace": namespace});
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": metadata});
        self.kube.put(object).unwrap();
    }
}

impl Case<'_> {
    /// Clients whose calls pass the fuse.
    pub async fn clients(&self, fuse: &Arc<Fuse>) -> (arm::Client, Cluster) {
        let azure = &self.scene.azure;
        let transport = Transport::new(self.scene.http());
        let method = Method::ClientSecret {
            tenant_id: azure.tenant.to_owned(),
            client_id: azure.client_id.to_owned(),
            secret: Secret::new(azure.client_secret),
        };
        let credential = sign_in::credential(
            method,
            &azure.authority.parse().unwrap(),
            self.desired.group.subscription,
            Arc::new(transport.clone()),
        );
        let arm = arm::Client::new(
            azure.arm.parse().unwrap(),
            "https://management.azure.com",
            credential.unwrap(),
            Arc::new(Fused(transport, Arc::clone(fuse))),
        );
        let mut config = kubernetes::config(Some(&self.scene.kubeconfig()))
            .await
            .unwrap();
        config.default_retry = false;
        let inner = kubernetes::client(config).unwrap();
        let fuse = Arc::clone(fuse);
        let service = tower::service_fn(move |request| {
            let (inner, fuse) = (inner.clone(), Arc::clone(&fuse));
            async move { fuse.pass(inner.send(request)).await }
        });
        let cluster = Cluster {
            client: kube::Client::new(service, "default"),
            address: self.scene.kube.url().to_owned(),
            ledger_namespace: format!("{}-ledger", self.name),
        };
        (arm, cluster)
    }

    /// Looks and applies, unless it dies; the number of calls, and the error if there was one.
    pub async fn apply(&self, death: Death) -> (usize, Option<String>) {
        self.run(death, async |arm: &arm::Client, cluster: &Cluster| {
            let plan = look(&self.desired, arm, cluster).await;
            let plan = plan.map_err(|error| error.to_string())?;
            let journal = Journal::new(unseen());
            let rates = Rates::UNLIMITED;
            let applied = apply::apply(&plan, &self.desired, arm, cluster, rates, &journal).await;
            applied.map_err(|error| error.to_string())
        })
        .await
    }

    /// Looks and destroys, unless it dies.
    pub async fn destroy(&self, death: Death) -> (usize, Option<String>) {
        self.run(death, async |arm: &arm::Client, cluster: &Cluster| {
            let rates = Rates::UNLIMITED;
            let found = find(&self.desired, arm, cluster, rates).await;
            let found = found.map_err(|error| error.to_string())?;
            let removal = removal(&self.desired, &found);
            let desired = &self.desired;
            let destroyed = destroy(&removal, desired, arm, cluster, rates, &unseen()).await;
            destroyed.map(drop).map_err(|error| error.to_string())
        })
        .await
    }

    /// What `destroy` would do and leave, one line each.
    pub async fn removal(&self) -> (Vec<String>, Vec<String>) {
        let (arm, cluster) = self.clients(&fuse(Death::Never)).await;
        let found = find(&self.desired, &arm, &cluster, Rates::UNLIMITED).await;
        let removal = removal(&self.desired, &found.unwrap());
        let steps = removal.steps.iter().map(ToString::to_string).collect();
        (steps, removal.left)
    }

    async fn run(
        &self,
        death: Death,
        act: impl AsyncFn(&arm::Client, &Cluster) -> Result<(), String>,
    ) -> (usize, Option<String>) {
        let fuse = fuse(death);
        let (arm, cluster) = self.clients(&fuse).await;
        let outcome = tokio::select! {
            outcome = act(&arm, &cluster) => outcome.err(),
            () = fuse.burnt.notified() => Some("killed".to_owned()),
        };
        (fuse.calls.load(Ordering::SeqCst), outcome)
    }

    /// All that is there, without what differs from case to case.
    pub async fn state(&self) -> Vec<String> {
        let (arm, _) = self.clients(&fuse(Death::Never)).await;
        let group = &self.desired.group;
        let mut lines = Vec::new();
        if let Some(found) = arm.find(&request::get_group(group)).await.unwrap() {
            lines.push(format!("group {} {}", found.name, found.location));
            for resource in arm.list(&request::list_resources(group)).await.unwrap() {
                let get = request::get_identity(group, &resource.name);
                let identity = arm.send(&get).await.unwrap().value;
                lines.push(format!("identity {}", resource.name));
                let list = request::list_credentials(group, &resource.name);
                for credential in arm.list(&list).await.unwrap() {
                    lines.push(format!("credential {credential:?}"));
                }
                let scope = format!("/subscriptions/{}", group.subscription);
                let list = request::list_assignments(&scope, &identity.principal_id);
                for role in arm.list(&list).await.unwrap() {
                    lines.push(format!("role {} {}", role.scope, role.role_definition_id));
                }
                lines = lines
                    .into_iter()
                    .map(|line| line.replace(&identity.client_id, "its client id"))
                    .collect();
                for account in ["sa", "old", "sb"] {
                    let object = self.account(account).unwrap_or_default();
                    let annotations = &object["metadata"]["annotations"];
                    if annotations["azure.workload.identity/client-id"]
                        == identity.client_id.as_str()
                    {
                        lines.push(format!("{account} has {}", resource.name));
                    }
                }
            }
        }
        for account in ["sa", "old", "sb"] {
            if let Some(object) = self.account(account) {
                let annotations = object["metadata"]["annotations"].as_object();
                let count = annotations.map_or(0, serde_json::Map::len);
                lines.push(format!("account {account} with {count} annotations"));
            }
        }
        let plain = |(made, state)| match state {
            State::MadeAs(_) => format!("{:?}", (made, State::Made)),
            state => format!("{:?}", (made, state)),
        };
        lines.extend(self.ledger().0.into_iter().map(plain));
        let plain = |line: String| line.replace(&self.name, "CASE");
        let lines = lines.into_iter().map(plain);
        // The hash in a credential's name is over the namespace.
        lines.map(|line| without_hash(&line)).collect()
    }

    pub fn account(&self, name: &str) -> Option<Value> {
        self.scene.kube.get("ServiceAccount", &self.name, name)
    }

    pub fn ledger(&self) -> Ledger {
        let namespace = format!("{}-ledger", self.name);
        let map = self
            .scene
            .kube
            .get("ConfigMap", &namespace, "identity-injector-setup");
        let data = map.map(|map| map["data"].clone()).unwrap_or_default();
        let data: Option<_> = serde_json::from_value(data).unwrap();
        Ledger::read(&data.unwrap_or_default()).unwrap()
    }
}

pub fn fuse(death: Death) -> Arc<Fuse> {
    Arc::new(Fuse {
        death,
        calls: AtomicUsize::new(0),
        burnt: Notify::new(),
    })
}

fn without_hash(line: &str) -> String {
    let mut plain = line.to_owned();
    for account in ["sa", "old", "sb"] {
        let start = format!("CASE-{account}-");
        if let Some(at) = plain.find(&start) {
            plain.replace_range(at + start.len()..at + start.len() + 8, "HASH");
        }
    }
    plain
}
