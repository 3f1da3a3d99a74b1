//! The `setup` command: observe -> plan -> apply.
//!
//! ```text
//! config file -config-> Desired --+
//! ARM, cluster -observe-> Observed +-plan (pure)-> Plan -apply-> ARM, cluster
//! ```

pub mod apply;
pub mod cluster;
pub mod config;
pub mod desired;
mod legal;
pub mod observe;
pub mod plan;
pub mod report;
pub mod retry;
mod roles;
pub mod step;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use clap::{Args as ClapArgs, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::azure::address::{Address, BadAddress};
use crate::azure::arm::{self, Transport};
use crate::azure::http;
use crate::azure::sign_in::{self, SignIn, SignInError};
use crate::cloud::Cloud;
use crate::exit::{Exit, Failure};
use crate::kubernetes;

use apply::ApplyError;
use cluster::Cluster;
use config::ConfigError;
use desired::Desired;
use observe::ObserveError;
use plan::{Plan, PlanError};
use report::Output;

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
}

const EXIT_CODES: &str = "\
Exit codes:
  0   plan: nothing to do; apply: done
  1   plan: there are steps, or something stands in their way; apply: failed
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
    let (options, write) = match args.command {
        Command::Plan(options) => (options, false),
        Command::Apply { dry_run, options } => (options, !dry_run),
    };
    tokio::select! {
        outcome = execute(&options, write) => outcome.map_err(|error| Failure {
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
    let observed = observe::observe(desired, arm, cluster).await?;
    Ok(plan::plan(desired, &observed)?)
}

async fn execute(options: &Options, write: bool) -> Result<Exit, SetupError> {
    let desired = config::read(&options.config).map_err(|source| SetupError::Config {
        path: options.config.clone(),
        source: Box::new(source),
    })?;
    let arm = resource_manager(options, &desired)?;
    let config = kubernetes::config(options.kubeconfig.as_deref()).await?;
    let cluster = Cluster::new(config)?;
    tracing::info!("API server at {}", cluster.address);
    let plan = look(&desired, &arm, &cluster).await?;
    print(&plan, options.output)?;
    if write {
        apply::apply(&plan, &desired, &arm, &cluster).await?;
        tracing::info!(steps = plan.steps.len(), "setup is done");
        Ok(Exit::Done)
    } else if plan.steps.is_empty() {
        Ok(Exit::Done)
    } else {
        Ok(Exit::Failed)
    }
}

fn resource_manager(options: &Options, desired: &Desired) -> Result<arm::Client, SetupError> {
    let cloud = options.cloud;
    let endpoint: Address = options
        .arm_url
        .as_deref()
        .unwrap_or_else(|| cloud.resource_manager())
        .parse()
        .map_err(SetupError::Arm)?;
    let authority_host: Address = options
        .authority_host
        .as_deref()
        .unwrap_or_else(|| cloud.authority_host())
        .parse()
        .map_err(SetupError::Authority)?;
    let audience = options.arm_audience.as_deref();
    let audience = audience.unwrap_or_else(|| cloud.resource_manager());
    let transport = Arc::new(Transport::new(http::client()?));
    let method = options.sign_in.method(|name| std::env::var(name).ok())?;
    tracing::info!("Azure sign-in by {method}, Resource Manager at {endpoint}");
    let subscription = desired.group.subscription;
    let credential = sign_in::credential(
        method,
        authority_host.url(),
        subscription,
        transport.clone(),
    )?;
    Ok(arm::Client::new(endpoint, audience, credential, transport))
}

fn print(plan: &Plan, output: Output) -> Result<(), SetupError> {
    let text = report::render(plan, output).map_err(std::io::Error::from)?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}
