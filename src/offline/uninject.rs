//! `uninject`: manifests as they were before injection.

use json_patch::Patch;
use serde_json::Value;

use super::manifests::Manifests;
use super::note::{Note, Severity};
use super::patched::{self, Output, Patched};
use super::workload::Workload;
use crate::exit::Exit;
use crate::inject::{Pod, uninject};
use crate::names;

/// Of a proxy that was put in by hand, or by the reference.
const LEFT_ALONE: &str =
    "container azwi-proxy is left alone: no identity-injector.io/status says who added it";

/// Arguments of `uninject`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    manifests: Manifests,
    /// How the result is printed; patch is one JSON patch a document, a line each
    #[arg(short, long, env = "UNINJECT_OUTPUT", value_enum, default_value_t)]
    output: Output,
}

/// Runs `uninject`: prints the documents with their pods restored.
///
/// # Errors
/// When a file can't be read or holds no YAML.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let manifests = args.manifests.read()?.into_iter();
    let documents = manifests.map(|manifest| Patched::of(manifest, patch_of));
    patched::print(&documents.collect::<Result<Vec<_>, _>>()?, args.output)
}

fn patch_of(pod: &Value, workload: &Workload, notes: &mut Vec<Note>) -> Patch {
    match uninject(pod) {
        Ok(patch) => {
            if patch.0.is_empty() && Pod(pod).container(names::PROXY_CONTAINER).is_some() {
                notes.push(Note::new(Severity::Warning, workload, &LEFT_ALONE));
            }
            patch
        }
        Err(unreadable) => {
            notes.push(Note::new(Severity::Refused, workload, &unreadable));
            Patch(Vec::new())
        }
    }
}
