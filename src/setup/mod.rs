//! The `setup` command: observe -> plan -> apply.
//!
//! ```text
//! config file -config-> Desired --+
//! ARM, cluster -observe-> Observed +-plan (pure)-> Plan -apply-> ARM, cluster
//! ```

pub mod apply;
pub mod book;
pub mod cluster;
pub mod config;
mod connect;
pub mod desired;
pub mod destroy;
pub mod emit;
pub mod ledger;
mod legal;
pub mod observe;
pub mod pace;
pub mod plan;
pub mod removal;
pub mod report;
pub mod retry;
mod roles;
pub mod step;
pub mod undo;
pub mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args as ClapArgs, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::azure::address::BadAddress;
use crate::azure::arm;
use crate::azure::http;
use crate::azure::sign_in::{SignIn, SignInError};
use crate::cloud::Cloud;
use crate::exit::{Exit, Failure};
use crate::kubernetes;
use crate::names::SYSTEM_NAMESPACE;

use apply::ApplyError;
use cluster::Cluster;
use config::ConfigError;
use desired::Desired;
use emit::Format;
use observe::ObserveError;
use pace::Rates;
use plan::{Plan, PlanError};
use report::Output;
use verify::{Finding, Verdict, Waits};

/// Arguments of `setup`.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `setup`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the steps that `apply` would take; nothing is written
    #[command(after_help = EXIT_CODES)]
    Plan(Box<Options>),
    /// Take the steps, in order; safe to run again, also after a crash
    #[command(after_help = EXIT_CODES)]
    Apply {
        /// Print the steps and write nothing: the same as `plan`
        #[arg(long, env = "SETUP_DRY_RUN")]
        dry_run: bool,
        /// The common ones.
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Print the steps that `apply` would take as a script, to be run by who may; nothing is written
    #[command(after_help = EXIT_CODES)]
    Emit {
        /// What the script is for
        #[arg(value_enum)]
        format: Format,
        /// The common ones.
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Prove it: a token of each ServiceAccount, exchanged at Microsoft Entra
    #[command(after_help = EXIT_CODES)]
    Verify {
        /// Seconds to wait before Entra is asked at all: a question too early keeps a "no" alive for minutes
        #[arg(
            long,
            env = "SETUP_SETTLE",
            value_name = "SECONDS",
            default_value_t = 30
        )]
        settle: u64,
        /// Seconds to go on asking about what may still be spreading
        #[arg(
            long,
            env = "SETUP_PATIENCE",
            value_name = "SECONDS",
            default_value_t = 300
        )]
        patience: u64,
        /// The common ones.
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Remove what `apply` made, last things first; nothing that was there before
    #[command(after_help = EXIT_CODES)]
    Destroy {
        /// Print the steps and write nothing
        #[arg(long, env = "SETUP_DRY_RUN")]
        dry_run: bool,
        /// The common ones.
        #[command(flatten)]
        options: Box<Options>,
    },
}

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

const EXIT_CODES: &str = "\
Exit codes:
  0   plan: nothing to do; apply, emit, destroy: done; verify: every ServiceAccount got a token
  1   plan: there are steps, or something stands in their way; apply, destroy: failed; verify: one got none
  2   could not look: sign-in, Azure or the cluster
  64  the command line or the config file is wrong

Azure sign-in, with --sign-in auto: workload identity (AZURE_FEDERATED_TOKEN_FILE, AZURE_TENANT_ID,
AZURE_CLIENT_ID), else client secret (AZURE_CLIENT_SECRET, AZURE_TENANT_ID, AZURE_CLIENT_ID), else
managed identity (IDENTITY_ENDPOINT; AZURE_CLIENT_ID picks one), else the az CLI's login.";

/// Options that every command of `setup` takes.
#[derive(Debug, ClapArgs)]
pub struct Options {
    /// The config file, YAML or JSON
    #[arg(long, env = "SETUP_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// How the plan is printed
    #[arg(short, long, env = "SETUP_OUTPUT", value_enum, default_value_t)]
    pub output: Output,
    /// The Azure cloud: public, usgovernment or china
    #[arg(long, env = "AZURE_ENVIRONMENT", default_value_t)]
    pub cloud: Cloud,
    /// Resource Manager's address [default: the cloud's]
    #[arg(long, env = "AZURE_RESOURCE_MANAGER_URL", value_name = "URL")]
    pub arm_url: Option<String>,
    /// Audience of the tokens for Resource Manager; --arm-url does not change it [default: the cloud's]
    #[arg(long, env = "AZURE_RESOURCE_MANAGER_AUDIENCE", value_name = "URI")]
    pub arm_audience: Option<String>,
    /// Microsoft Entra's address [default: the cloud's]
    #[arg(long, env = "AZURE_AUTHORITY_HOST", value_name = "URL")]
    pub authority_host: Option<String>,
    /// How to sign in to Azure
    #[arg(long, env = "SETUP_SIGN_IN", value_enum, default_value_t)]
    pub sign_in: SignIn,
    /// The cluster's kubeconfig [default: KUBECONFIG, else ~/.kube/config, else the pod's service account]
    #[arg(long, env = "SETUP_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of the ConfigMap that keeps what setup made
    #[arg(long, env = "SETUP_LEDGER_NAMESPACE", value_name = "NAME", default_value = SYSTEM_NAMESPACE)]
    pub ledger_namespace: String,
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
            Self::Http(_) | Self::SignIn(_) | Self::Kubernetes(_) | Self::Observe(_) => {
                Exit::CouldNotCheck
            }
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
            let waits = Waits {
                settle: Duration::from_secs(settle),
                patience: Duration::from_secs(patience),
            };
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
    let arm = connect::resource_manager(options, &desired)?;
    let config = kubernetes::config(options.kubeconfig.as_deref()).await?;
    let cluster = Cluster::new(config, &options.ledger_namespace)?;
    tracing::info!("API server at {}", cluster.address);
    let rates = Rates::PUBLISHED;
    match task {
        Task::Plan | Task::Apply => {
            let plan = look(&desired, &arm, &cluster).await?;
            print(&report::render(&plan, options.output))?;
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
            let entra = connect::entra(options)?;
            let resource = connect::arm_audience(options);
            let findings = verify::verify(&desired, &arm, &cluster, &entra, resource, waits).await;
            let findings = findings.map_err(ObserveError::from)?;
            print(&report::render_findings(&findings, options.output))?;
            return Ok(verdict(&findings));
        }
        Task::PlanRemoval | Task::Destroy => {
            let found = destroy::find(&desired, &arm, &cluster, rates).await?;
            let removal = removal::removal(&desired, &found);
            print(&report::render_removal(&removal, options.output))?;
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
