//! `make demo`: the whole walk on this machine, with nothing but a Rust toolchain.
//! Azure is simulated (tests/simazure), the API server too (tests/simkube); setup, webhook and proxy are the real binary.

#![allow(clippy::unwrap_used, reason = "a demonstration that fails says where")]

#[path = "../support/mod.rs"]
mod support;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};
use support::{Certificates, Program, ask, claims, container, environment, free_port};

const WALK: &str = include_str!("pod.yaml");
const SETUP: &str = "tests/walk/setup.yaml";
const SERVICE_ACCOUNT: &str = "workload-identity-sa";

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let outcome = runtime.block_on(async {
        let interrupted = identity_injector::shutdown::on_signal()?;
        // Whatever was started is stopped when the walk is dropped, finished or not.
        tokio::select! {
            walked = walk() => walked,
            () = interrupted.cancelled() => bail!("interrupted; everything is stopped and removed"),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn walk() -> anyhow::Result<()> {
    let start = Instant::now();
    let folder = tempfile::tempdir()?;
    let binary = binary()?;

    title(
        "1",
        "Azure and an API server, both simulated, listen on loopback",
    );
    let kube = simkube::start(simkube::Options::default()).await?;
    let options = simazure::Options {
        issuer_cas: vec![kube.ca_pem().to_owned()],
        ..Default::default()
    };
    let azure = simazure::start(options)?;
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, kube.kubeconfig())?;
    let labels = json!({"azure.workload.identity/use": "true"});
    kube.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "walk", "labels": labels}}))?;
    kube.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "identity-injector-system"}}))?;
    println!(
        "Azure      {}\nAPI server {}  (namespace walk is opted in by label)",
        azure.arm,
        kube.url()
    );

    title(
        "2",
        "setup makes the identity, its federated credential and the annotated ServiceAccount",
    );
    setup(&binary, &kubeconfig, &azure).await?;

    title(
        "3",
        "the webhook gets the pod over HTTPS, as the API server would send it",
    );
    let certificates = Certificates::make(&folder.path().join("certs"));
    let (mut webhook, port) =
        webhook(&binary, folder.path(), &certificates, &kubeconfig, &azure).await;
    let before: Value = serde_saphyr::from_str(WALK)?;
    let after = admit(&certificates, port, &before).await?;
    print_diff(&before, &after)?;

    title(
        "4",
        "the proxy, with the environment the patch gave it, is asked for tokens",
    );
    let token_file = folder.path().join("token");
    std::fs::write(
        &token_file,
        kube.token("walk", SERVICE_ACCOUNT, "api://AzureADTokenExchange")?,
    )?;
    let (mut proxy, port) = proxy(&binary, folder.path(), &after, &token_file, &azure).await;
    let requests = [
        ("as IMDS clients do", "2018-02-01", ("Metadata", "true")),
        (
            "as App Service clients do",
            "2019-08-01",
            ("X-IDENTITY-HEADER", "true"),
        ),
    ];
    for (how, api_version, header) in requests {
        let (status, reply) = ask(port, api_version, header).await;
        ensure!(status == 200, "{how}: {status} {reply}");
        let claims = claims(reply["access_token"].as_str().context("no access_token")?);
        println!(
            "\n{how}: GET /metadata/identity/oauth2/token?api-version={api_version} with {}: {}",
            header.0, header.1
        );
        for claim in ["appid", "oid", "tid", "aud"] {
            println!(
                "    {claim:<6} {}",
                claims[claim].as_str().unwrap_or_default()
            );
        }
    }
    let leaks = azure
        .journal()
        .iter()
        .filter(|entry| entry.listener == simazure::journal::Listener::Imds)
        .count();
    ensure!(leaks == 0, "the node's IMDS was asked {leaks} times");
    println!("\nThe appid is the identity that setup made; the node's own IMDS was never asked.");
    proxy.stop();
    webhook.stop();
    println!(
        "\nWalked in {:.1?}. Everything is stopped and removed.",
        start.elapsed()
    );
    println!("{NEXT}");
    Ok(())
}

const NEXT: &str = "
What to try next:
  target/debug/identity-injector inject -f FILE --tenant-id GUID   the same change on your own YAML, offline
  target/debug/identity-injector --help                           every command, flag and variable
  make e2e                                                        the walk on a real Kubernetes API server (needs Go)";

/// Beside the examples' folder stands the binary.
fn binary() -> anyhow::Result<PathBuf> {
    let examples = std::env::current_exe()?;
    let binary = examples
        .ancestors()
        .nth(2)
        .context("no target folder")?
        .join("identity-injector");
    ensure!(
        binary.exists(),
        "{} is not built: run `make demo`",
        binary.display()
    );
    Ok(binary)
}

