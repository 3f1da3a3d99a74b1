//! The binary: reads the command line, sets the log, hands over.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use identity_injector::cli::{Cli, Command};
use identity_injector::exit::{Exit, Failure};
use identity_injector::reason::reason;
use identity_injector::{log, offline, proxy, redirect, setup, shutdown, webhook};

/// Else the image's static binary has musl's, and an admission takes twice its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let matches = without_empty_variables(Cli::command()).try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
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
        Err(Failure { exit, error }) => {
            eprintln!("identity-injector: {}", reason(&*error));
            exit.into()
        }
    }
}

/// A variable that is set to nothing counts as unset, as Kubernetes has no other way to unset one.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &clap::Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(None) } else { arg })
        .mut_subcommands(without_empty_variables)
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let screen = log::init(&cli.log);
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
            Command::Redirect(args) => Ok(redirect::run(args).await?),
            Command::Setup(args) => setup::run(args, &screen, shutdown).await,
            Command::Inject(args) => offline::inject::run(&args).map_err(could_not_check),
            Command::Uninject(args) => offline::uninject::run(&args).map_err(could_not_check),
            Command::Explain(args) => offline::explain::run(&args).map_err(could_not_check),
        }
    })
}

/// The offline commands err only where they can't read or print; what they find is no error.
fn could_not_check(error: anyhow::Error) -> Failure {
    Failure {
        exit: Exit::CouldNotCheck,
        error,
    }
}
