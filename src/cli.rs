//! The command line: one variant a command; each command's arguments stand beside its `run`.

use clap::{Parser, Subcommand};

use crate::{log, offline, proxy, redirect, setup, webhook};

/// Moves pods that ask IMDS for Azure tokens to Workload Identity, without a change to their code.
#[derive(Debug, Parser)]
#[command(name = "identity-injector", version = VERSION, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log flags.
    #[command(flatten)]
    pub log: log::Args,
}

/// Version and commit, as `--version` prints them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("GIT_COMMIT"), ")");

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer admission reviews: inject identity and proxy into pods
    Webhook(webhook::Args),
    /// Answer IMDS and App Service token requests inside a pod
    Proxy(proxy::Args),
    /// Send the pod's traffic for 169.254.169.254:80 to the proxy
    Redirect(redirect::Args),
    /// Make managed identities, federated credentials and annotated service accounts
    Setup(setup::Args),
    /// Print manifests as the webhook would make them; no cluster needed
    Inject(offline::inject::Args),
    /// Print manifests as they were before injection; no cluster needed
    Uninject(offline::uninject::Args),
    /// Print why each pod is injected or not, rule by rule; no cluster needed
    Explain(offline::explain::Args),
}
