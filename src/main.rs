//! The binary: reads the command line, sets the log, hands over.

use std::process::ExitCode;

use clap::Parser;
use identity_injector::cli::{Cli, Command};
use identity_injector::exit::Exit;
use identity_injector::{log, offline, proxy, setup, shutdown, webhook};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // The only place left to say that stdout or stderr is gone is the exit code.
            let printed = error.print().is_ok();
            return if printed && !error.use_stderr() {
                Exit::Done
            } else {
                Exit::Usage
            }
            .into();
        }
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("identity-injector: {error:#}");
            Exit::Failed.into()
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    log::init(&cli.log)?;
    // Fails only if a provider is set already; this is the one place that sets it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // One thread serves a sidecar or a one-shot best; only the webhook has parallel work.
    let mut runtime = match cli.command {
        Command::Webhook(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    runtime.enable_all().build()?.block_on(async {
        let shutdown = shutdown::on_signal()?;
        match cli.command {
            Command::Webhook(args) => webhook::run(args, shutdown).await,
            Command::Proxy(args) => proxy::run(args, shutdown).await,
            Command::Setup(args) => setup::run(args, shutdown).await,
            Command::Inject(args) => offline::inject::run(&args),
            Command::Uninject(args) => offline::uninject::run(&args),
            Command::Explain(args) => offline::explain::run(&args),
        }
    })
}
