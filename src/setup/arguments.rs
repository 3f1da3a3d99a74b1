//! The command line of `setup`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::emit::Format;
use super::render::Output;
use crate::azure::endpoints::CloudChoice;
use crate::azure::sign_in::SignIn;
use crate::kubernetes::is_dns_subdomain;
use crate::names::{LEDGER, SYSTEM_NAMESPACE};

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
        /// The ConfigMap, beside the ledger's, that gets a report of the run; Events tell of it too
        #[arg(long, env = "SETUP_REPORT", value_name = "NAME", value_parser = config_map)]
        report: Option<String>,
        /// The common ones.
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Print the steps that `apply` would take for another tool, to be run by who may; nothing is written
    #[command(after_help = EXIT_CODES)]
    Emit {
        /// Which tool
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
    /// How the plan is printed, and with json what came of it
    #[arg(short, long, env = "SETUP_OUTPUT", value_enum, default_value_t)]
    pub output: Output,
    /// The Azure cloud: public, usgovernment, china, or the https:// address of a custom cloud's Resource Manager, which
    /// is asked where the cloud's services are
    #[arg(long, env = "AZURE_ENVIRONMENT", value_name = "CLOUD", default_value_t)]
    pub cloud: CloudChoice,
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

fn config_map(name: &str) -> Result<String, String> {
    match name {
        LEDGER => Err("the ledger is kept in it: name another".to_owned()),
        name if is_dns_subdomain(name) => Ok(name.to_owned()),
        _ => Err(
            "use lower-case letters, digits, - and ., as a ConfigMap's name has them".to_owned(),
        ),
    }
}
