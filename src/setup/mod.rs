//! The `setup` command: from one file to identities that are trusted, and back.
//!
//! ```text
//! config file -config-> Desired ---+
//! ARM, cluster -observe-> Observed +-plan (pure)-> Plan -apply-> ARM, cluster; ledger: what was made
//!                                                       -emit (pure)-> text for another tool
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
pub mod ledger;
mod legal;
pub mod observe;
pub mod pace;
mod page;
pub mod plan;
pub mod removal;
pub mod render;
pub mod retry;
mod roles;
pub mod step;
pub mod undo;
pub mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use tokio_util::sync::CancellationToken;

use crate::azure::address::BadAddress;
use crate::azure::arm;
use crate::azure::endpoints::EndpointsError;
use crate::azure::http;
use crate::azure::sign_in::SignInError;
use crate::exit::{Exit, Failure};
use crate::kubernetes;

pub use arguments::{Args, Command, Options};

use apply::ApplyError;
use cluster::Cluster;
use config::ConfigError;
use desired::Desired;
use emit::Format;
use observe::ObserveError;
use pace::Rates;
use plan::{Plan, PlanError};
use verify::{Finding, Verdict, Waits};

/// What a run is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Plan,
    Apply,
    Emit(Format),
    Verify(Waits),
    PlanRemoval,
    Destroy,
}

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
            Self::Plan(_) | Self::Output(_) | Self::Apply(_) => Exit::Failed,
        }
    }
}

/// Runs the command until it is done or `shutdown` is cancelled.
///
/// # Errors
/// When it failed or was interrupted.
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<Exit, Failure> {
    let (options, task) = match args.command {
        Command::Plan(options) => (options, Task::Plan),
        Command::Apply { dry_run, options } => match dry_run {
            true => (options, Task::Plan),
            false => (options, Task::Apply),
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
    tokio::select! {
        outcome = execute(&options, task) => outcome.map_err(|error| Failure {
            exit: error.exit(),
            error: error.into(),
        }),
        () = shutdown.cancelled() => {
            Err(anyhow!("interrupted; run the same command again, it goes on where this one stopped").into())
        }
    }
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

async fn execute(options: &Options, task: Task) -> Result<Exit, SetupError> {
    let desired = config::read(&options.config).map_err(|source| SetupError::Config {
        path: options.config.clone(),
        source: Box::new(source),
    })?;
    let endpoints = connect::endpoints(options).await?;
    let arm = connect::resource_manager(options, &endpoints, desired.group.subscription)?;
    let config = kubernetes::config(options.kubeconfig.as_deref()).await?;
    let cluster = Cluster::new(config, &options.ledger_namespace)?;
    tracing::info!("API server at {}", cluster.address);
    let rates = Rates::PUBLISHED;
    match task {
        Task::Plan | Task::Apply => {
            let plan = look(&desired, &arm, &cluster).await?;
            print(&render::render(&plan, options.output))?;
            if task == Task::Plan {
                return Ok(planned(plan.steps.is_empty()));
            }
            apply::apply(&plan, &desired, &arm, &cluster, rates).await?;
            tracing::info!(steps = plan.steps.len(), "setup is done");
        }
        Task::Emit(format) => {
            let plan = look(&desired, &arm, &cluster).await?;
            print(&Ok(emit::emit(&plan, &desired, format)))?;
        }
        Task::Verify(waits) => {
            let entra = connect::entra(&endpoints)?;
            let resource = &endpoints.audience;
            let findings = verify::verify(&desired, &arm, &cluster, &entra, resource, waits).await;
            let findings = findings.map_err(ObserveError::from)?;
            print(&render::render_findings(&findings, options.output))?;
            return Ok(verdict(&findings));
        }
        Task::PlanRemoval | Task::Destroy => {
            let found = destroy::find(&desired, &arm, &cluster, rates).await?;
            let removal = removal::removal(&desired, &found);
            print(&render::render_removal(&removal, options.output))?;
            if task == Task::PlanRemoval {
                return Ok(planned(removal.steps.is_empty()));
            }
            let left = destroy::destroy(&removal, &desired, &arm, &cluster, rates).await?;
            for left in left {
                tracing::warn!("left: {left}");
            }
            tracing::info!(steps = removal.steps.len(), "what setup made is removed");
        }
    }
    Ok(Exit::Done)
}

fn verdict(findings: &[Finding]) -> Exit {
    let has = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
    if has(Verdict::Failed) {
        Exit::Failed
    } else if has(Verdict::Unknown) {
        Exit::CouldNotCheck
    } else {
        Exit::Done
    }
}

fn planned(nothing: bool) -> Exit {
    match nothing {
        true => Exit::Done,
        false => Exit::Failed,
    }
}

fn print(rendered: &Result<String, serde_json::Error>) -> Result<(), SetupError> {
    let text = rendered
        .as_ref()
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}
