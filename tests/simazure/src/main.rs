//! The simulation as a process: prints one JSON line when it is ready, runs until it is told to stop.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::Parser;
use serde_json::json;
use simazure::{Clock, Cluster, Lags, Options};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Longest lag that can be asked for.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A simulated Azure: Resource Manager and Entra on one HTTPS listener, a node's IMDS on a plain one.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Address of Resource Manager and Entra; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    bind: SocketAddr,
    /// Address of the node's IMDS; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    imds_bind: SocketAddr,
    /// PEM file of an authority that federated issuers are trusted by; may be repeated
    #[arg(long, value_name = "FILE")]
    issuer_ca: Vec<PathBuf>,
    /// AKS cluster that exists from the start; may be repeated
    #[arg(long, value_name = "RG/NAME=ISSUER_URL", value_parser = cluster)]
    cluster: Vec<Cluster>,
    /// Kubeconfig that `az aks get-credentials` gets of these clusters
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Resource provider to be registered before its first use, as Microsoft.ManagedIdentity; may be repeated
    #[arg(long, value_name = "NAMESPACE")]
    unregistered: Vec<String>,
    /// Behave as the real Azure does: the lags below at their typical values, and --throttling
    #[arg(long)]
    realistic: bool,
    /// Hold the published request limits: 429 with Retry-After beyond them
    #[arg(long)]
    throttling: bool,
    /// Seconds until a new or deleted identity is known beyond Resource Manager
    #[arg(long, value_name = "SECONDS")]
    identity_lag: Option<f64>,
    /// Seconds until Entra knows of a written or deleted federated credential
    #[arg(long, value_name = "SECONDS")]
    credential_lag: Option<f64>,
    /// Seconds for which Entra remembers that it found no match
    #[arg(long, value_name = "SECONDS")]
    negative_cache: Option<f64>,
    /// Seconds that the write of a federated credential takes
    #[arg(long, value_name = "SECONDS")]
    write_time: Option<f64>,
    /// Seconds that a long-running operation takes
    #[arg(long, value_name = "SECONDS")]
    operation_time: Option<f64>,
    /// Most items of one page of a list
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    page_size: usize,
    /// Let the clock stand, at the time of the start, until /simulator/clock advances it
    #[arg(long)]
    standing_clock: bool,
    /// Stop when standard input ends, so that the simulation never outlives the process that started it
    #[arg(long)]
    exit_on_stdin_eof: bool,
}

fn cluster(text: &str) -> anyhow::Result<Cluster> {
    let parts = text
        .split_once('=')
        .and_then(|(place, issuer)| Some((place.split_once('/')?, issuer)));
    match parts {
        Some(((group, name), issuer))
            if ![group, name, issuer].iter().any(|part| part.is_empty()) =>
        {
            Ok(Cluster {
                resource_group: group.to_owned(),
                name: name.to_owned(),
                issuer: issuer.to_owned(),
                kubeconfig: String::new(),
            })
        }
        _ => bail!("write RG/NAME=ISSUER_URL"),
    }
}

impl Args {
    fn options(&self) -> anyhow::Result<Options> {
        let read = |flag: &str, file: &PathBuf| {
            std::fs::read_to_string(file).with_context(|| format!("{flag} {}", file.display()))
        };
        let issuer_cas = self.issuer_ca.iter();
        let issuer_cas = issuer_cas
            .map(|file| read("--issuer-ca", file))
            .collect::<anyhow::Result<_>>()?;
        let kubeconfig = self.kubeconfig.as_ref();
        let kubeconfig = kubeconfig.map_or(Ok(String::new()), |file| read("--kubeconfig", file))?;
        let clusters = self.cluster.iter().map(|cluster| Cluster {
            kubeconfig: kubeconfig.clone(),
            ..cluster.clone()
        });
        Ok(Options {
            bind: self.bind,
            imds_bind: self.imds_bind,
            issuer_cas,
            clusters: clusters.collect(),
            unregistered: self.unregistered.clone(),
            clock: if self.standing_clock {
                Clock::standing(SystemTime::now())
            } else {
                Clock::running()
            },
            lags: self.lags()?,
            throttling: self.throttling || self.realistic,
            page_size: self.page_size,
            ..Options::default()
        })
    }

    fn lags(&self) -> anyhow::Result<Lags> {
        let usual = if self.realistic {
            Lags::typical()
        } else {
            Lags::default()
        };
        let lag = |flag: &str, given: Option<f64>, usual| match given {
            None => Ok(usual),
            Some(seconds) => Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|lag| *lag <= LONGEST)
                .with_context(|| format!("{flag} must be from 0 to {} seconds", LONGEST.as_secs())),
        };
        Ok(Lags {
            identity: lag("--identity-lag", self.identity_lag, usual.identity)?,
            credential: lag("--credential-lag", self.credential_lag, usual.credential)?,
            negative_cache: lag(
                "--negative-cache",
                self.negative_cache,
                usual.negative_cache,
            )?,
            write: lag("--write-time", self.write_time, usual.write)?,
            operation: lag("--operation-time", self.operation_time, usual.operation)?,
        })
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let options = args.options()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(options, args.exit_on_stdin_eof))
}

async fn run(options: Options, exit_on_stdin_eof: bool) -> anyhow::Result<()> {
    // Before the line is printed: who reads it may send the signal at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let simulation = simazure::start(options)?;
    let line = json!({
        "arm": simulation.arm,
        "authority": simulation.authority,
        "imds": simulation.node_imds,
        "ca": simulation.ca_file,
        "subscription": simulation.subscription,
        "tenant": simulation.tenant,
        "clientId": simulation.client_id,
        "clientSecret": simulation.client_secret,
        "pid": std::process::id(),
    });
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").context("print the ready line")?;
    stdout.flush().context("print the ready line")?;

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_eof(), if exit_on_stdin_eof => {}
    }
    Ok(())
}

async fn stdin_eof() {
    let (ended, end) = oneshot::channel();
    // A plain thread, for a read of standard input can't be cancelled.
    std::thread::spawn(move || {
        let mut chunk = [0; 256];
        while std::io::stdin().read(&mut chunk).is_ok_and(|read| read > 0) {}
        let _ = ended.send(());
    });
    // A sender dropped without a word ended too.
    let _ = end.await;
}
