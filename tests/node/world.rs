//! The world of the cases: a real node, a simulated Azure that its pods reach, our webhook installed on it.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::api::Api;
use crate::cluster::Cluster;
use crate::image;
use crate::shell::Shell;
use crate::support::arm;

pub const BINARY: &str = env!("CARGO_BIN_EXE_identity-injector");
pub const WALK: &str = include_str!("../walk/pod.yaml");
pub const WALK_IMAGE: &str = "docker.io/kennethreitz/httpbin";
/// Of what we run.
pub const SYSTEM: &str = "identity-injector-system";
pub const SERVICE_ACCOUNT: &str = "workload-identity-sa";
/// What asks for tokens: tests/node/app.
pub const APP: &str = "registry.test/app:1";

pub struct World {
    /// Ends before the node, so that none of its connections there lingers.
    pub azure: simazure::Simulation,
    pub cluster: Cluster,
    pub api: Api,
    pub client_id: String,
    pub shell: Shell,
    _home: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        let cluster = Cluster::start("node", "make e2e-node");
        let api = identity_injector::kubernetes::connect(Some(&cluster.kubeconfig))
            .await
            .unwrap();
        let azure = azure(&cluster);
        let home = tempfile::tempdir().unwrap();
        let mut world = World {
            shell: Shell::new(home.path(), &cluster.kubeconfig, &azure),
            azure,
            cluster,
            api: Api(api),
            client_id: String::new(),
            _home: home,
        };
        image::import(&world);
        world.make_namespaces().await;
        world.set_up().await;
        world.install();
        world
    }

    async fn make_namespaces(&self) {
        let pod_security = "pod-security.kubernetes.io/enforce";
        for (name, level) in [
            ("walk", "privileged"),
            ("counted", "privileged"),
            ("restricted", "restricted"),
            ("baseline", "baseline"),
        ] {
            let labels = json!({"azure.workload.identity/use": "true", pod_security: level});
            self.api.namespace(name, labels).await;
        }
        self.api.namespace("plain", json!({})).await;
        // Setup keeps its ledger where the webhook is going to be.
        self.create_all("manifests/base/namespace.yaml", |_| {})
            .await;
    }

    /// Identity, credentials and annotated ServiceAccounts, by the binary itself.
    async fn set_up(&mut self) {
        let azure = &self.azure;
        let output = Command::new(BINARY)
            .args(["setup", "apply", "--config", "tests/node/setup.yaml"])
            .args([
                "--arm-url",
                &azure.arm,
                "--authority-host",
                &azure.authority,
            ])
            .arg("--kubeconfig")
            .arg(&self.cluster.kubeconfig)
            .env("AZURE_TENANT_ID", azure.tenant)
            .env("AZURE_CLIENT_ID", azure.client_id)
            .env("AZURE_CLIENT_SECRET", azure.client_secret)
            .env("SSL_CERT_FILE", &azure.ca_file)
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{printed}");
        let identity = arm(azure, reqwest::Method::GET, &self.identity_path(), None).await;
        self.client_id = identity["properties"]["clientId"]
            .as_str()
            .unwrap()
            .to_owned();
    }

    pub fn identity_path(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/myResourceGroup/providers/Microsoft.ManagedIdentity\
             /userAssignedIdentities/userAssignedIdentityA",
            self.azure.subscription
        )
    }

    /// A field of what the cluster said of itself.
    pub fn said(&self, field: &str) -> &str {
        self.cluster.said[field]
            .as_str()
            .unwrap_or_else(|| panic!("{field}: {}", self.cluster.said))
    }
}

/// On the host's end of the node's link, so that pods reach it; the node's IMDS where a node has it.
fn azure(cluster: &Cluster) -> simazure::Simulation {
    let init = cluster.said["pid"].as_u64().unwrap();
    run(Command::new("nsenter")
        .args(["--target", &init.to_string(), "--net", "--"])
        .args(["ip", "address", "add", "169.254.169.254/32", "dev", "lo"]));
    let host = cluster.said["hostAddresses"][0].as_str();
    let host = host.unwrap_or_else(|| panic!("pods do not reach this machine: {}", cluster.said));
    let options = simazure::Options {
        bind: format!("{host}:0").parse().unwrap(),
        imds_bind: "169.254.169.254:80".parse().unwrap(),
        imds_namespace: Some(format!("/proc/{init}/ns/net").into()),
        issuer_cas: vec![cluster.ca_pem.clone()],
        ..Default::default()
    };
    simazure::start(options).unwrap()
}

/// Runs a command that has to succeed; gives what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {printed}");
    String::from_utf8(output.stdout).unwrap()
}
