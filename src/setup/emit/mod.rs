//! A plan as text for another tool, for who may not give a job rights in Azure. Pure.
//!
//! ```text
//! Plan -az-------> a shell script: az and kubectl
//!      -bicep----> a Bicep file, \ and in its comments
//!      -terraform> a root module, / the commands for the rest
//! ```

mod az;
mod bicep;
mod commented;
mod symbols;
mod terraform;

use clap::ValueEnum;

use super::desired::Desired;
use super::plan::Plan;

/// What a plan is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A POSIX shell script that calls az and kubectl
    Az,
    /// A Bicep file for the resource group; its comments say what else is to be run
    Bicep,
    /// A Terraform (OpenTofu) module for the azurerm provider; its comments say what else is to be run
    Terraform,
}

/// Every text's first sentences.
const HEAD: &str =
    "What setup would do. It is not in setup's ledger, so `setup destroy` will leave it.";

/// The steps of `plan`, in order, as text that ends in a line break.
#[must_use]
pub fn emit(plan: &Plan, desired: &Desired, format: Format) -> String {
    match format {
        Format::Az => az::script(plan, &desired.group),
        Format::Bicep => bicep::file(plan, &desired.group),
        Format::Terraform => terraform::module(plan, &desired.group),
    }
}
