//! Documents whose pods are patched: what `inject` and `uninject` print, and how.

use std::io::Write;

use anyhow::Context as _;
use clap::ValueEnum;
use json_patch::jsonptr::PointerBuf;
use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use super::documents::{self, Document};
use super::note::Note;
use super::workload::{Workload, workloads};
use crate::exit::Exit;

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
#[derive(Debug)]
pub struct Patched {
    document: Document,
    patch: Patch,
    notes: Vec<Note>,
}

impl Patched {
    /// Patches every pod of a document with what `patch_of` says, which may note something too.
    ///
    /// # Errors
    /// When a patch does not fit its pod.
    pub fn of(
        mut document: Document,
        mut patch_of: impl FnMut(&Value, &Workload, &mut Vec<Note>) -> Patch,
    ) -> Result<Self, json_patch::PatchError> {
        let mut operations = Vec::new();
        let mut notes = Vec::new();
        for workload in workloads(&document.value) {
            let Some(pod) = document.value.pointer(&workload.pointer) else {
                continue;
            };
            let patch = patch_of(pod, &workload, &mut notes);
            operations.extend(moved(patch, &workload.pointer));
        }
        let patch = Patch(operations);
        json_patch::patch(&mut document.value, &patch)?;
        Ok(Patched {
            document,
            patch,
            notes,
        })
    }
}

impl Patched {
    /// A document that is not touched comes out as its author wrote it.
    fn yaml(&self) -> Result<String, documents::Error> {
        match self.patch.0.is_empty() {
            true => Ok(self.document.text.trim_start_matches('\n').to_owned()),
            false => documents::yaml(&self.document.value),
        }
    }
}

/// Prints the notes to standard error; the documents to standard output, unless a note refuses one.
///
/// # Errors
/// When a document can't be written.
pub fn print(documents: &[Patched], output: Output) -> anyhow::Result<Exit> {
    let mut refused = false;
    for note in documents.iter().flat_map(|document| &document.notes) {
        refused |= note.refuses();
        eprintln!("{note}");
    }
    if refused {
        return Ok(Exit::Failed);
    }
    std::io::stdout()
        .write_all(text(documents, output)?.as_bytes())
        .context("standard output")?;
    Ok(Exit::Done)
}

fn text(documents: &[Patched], output: Output) -> Result<String, documents::Error> {
    match output {
        Output::Yaml => {
            let texts: Result<Vec<_>, _> = documents.iter().map(Patched::yaml).collect();
            Ok(texts?.join("---\n"))
        }
        Output::Json => {
            let values: Vec<Value> = documents
                .iter()
                .map(|it| it.document.value.clone())
                .collect();
            documents::json(&values)
        }
        Output::Patch => Ok(documents
            .iter()
            .map(|it| format!("{}\n", it.patch))
            .collect()),
    }
}

/// The operations, from the root of the document that holds the pod.
fn moved(patch: Patch, pointer: &str) -> impl Iterator<Item = PatchOperation> {
    let root = PointerBuf::parse(pointer).unwrap_or_default();
    patch.0.into_iter().map(move |mut operation| {
        match &mut operation {
            PatchOperation::Add(add) => add.path = root.concat(&add.path),
            PatchOperation::Remove(remove) => remove.path = root.concat(&remove.path),
            PatchOperation::Replace(replace) => replace.path = root.concat(&replace.path),
            // The engine makes no others.
            PatchOperation::Move(_) | PatchOperation::Copy(_) | PatchOperation::Test(_) => {}
        }
        operation
    })
}
