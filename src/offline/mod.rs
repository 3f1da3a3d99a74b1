//! The offline commands: manifests in, manifests as the webhook would make them out. No cluster.

mod context;
mod documents;
mod workload;

use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args as ClapArgs, ValueEnum};
use json_patch::jsonptr::PointerBuf;
use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use self::context::Context;
use self::workload::{Workload, workloads};
use crate::exit::Exit;
use crate::inject::{
    Decision, Defaults, Flags, Input, Reason, Refusal, Verdict, Warning, decide, patch,
};

/// Arguments of `inject`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Manifests: any number of YAML or JSON documents; `-` is standard input. May be given more than once
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    filenames: Vec<PathBuf>,
    /// A file of ServiceAccounts that the manifests don't hold
    #[arg(long, env = "SERVICE_ACCOUNT_FILE", value_name = "FILE")]
    service_account: Option<PathBuf>,
    /// A file of Namespaces that the manifests don't hold
    #[arg(long, env = "NAMESPACE_FILE", value_name = "FILE")]
    namespace: Option<PathBuf>,
    /// How the result is printed; patch is one JSON patch a document, a line each
    #[arg(short, long, env = "OUTPUT", value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    flags: Flags,
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// YAML documents.
    #[default]
    Yaml,
    /// JSON; several documents as a List.
    Json,
    /// RFC 6902 patches.
    Patch,
}

/// A document and what becomes of its pods.
struct Document {
    value: Value,
    patch: Patch,
    notes: Vec<Note>,
}

/// What a person should know about one workload.
struct Note {
    workload: Workload,
    kind: NoteKind,
}

enum NoteKind {
    Warning(Warning),
    Refusal(Refusal),
}

/// Runs `inject`: prints the documents with their pods injected.
///
/// # Errors
/// When a file can't be read or holds no YAML.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut manifests = Vec::new();
    for filename in &args.filenames {
        manifests.extend(read(filename)?);
    }
    let beside: Vec<Value> = [&args.service_account, &args.namespace]
        .into_iter()
        .flatten()
        .map(read)
        .collect::<Result<Vec<_>, _>>()?
        .concat();
    let context = Context::of(manifests.iter().chain(&beside));
    let defaults = args.flags.defaults(true);
    let documents: Vec<Document> = manifests
        .into_iter()
        .map(|manifest| inject(manifest, &context, &defaults))
        .collect::<Result<_, _>>()?;
    let mut refused = false;
    for note in documents.iter().flat_map(|document| &document.notes) {
        refused |= matches!(note.kind, NoteKind::Refusal(_));
        eprintln!("{note}");
    }
    if refused {
        return Ok(Exit::Failed);
    }
    std::io::stdout()
        .write_all(print(&documents, args.output)?.as_bytes())
        .context("standard output")?;
    Ok(Exit::Done)
}

fn read(filename: &PathBuf) -> anyhow::Result<Vec<Value>> {
    let mut text = String::new();
    if filename.as_os_str() == "-" {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("standard input")?;
    } else {
        text = std::fs::read_to_string(filename).with_context(|| filename.display().to_string())?;
    }
    Ok(documents::parse(&filename.display().to_string(), &text)?)
}

fn inject(
    mut value: Value,
    context: &Context,
    defaults: &Defaults,
) -> Result<Document, json_patch::PatchError> {
    let mut operations = Vec::new();
    let mut notes = Vec::new();
    for workload in workloads(&value) {
        let Some(pod) = value.pointer(&workload.pointer) else {
            continue;
        };
        let verdict = verdict(pod, &workload, context, defaults);
        let mut note = |kind| {
            notes.push(Note {
                workload: workload.clone(),
                kind,
            });
        };
        verdict
            .warnings
            .into_iter()
            .for_each(|warning| note(NoteKind::Warning(warning)));
        match verdict.decision {
            Decision::Inject(plan) => {
                operations.extend(moved(patch(pod, &plan), &workload.pointer));
            }
            Decision::Refuse(refusal) => note(NoteKind::Refusal(refusal)),
            Decision::Skip(_) => {}
        }
    }
    let patch = Patch(operations);
    json_patch::patch(&mut value, &patch)?;
    Ok(Document {
        value,
        patch,
        notes,
    })
}

fn verdict(pod: &Value, workload: &Workload, context: &Context, defaults: &Defaults) -> Verdict {
    let (opted_in, namespace) = context.namespace(workload);
    if !opted_in {
        return Verdict {
            decision: Decision::Skip(Reason::NamespaceNotOptedIn),
            warnings: Vec::new(),
        };
    }
    let service_account = context.service_account(pod, workload);
    decide(&Input {
        pod,
        service_account,
        namespace: &namespace,
        defaults,
    })
}

/// The operations, from the root of the document that holds the pod.
fn moved(patch: Patch, pointer: &str) -> impl Iterator<Item = PatchOperation> {
    let root = PointerBuf::parse(pointer).unwrap_or_default();
    patch.0.into_iter().map(move |mut operation| {
        if let PatchOperation::Add(add) = &mut operation {
            add.path = root.concat(&add.path);
        }
        operation
    })
}

fn print(documents: &[Document], output: Output) -> anyhow::Result<String> {
    let values = || {
        documents
            .iter()
            .map(|document| document.value.clone())
            .collect::<Vec<_>>()
    };
    Ok(match output {
        Output::Yaml => documents::yaml(&values())?,
        Output::Json => documents::json(&values())?,
        Output::Patch => documents
            .iter()
            .map(|document| format!("{}\n", document.patch))
            .collect(),
    })
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Workload { kind, name, .. } = &self.workload;
        match &self.kind {
            NoteKind::Warning(warning) => write!(f, "warning: {kind} {name}: {warning}"),
            NoteKind::Refusal(refusal) => write!(f, "refused: {kind} {name}: {refusal}"),
        }
    }
}
