//! YAML and JSON documents as values, and back.

use serde_json::Value;

/// A document that can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No YAML and no JSON.
    #[error("{file}: {reason}")]
    Syntax {
        /// The file, or `-`.
        file: String,
        /// What the reader says, with line and column.
        reason: String,
    },
    /// A value that YAML or JSON can't hold.
    #[error("can't print: {0}")]
    Print(String),
}

/// Reads any number of documents; empty ones are dropped. Scalars are read as kubectl reads them (YAML 1.1).
///
/// # Errors
/// For the first place that is no YAML.
pub fn parse(file: &str, text: &str) -> Result<Vec<Value>, Error> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let syntax = |reason: serde_saphyr::Error| Error::Syntax {
        file: file.to_owned(),
        reason: reason.to_string(),
    };
    serde_saphyr::from_multiple_with_options(text, options)
        .map_err(syntax)
        .map(|mut documents: Vec<Value>| {
            documents.retain(|document| !document.is_null());
            documents
        })
}

/// Documents as YAML, with `---` between them.
///
/// # Errors
/// When a value can't be written.
pub fn yaml(documents: &[Value]) -> Result<String, Error> {
    serde_saphyr::to_string_multiple(documents).map_err(|error| Error::Print(error.to_string()))
}

/// Documents as indented JSON: one as itself, several as a List.
///
/// # Errors
/// When a value can't be written.
pub fn json(documents: &[Value]) -> Result<String, Error> {
    let list;
    let value = match documents {
        [document] => document,
        documents => {
            list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": documents});
            &list
        }
    };
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| Error::Print(error.to_string()))
}
