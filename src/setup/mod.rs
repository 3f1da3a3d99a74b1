//! The `setup` command: from one file to identities that are trusted, and back.
//!
//! ```text
//! config file -config-> Desired ---+
//! ARM, cluster -observe-> Observed +-plan (pure)-> Plan -apply-> ARM, cluster; ledger: what was made
//!                                                       -emit (pure)-> text for another tool
//!                                     apply -journal-> report, notice (pure)-> JSON, ConfigMap, Events
//! ledger, ARM, cluster -destroy::find-> Found -removal (pure)-> Removal -destroy-> ARM, cluster
//! Desired -verify-> tokens of the cluster, exchanged at Entra -> Findings
//! ```

mod accounts;
pub mod adopted;
pub mod apply;
mod arguments;
pub mod book;
pub mod cluster;
pub mod config;
mod config_file;
mod connect;
pub mod desired;
pub mod destroy;
pub mod emit;
pub mod found;
pub mod journal;
pub mod ledger;
mod legal;
pub mod notice;
pub mod observe;
pub mod pace;
mod page;
pub mod plan;
pub mod progress;
mod publish;
pub mod removal;
pub mod render;
pub mod report;
pub mod retry;
mod roles;
mod run;
pub mod step;
pub mod undo;
pub mod verify;
pub mod write;

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::azure::address::BadAddress;
use crate::azure::arm;
use crate::azure::endpoints::EndpointsError;
use crate::azure::http;
use crate::azure::sign_in::SignInError;
use crate::exit::{Exit, Failure};
use crate::kubernetes;
use crate::screen::Screen;

pub use arguments::{Args, Command, Options};

use apply::ApplyError;
use cluster::{Cluster, ClusterError};
use config::ConfigError;
use desired::Desired;
use observe::ObserveError;
use pace::Rates;
use plan::{Plan, PlanError};
use run::{Task, execute};
use verify::Waits;

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The config can't be used.
    #[error("config {}: {source}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<ConfigError>,
    },
    /// Resource Manager's address can't be used.
    #[error("--arm-url (AZURE_RESOURCE_MANAGER_URL) {0}")]
    Arm(BadAddress),
    /// Microsoft Entra's address can't be used.
    #[error("--authority-host (AZURE_AUTHORITY_HOST) {0}")]
    Authority(BadAddress),
    /// A custom cloud does not tell where its services are.
    #[error("--cloud (AZURE_ENVIRONMENT): {0}")]
    Cloud(#[from] EndpointsError),
    /// The HTTP client can't be built.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// No sign-in.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// No way to the cluster.
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
    /// Could not look.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// Nothing may be written.
    #[error("no plan: {0}")]
    Plan(#[from] PlanError),
    /// The plan can't be printed.
    #[error("output: {0}")]
    Output(#[from] std::io::Error),
    /// A step failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The report can't be written.
    #[error("report: {0}")]
    Report(ClusterError),
    /// The run was told to end.
    #[error("interrupted; run the same command again, it goes on where this one stopped")]
    Interrupted,
}

impl SetupError {
    fn exit(&self) -> Exit {
        match self {
            Self::Config { .. } | Self::Arm(_) | Self::Authority(_) => Exit::Usage,
            Self::Cloud(_)
            | Self::Http(_)
            | Self::SignIn(_)
            | Self::Kubernetes(_)
            | Self::Observe(_) => Exit::CouldNotCheck,
            Self::Plan(_)
            | Self::Output(_)
            | Self::Apply(_)
            | Self::Report(_)
            | Self::Interrupted => Exit::Failed,
        }
    }
}

/// Runs the command until it is done or `shutdown` is cancelled.
///
/// # Errors
/// When it failed or was interrupted.
pub async fn run(
    args: Args,
    screen: &Screen,
    shutdown: CancellationToken,
) -> Result<Exit, Failure> {
    let (options, task) = match args.command {
        Command::Plan(options) => (options, Task::Plan),
        Command::Apply {
            dry_run,
            report,
            options,
        } => match dry_run {
            true => (options, Task::Plan),
            false => (options, Task::Apply(report)),
        },
        Command::Emit { format, options } => (options, Task::Emit(format)),
        Command::Verify {
            settle,
            patience,
            options,
        } => {
            let (settle, patience) = (Duration::from_secs(settle), Duration::from_secs(patience));
            let waits = Waits::new(settle, patience);
            (options, Task::Verify(waits))
        }
        Command::Destroy { dry_run, options } => match dry_run {
            true => (options, Task::PlanRemoval),
            false => (options, Task::Destroy),
        },
    };
    let done = execute(&options, task, screen, &shutdown).await;
    done.map_err(|error| Failure {
        exit: error.exit(),
        error: error.into(),
    })
}

/// Looks at Azure and the cluster, and plans the way from there to `desired`. Writes nothing.
///
/// # Errors
/// When it can't look, or something stands in the way.
pub async fn look(
    desired: &Desired,
    arm: &arm::Client,
    cluster: &Cluster,
) -> Result<Plan, SetupError> {
    let observed = observe::observe(desired, arm, cluster, Rates::PUBLISHED).await?;
    Ok(plan::plan(desired, &observed)?)
}