/// Runs `setup apply`; a walk that is dropped takes it along.
async fn setup(
    binary: &Path,
    kubeconfig: &Path,
    azure: &simazure::Simulation,
) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new(binary);
    command
        .args([
            "setup",
            "apply",
            "--config",
            SETUP,
            "--arm-url",
            &azure.arm,
            "--authority-host",
            &azure.authority,
        ])
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .env_clear()
        .process_group(0)
        .kill_on_drop(true)
        .env("LOG_LEVEL", "warn")
        .env("AZURE_TENANT_ID", azure.tenant)
        .env("AZURE_CLIENT_ID", azure.client_id)
        .env("AZURE_CLIENT_SECRET", azure.client_secret)
        .env("SSL_CERT_FILE", &azure.ca_file);
    println!("$ identity-injector setup apply --config {SETUP}");
    let ended = command.status().await?;
    ensure!(ended.success(), "setup: {ended}");
    Ok(())
}

async fn webhook(
    binary: &Path,
    folder: &Path,
    certificates: &Certificates,
    kubeconfig: &Path,
    azure: &simazure::Simulation,
) -> (Program, u16) {
    let (port, health) = (free_port(), free_port());
    let arguments = [
        "webhook",
        &format!("--bind=127.0.0.1:{port}"),
        &format!("--health=127.0.0.1:{health}"),
        "--certs=files",
        &format!("--cert-dir={}", certificates.directory.display()),
        &format!("--kubeconfig={}", kubeconfig.display()),
        &format!("--tenant-id={}", azure.tenant),
        &format!("--authority-host={}", azure.authority),
        "--drain-delay=0",
    ];
    let mut program = Program::start(binary, folder.join("webhook.log"), &arguments, &[]);
    program
        .until_ready(
            &plain_client(),
            &format!("http://127.0.0.1:{health}/readyz"),
        )
        .await;
    (program, port)
}

/// The pod as the API server would store it.
async fn admit(certificates: &Certificates, port: u16, pod: &Value) -> anyhow::Result<Value> {
    use base64::Engine;
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "demo", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
        "namespace": "walk", "object": pod,
    }});
    let url = format!("https://127.0.0.1:{port}/mutate-v1-pod?timeout=5s");
    let reply: Value = certificates
        .client()
        .post(url)
        .json(&review)
        .send()
        .await?
        .json()
        .await?;
    let patch = reply["response"]["patch"]
        .as_str()
        .with_context(|| format!("no patch: {reply}"))?;
    let patch: json_patch::Patch =
        serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(patch)?)?;
    let mut stored = pod.clone();
    json_patch::patch(&mut stored, &patch)?;
    Ok(stored)
}

async fn proxy(
    binary: &Path,
    folder: &Path,
    pod: &Value,
    token_file: &Path,
    azure: &simazure::Simulation,
) -> (Program, u16) {
    // The API server gives every pod a uid; the proxy takes it as one of its header values.
    let mut pod = pod.clone();
    pod["metadata"]["uid"] = json!("0dd0b0d5-0000-4000-8000-000000000000");
    let mut variables = environment(&pod, container(&pod, "azwi-proxy"), token_file);
    variables.push((
        "SSL_CERT_FILE".to_owned(),
        azure.ca_file.display().to_string(),
    ));
    let port = free_port();
    let arguments = [
        "proxy",
        &format!("--port={port}"),
        &format!("--imds-url={}", azure.node_imds),
    ];
    let mut program = Program::start(binary, folder.join("proxy.log"), &arguments, &variables);
    program
        .until_ready(&plain_client(), &format!("http://127.0.0.1:{port}/readyz"))
        .await;
    (program, port)
}

fn plain_client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// An escape sequence, on a terminal only.
fn style(sequence: &str) -> &str {
    if std::io::stdout().is_terminal() {
        sequence
    } else {
        ""
    }
}

fn title(number: &str, sentence: &str) {
    println!(
        "\n{}{number}. {sentence}{}",
        style("\x1b[1m"),
        style("\x1b[0m")
    );
}

fn print_diff(before: &Value, after: &Value) -> anyhow::Result<()> {
    let (before, after) = (
        serde_saphyr::to_string(before)?,
        serde_saphyr::to_string(after)?,
    );
    for change in TextDiff::from_lines(&before, &after).iter_all_changes() {
        let (sign, colour) = match change.tag() {
            ChangeTag::Delete => ("-", "\x1b[31m"),
            ChangeTag::Insert => ("+", "\x1b[32m"),
            ChangeTag::Equal => (" ", ""),
        };
        print!(
            "{}{sign} {}{}",
            style(colour),
            change.to_string_lossy(),
            style("\x1b[0m")
        );
    }
    Ok(())
}
