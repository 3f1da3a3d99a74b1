//! What the end-to-end test and the demonstration share: the binary as a child, a throw-away certificate, token claims.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; neither user needs every part"
)]

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Whom the serving pair is for: loopback, and the webhook's Service.
const NAMES: [&str; 3] = [
    "localhost",
    "127.0.0.1",
    "identity-injector.identity-injector-system.svc",
];

/// A certificate authority and a serving pair, in a folder.
pub struct Certificates {
    pub directory: PathBuf,
    pub ca_pem: String,
}

impl Certificates {
    pub fn make(directory: &Path) -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = params.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(NAMES.map(str::to_owned)).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join("tls.crt"), leaf.pem()).unwrap();
        std::fs::write(directory.join("tls.key"), key.serialize_pem()).unwrap();
        Certificates {
            directory: directory.to_owned(),
            ca_pem,
        }
    }

    /// A client that trusts nothing but these.
    pub fn client(&self) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.ca_pem.as_bytes()).unwrap();
        reqwest::Client::builder()
            .tls_certs_only([root])
            .no_proxy()
            .build()
            .unwrap()
    }
}

/// The binary running a command; ended by SIGTERM when dropped, its log in a file.
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `binary` with nothing in its environment but `environment`.
    pub fn start(
        binary: &Path,
        log: PathBuf,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Self {
        let file = File::create(&log).unwrap();
        let child = Command::new(binary)
            .env_clear()
            .envs(environment.iter().cloned())
            .args(arguments)
            .stdin(Stdio::null())
            // Ctrl-C is for the one who started it, who then stops it.
            .process_group(0)
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Program { child, log }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        let mut text = String::new();
        File::open(&self.log)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    /// Waits until `url` answers 200.
    pub async fn until_ready(&mut self, client: &reqwest::Client, url: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if client
                .get(url)
                .send()
                .await
                .is_ok_and(|reply| reply.status().is_success())
            {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{url} not ready ({ended:?}):\n{}",
                self.printed()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks it to leave and waits for it.
    pub fn stop(&mut self) -> ExitStatus {
        if let Some(ended) = self.child.try_wait().unwrap() {
            return ended;
        }
        Command::new("kill")
            .arg("-TERM")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                return ended;
            }
            if Instant::now() > deadline {
                self.child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A container of a pod by name, in whichever list.
pub fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
    lists
        .into_iter()
        .flatten()
        .flatten()
        .find(|container| container["name"] == name)
        .unwrap()
}

/// The environment a kubelet would give a container, the token in a file of our own.
pub fn environment(pod: &Value, container: &Value, token_file: &Path) -> Vec<(String, String)> {
    let value = |entry: &Value| match (
        entry["name"].as_str(),
        entry["valueFrom"]["fieldRef"]["fieldPath"].as_str(),
    ) {
        (Some("AZURE_FEDERATED_TOKEN_FILE"), _) => token_file.to_str().unwrap().to_owned(),
        (_, Some("metadata.uid")) => pod["metadata"]["uid"].as_str().unwrap().to_owned(),
        _ => entry["value"].as_str().unwrap().to_owned(),
    };
    let entries = container["env"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| (entry["name"].as_str().unwrap().to_owned(), value(entry)))
        .collect()
}

/// The claims of a JWT, unverified.
pub fn claims(token: &str) -> Value {
    use base64::Engine;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(payload)
            .unwrap(),
    )
    .unwrap()
}

/// Asks a proxy for a token; the headers make it an IMDS or an App Service request.
pub async fn ask(port: u16, api_version: &str, header: (&str, &str)) -> (u16, Value) {
    let url = format!("http://localhost:{port}/metadata/identity/oauth2/token");
    let query = [
        ("api-version", api_version),
        ("resource", "https://vault.azure.net"),
    ];
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let reply = client
        .get(url)
        .query(&query)
        .header(header.0, header.1)
        .send()
        .await
        .unwrap();
    (reply.status().as_u16(), reply.json().await.unwrap())
}

/// One call to the simulated Resource Manager, as its administrator: the body of the answer, null when it has none.
pub async fn arm(
    azure: &simazure::Simulation,
    method: reqwest::Method,
    path: &str,
    body: Option<Value>,
) -> Value {
    let root = reqwest::Certificate::from_pem(azure.ca_pem.as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([root])
        .no_proxy()
        .build()
        .unwrap();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", azure.client_id),
        ("client_secret", azure.client_secret),
        ("scope", "https://management.azure.com/.default"),
    ];
    let url = format!("{}{}/oauth2/v2.0/token", azure.authority, azure.tenant);
    let token = client.post(url).form(&form).send().await.unwrap();
    let token: Value = token.json().await.unwrap();
    let url = format!("{}{path}?api-version=2024-11-30", azure.arm);
    let request = client
        .request(method, url)
        .bearer_auth(token["access_token"].as_str().unwrap());
    let request = body.iter().fold(request, reqwest::RequestBuilder::json);
    let answer = request.send().await.unwrap().error_for_status().unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
}

/// A listener's address on loopback.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The webhook's registration, with that caBundle, which is base64 of PEM.
pub fn configuration(bundle: &str) -> Value {
    let service = json!({"name": "identity-injector", "namespace": "identity-injector-system"});
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "identity-injector"},
        "webhooks": [{
            "name": "pods.identity-injector.io", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"caBundle": bundle, "service": service},
        }],
    })
}
