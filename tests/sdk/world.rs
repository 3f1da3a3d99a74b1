//! What the clients live in: a simulated Azure with the identities that setup made, and the pod, injected by the binary.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::network::{Network, as_init_container};
use crate::support::{Program, arm, container, environment};

const BINARY: &str = env!("CARGO_BIN_EXE_identity-injector");
const AUDIENCE: &str = "api://AzureADTokenExchange";
const SERVICE_ACCOUNT: &str = "workload-identity-sa";
/// Makes the pod's own identity.
pub const WALK: &str = "tests/walk/setup.yaml";
/// The one the pod asks for.
const PROXY: &str = "http://127.0.0.1:8000";

/// How the pod's requests reach the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    Env,
    Redirect,
}

/// When in a proxy's life it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// At its start, when it waits for a credential that is late.
    Start,
    /// Any time after that.
    Later,
}

/// Client ids.
pub struct Identities {
    /// Of the pod's ServiceAccount: what a request gets that names none.
    pub own: String,
    /// The pod may name it.
    pub other: String,
    /// Trusts another ServiceAccount only.
    pub foreign: String,
}

pub struct World {
    pub azure: simazure::Simulation,
    pub identities: Identities,
    /// Ends with this.
    _network: Network,
    kube: simkube::Cluster,
    folder: TempDir,
}

impl Capture {
    pub fn name(self) -> &'static str {
        match self {
            Capture::Env => "env",
            Capture::Redirect => "redirect",
        }
    }
}

impl Identities {
    /// What stands for a client id in the table.
    pub fn name(&self, client_id: &str) -> &'static str {
        match client_id {
            id if id == self.own => "own",
            id if id == self.other => "named",
            id if id == self.foreign => "foreign",
            _ => "unknown",
        }
    }
}

