//! Documents whose pods are patched: what `inject` and `uninject` print, and how.

use std::io::Write;

use anyhow::Context as _;
use clap::ValueEnum;
use json_patch::jsonptr::PointerBuf;
use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use super::documents;
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
pub struct Document {
    value: Value,
    patch: Patch,
    notes: Vec<Note>,
}

impl Document {
    /// Patches every pod of a document with what `patch_of` says, which may note something too.
    ///
    /// # Errors
    /// When a patch does not fit its pod.
    pub fn patched(
        mut value: Value,
        mut patch_of: impl FnMut(&Value, &Workload, &mut Vec<Note>) -> Patch,
    ) -> Result<Self, json_patch::PatchError> {
        let mut operations = Vec::new();
        let mut notes = Vec::new();
        for workload in workloads(&value) {
            let Some(pod) = value.pointer(&workload.pointer) else {
                continue;
            };
            let patch = patch_of(pod, &workload, &mut notes);
            operations.extend(moved(patch, &workload.pointer));
        }
        let patch = Patch(operations);
        json_patch::patch(&mut value, &patch)?;
        Ok(Document {
            value,
            patch,
            notes,
        })
    }
}

/// Prints the notes to standard error; the documents to standard output, unless a note refuses one.
///
/// # Errors
/// When a document can't be written.
pub fn print(documents: &[Document], output: Output) -> anyhow::Result<Exit> {
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

fn text(documents: &[Document], output: Output) -> Result<String, documents::Error> {
    let values = || -> Vec<Value> { documents.iter().map(|it| it.value.clone()).collect() };
    match output {
        Output::Yaml => documents::yaml(&values()),
        Output::Json => documents::json(&values()),
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
