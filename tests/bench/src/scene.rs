//! The walk's world: a simulated Azure and API server, set up by the real binary, and servers pinned to a core.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{self, Certificates, Program, free_port, loopback};

/// The core of the measured server. The Makefile puts this process on core 0.
const SERVER_CORE: &str = "1";
const SERVICE_ACCOUNT: &str = "workload-identity-sa";
const SETUP: &str = "tests/walk/setup.yaml";

/// The world. It stops when dropped.
pub struct Scene {
    /// The API server.
    pub kube: simkube::Cluster,
    certificates: Certificates,
    kubeconfig: PathBuf,
    azure: simazure::Simulation,
    binary: PathBuf,
    folder: TempDir,
}

/// A server under measurement.
pub struct Server {
    /// Where it answers.
    pub address: SocketAddr,
    /// From exec until it was ready.
    pub started: Duration,
    program: Program,
}

impl Server {
    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.program.id()
    }
}

impl Scene {
    /// Starts the simulations and makes the walk's identity with `setup apply`.
    ///
    /// # Errors
    /// When the binary is not built or setup fails.
    pub async fn start(binary: PathBuf) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        ensure!(binary.exists(), "{} is not built", binary.display());
        let kube = simkube::start(simkube::Options::default()).await?;
        let azure = simazure::start(simazure::Options {
            issuer_cas: vec![kube.ca_pem().to_owned()],
            ..Default::default()
        })?;
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, kube.kubeconfig())?;
        let labels = json!({"azure.workload.identity/use": "true"});
        kube.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "walk", "labels": labels}}))?;
        kube.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "identity-injector-system"}}))?;
        let certificates = Certificates::make(&folder.path().join("certs"));
        let scene = Scene {
            kube,
            certificates,
            kubeconfig,
            azure,
            binary,
            folder,
        };
        scene.set_up().await?;
        Ok(scene)
    }

    async fn set_up(&self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.binary);
        command
            .args(["setup", "apply", "--config", SETUP, "--log-level", "warn"])
            .args([
                "--arm-url",
                &self.azure.arm,
                "--authority-host",
                &self.azure.authority,
            ])
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .env("AZURE_TENANT_ID", self.azure.tenant)
            .env("AZURE_CLIENT_ID", self.azure.client_id)
            .env("AZURE_CLIENT_SECRET", self.azure.client_secret)
            .env("SSL_CERT_FILE", &self.azure.ca_file);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        ensure!(
            output.status.success(),
            "setup: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Puts ServiceAccounts as a large cluster has them: a chart's labels and annotations, some with an identity's too.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub fn put_service_accounts(&self, count: usize) -> anyhow::Result<()> {
        for number in 0..count {
            let name = format!("payments-service-{number:05}");
            let release = format!("payments-{number:05}");
            let client_id = format!("{number:08x}-1c2d-4e3f-8a4b-5c6d7e8f9a0b");
            self.kube.put(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
                "name": name, "namespace": format!("team-{:03}", number % 200),
                "labels": {
                    "app.kubernetes.io/instance": release, "app.kubernetes.io/managed-by": "Helm",
                    "app.kubernetes.io/name": name, "helm.sh/chart": "service-4.12.0",
                },
                "annotations": {
                    "azure.workload.identity/client-id": client_id,
                    "azure.workload.identity/tenant-id": self.azure.tenant,
                    "meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": "payments",
                },
            }}))?;
        }
        Ok(())
    }

    /// Bytes of the binary.
    ///
    /// # Errors
    /// When it is gone.
    pub fn binary_size(&self) -> anyhow::Result<u64> {
        Ok(std::fs::metadata(&self.binary)?.len())
    }

    /// What a client of the webhook needs to trust.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.certificates.ca_pem
    }

    /// The webhook, ready.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn webhook(&self) -> anyhow::Result<Server> {
        let (address, health) = (loopback(free_port()), loopback(free_port()));
        let arguments = [
            self.binary.display().to_string(),
            "webhook".to_owned(),
            format!("--bind={address}"),
            format!("--health={health}"),
            "--certs=files".to_owned(),
            format!("--cert-dir={}", self.certificates.directory.display()),
            format!("--kubeconfig={}", self.kubeconfig.display()),
            format!("--tenant-id={}", self.azure.tenant),
            format!("--authority-host={}", self.azure.authority),
            "--drain-delay=0".to_owned(),
        ];
        self.serve(address, health, &arguments, &[]).await
    }

    /// The proxy with the environment that the injected pod gives it, ready.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn proxy(&self, injected: &Value) -> anyhow::Result<Server> {
        let token_file = self.folder.path().join("token");
        let token = self
            .kube
            .token("walk", SERVICE_ACCOUNT, "api://AzureADTokenExchange")?;
        std::fs::write(&token_file, token)?;
        let container = support::container(injected, "azwi-proxy");
        let mut environment = support::environment(injected, container, &token_file);
        let ca = self.azure.ca_file.display().to_string();
        environment.push(("SSL_CERT_FILE".to_owned(), ca));
        let address = loopback(free_port());
        let arguments = [
            self.binary.display().to_string(),
            "proxy".to_owned(),
            format!("--port={}", address.port()),
            format!("--imds-url={}", self.azure.node_imds),
        ];
        self.serve(address, address, &arguments, &environment).await
    }

    /// A floor that answers `body`: `webhook` or `proxy`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn floor(&self, kind: &str, body: &[u8]) -> anyhow::Result<Server> {
        let file = self.folder.path().join(format!("floor-{kind}"));
        std::fs::write(&file, body)?;
        let address = loopback(free_port());
        let mut arguments = vec![
            std::env::current_exe()?.display().to_string(),
            "floor".to_owned(),
            kind.to_owned(),
            address.to_string(),
            file.display().to_string(),
        ];
        if kind == "webhook" {
            arguments.push(self.certificates.directory.display().to_string());
        }
        self.serve(address, address, &arguments, &[]).await
    }

    /// Starts a program on the server's core; it is there when `health` answers anything but 503 to GET /readyz.
    async fn serve(
        &self,
        address: SocketAddr,
        health: SocketAddr,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> anyhow::Result<Server> {
        let log = self.folder.path().join(format!("{}.log", address.port()));
        let pinned = ["-c", SERVER_CORE].into_iter();
        let arguments: Vec<&str> = pinned.chain(arguments.iter().map(String::as_str)).collect();
        let start = Instant::now();
        // taskset becomes the program it starts, by exec.
        let program = Program::start(Path::new("taskset"), log, &arguments, environment);
        while !ready(health).await {
            if start.elapsed() > Duration::from_secs(60) {
                bail!("not ready: {arguments:?}\n{}", program.printed());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Server {
            address,
            started: start.elapsed(),
            program,
        })
    }
}

/// Whether something listens that does not say it is not ready. A floor answers otherwise (404, a TLS alert) and is ready.
async fn ready(health: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(health).await else {
        return false;
    };
    let mut answer = Vec::new();
    let request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let asked = stream.write_all(request).await.is_ok();
    asked && stream.read_to_end(&mut answer).await.is_ok() && !answer.starts_with(b"HTTP/1.1 503")
}

/// The pod after the patch of an answer.
///
/// # Errors
/// When it holds none, or one that does not fit.
pub fn patched(pod: &Value, answer: &[u8]) -> anyhow::Result<Value> {
    use base64::Engine;
    let answer: Value = serde_json::from_slice(answer)?;
    let patch = answer["response"]["patch"].as_str().context("no patch")?;
    let patch: json_patch::Patch =
        serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(patch)?)?;
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &patch)?;
    Ok(patched)
}
