//! `inject`: manifests as the webhook would make them.

use json_patch::Patch;
use serde_json::Value;

use super::context::Context;
use super::manifests::{Beside, Manifests};
use super::note::{Note, Severity};
use super::patched::{self, Output, Patched};
use super::workload::Workload;
use crate::exit::Exit;
use crate::inject::{Decision, Verdict, decide, patch};

/// Arguments of `inject`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    manifests: Manifests,
    /// How the result is printed; patch is one JSON patch a document, a line each
    #[arg(short, long, env = "INJECT_OUTPUT", value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    beside: Beside,
}

/// Runs `inject`: prints the documents with their pods injected.
///
/// # Errors
/// When a file can't be read or holds no YAML.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let manifests = args.manifests.read()?;
    let context = args.beside.context(&manifests)?;
    let documents: Vec<Patched> = manifests
        .into_iter()
        .map(|manifest| {
            Patched::of(manifest, |pod, workload, notes| {
                let verdict = verdict(pod, workload, &context);
                patch_of(pod, verdict, workload, notes)
            })
        })
        .collect::<Result<_, _>>()?;
    patched::print(&documents, args.output)
}

fn patch_of(pod: &Value, verdict: Verdict, workload: &Workload, notes: &mut Vec<Note>) -> Patch {
    let warnings = workload.misplaced.iter().chain(&verdict.warnings);
    notes.extend(warnings.map(|warning| Note::new(Severity::Warning, workload, warning)));
    match verdict.decision {
        Decision::Inject(plan) => return patch(pod, &plan),
        Decision::Refuse(refusal) => {
            notes.push(Note::new(Severity::Refused, workload, &refusal));
        }
        Decision::Skip(_) => {}
    }
    Patch(Vec::new())
}

fn verdict(pod: &Value, workload: &Workload, context: &Context) -> Verdict {
    match context.input(pod, workload) {
        Ok(input) => decide(&input),
        Err(reason) => Verdict {
            decision: Decision::Skip(reason),
            warnings: Vec::new(),
        },
    }
}