impl World {
    pub async fn start() -> Self {
        let network = Network::make();
        let kube = simkube::start(simkube::Options::default()).await.unwrap();
        let azure = simazure::start(simazure::Options {
            issuer_cas: vec![kube.ca_pem().to_owned()],
            imds_bind: "169.254.169.254:80".parse().unwrap(),
            imds_namespace: Some(network.node_namespace()),
            ..Default::default()
        })
        .unwrap();
        let labels = json!({"azure.workload.identity/use": "true"});
        kube.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "walk", "labels": labels}})).unwrap();
        kube.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "identity-injector-system"}})).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut world = World {
            azure,
            identities: Identities {
                own: String::new(),
                other: String::new(),
                foreign: String::new(),
            },
            _network: network,
            kube,
            folder,
        };
        world.open_to_the_proxy();
        world.set_up("tests/sdk/setup.yaml").await;
        world.identities.other = world.client_id(SERVICE_ACCOUNT);
        world.identities.foreign = world.client_id("another-sa");
        world.set_up(WALK).await;
        world.identities.own = world.client_id(SERVICE_ACCOUNT);
        world.make_trust_store();
        world
    }

    /// A file or folder of this world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the proxy needs must not be readable by root alone: it runs as the uid that the injected pod says.
    fn open_to_the_proxy(&self) {
        std::fs::set_permissions(self.folder.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::copy(BINARY, self.path("identity-injector")).unwrap();
        std::fs::write(self.path("ca.pem"), &self.azure.ca_pem).unwrap();
        std::fs::write(self.path("kubeconfig"), self.kube.kubeconfig()).unwrap();
        let token = self.kube.put(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": SERVICE_ACCOUNT, "namespace": "walk"}}))
            .and_then(|_| self.kube.token("walk", SERVICE_ACCOUNT, AUDIENCE)).unwrap();
        std::fs::write(self.path("token"), token).unwrap();
    }

    /// Takes from the walk's identity what `set_up` gave it to trust the pod.
    pub async fn forget_credential(&self) {
        let credentials = format!(
            "/subscriptions/{}/resourceGroups/myResourceGroup/providers/Microsoft.ManagedIdentity\
             /userAssignedIdentities/userAssignedIdentityA/federatedIdentityCredentials",
            self.azure.subscription
        );
        let listed = arm(&self.azure, Method::GET, &credentials, None).await;
        let name = listed["value"][0]["name"].as_str().unwrap();
        arm(
            &self.azure,
            Method::DELETE,
            &format!("{credentials}/{name}"),
            None,
        )
        .await;
    }

    /// Applies a setup file by the product's own command.
    pub async fn set_up(&self, config: &str) {
        let mut command = Command::new(BINARY);
        command
            .args(["setup", "apply", "--config", config, "--log-level", "warn"])
            .args([
                "--arm-url",
                &self.azure.arm,
                "--authority-host",
                &self.azure.authority,
            ])
            .arg("--kubeconfig")
            .arg(self.path("kubeconfig"))
            .env("AZURE_TENANT_ID", self.azure.tenant)
            .env("AZURE_CLIENT_ID", self.azure.client_id)
            .env("AZURE_CLIENT_SECRET", self.azure.client_secret)
            .env("SSL_CERT_FILE", self.path("ca.pem"));
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{config}: {printed}");
    }

    fn client_id(&self, service_account: &str) -> String {
        let account = self
            .kube
            .get("ServiceAccount", "walk", service_account)
            .unwrap();
        let id = &account["metadata"]["annotations"]["azure.workload.identity/client-id"];
        id.as_str().unwrap().to_owned()
    }

    /// Java reads certificates from nothing else.
    fn make_trust_store(&self) {
        let output = Command::new("keytool")
            .args(["-importcert", "-noprompt", "-alias", "simazure"])
            .args(["-storepass", "changeit", "-storetype", "PKCS12"])
            .arg("-keystore")
            .arg(self.path("trust.p12"))
            .arg("-file")
            .arg(self.path("ca.pem"))
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "keytool: {printed}");
    }

    /// The pod as `inject` makes it, in a Namespace that asks for this capture.
    pub fn pod(&self, capture: Capture) -> Value {
        let annotations = json!({"identity-injector.io/capture": capture.name()});
        let labels = json!({"azure.workload.identity/use": "true"});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "walk", "labels": labels, "annotations": annotations}});
        let account = self
            .kube
            .get("ServiceAccount", "walk", SERVICE_ACCOUNT)
            .unwrap();
        std::fs::write(self.path("namespace.json"), namespace.to_string()).unwrap();
        std::fs::write(self.path("account.json"), account.to_string()).unwrap();
        let output = Command::new(BINARY)
            .args(["inject", "-f", "tests/sdk/pod.yaml", "--namespace"])
            .arg(self.path("namespace.json"))
            .arg("--service-account")
            .arg(self.path("account.json"))
            .args(["--tenant-id", self.azure.tenant])
            .args(["--authority-host", &self.azure.authority])
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "inject: {printed}");
        serde_saphyr::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap()
    }

    /// The environment of one of the pod's containers.
    pub fn environment(&self, pod: &Value, name: &str) -> Vec<(String, String)> {
        environment(pod, container(pod, name), &self.path("token"))
    }

    /// Runs the pod's init container, which stays in force.
    pub fn redirect(&self, pod: &Value) {
        let arguments = &container(pod, "azwi-proxy-init")["args"];
        let arguments: Vec<&str> = arguments
            .as_array()
            .unwrap()
            .iter()
            .flat_map(Value::as_str)
            .collect();
        let output = as_init_container(&self.path("identity-injector"), &arguments)
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {printed}");
    }

    /// The proxy as the pod starts it: its arguments, its environment, its uid.
    pub async fn proxy(&self, pod: &Value, life: Life) -> Program {
        let proxy = container(pod, "azwi-proxy");
        let uid = proxy["securityContext"]["runAsUser"].to_string();
        let binary = self.path("identity-injector");
        let mut arguments = vec!["--reuid", &uid, "--regid", &uid, "--clear-groups"];
        arguments.push(binary.to_str().unwrap());
        arguments.extend(
            proxy["args"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(Value::as_str),
        );
        let mut variables = self.environment(pod, "azwi-proxy");
        let ca = self.path("ca.pem").to_str().unwrap().to_owned();
        variables.push(("SSL_CERT_FILE".to_owned(), ca));
        if life == Life::Later {
            variables.push(("CREDENTIAL_WAIT".to_owned(), "0".to_owned()));
        }
        let log = self.path("proxy.log");
        let mut program = Program::start(Path::new("setpriv"), log, &arguments, &variables);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let ready = format!("{PROXY}/readyz");
        program.until_ready(&client, &ready).await;
        program
    }
}
