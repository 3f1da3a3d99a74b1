//! The simulation as a process: prints one JSON line when it is ready, runs until it is told to stop.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Parser;
use serde_json::json;
use simazure::{Cluster, Options};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

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
            })
        }
        _ => bail!("write RG/NAME=ISSUER_URL"),
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let issuer_cas = args
        .issuer_ca
        .iter()
        .map(|file| {
            std::fs::read_to_string(file).with_context(|| format!("--issuer-ca {}", file.display()))
        })
        .collect::<anyhow::Result<_>>()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(
            Options {
                bind: args.bind,
                imds_bind: args.imds_bind,
                issuer_cas,
                clusters: args.cluster,
                ..Options::default()
            },
            args.exit_on_stdin_eof,
        ))
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
