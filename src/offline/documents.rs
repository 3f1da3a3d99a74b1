//! YAML and JSON documents as values, and back.

use serde::de::IgnoredAny;
use serde_json::Value;
use serde_saphyr::UserMessageFormatter;

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

/// A document, and the text it was read from.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// As its author wrote it, comments and all.
    pub text: String,
}

/// Reads any number of documents; empty ones are dropped. Scalars are read as kubectl reads them (YAML 1.1), but for
/// words such as `tRUE`, which are no text here.
///
/// # Errors
/// For the first place that is no YAML.
pub fn parse(file: &str, text: &str) -> Result<Vec<Document>, Error> {
    let mut documents = Vec::new();
    for (line, text) in split(text) {
        // Again after as many lines as stand before it, so that an error names the line in the file.
        let value = read(&text)
            .or_else(|_| read(&("\n".repeat(line) + &text)))
            .map_err(|error| {
                let reason = error
                    .without_snippet()
                    .render_with_formatter(&UserMessageFormatter);
                Error::Syntax {
                    file: file.to_owned(),
                    reason,
                }
            })?;
        if !value.is_null() {
            documents.push(Document { value, text });
        }
    }
    Ok(documents)
}

fn read(text: &str) -> Result<Value, serde_saphyr::Error> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true, budget: None };
    serde_saphyr::from_str_with_options(text, options)
}

/// The documents' texts, with the number of lines before each. Lines that begin with `---` or `...` part them, which
/// YAML allows nowhere else. Directives are left out: we read by the rules of kubectl, whatever they say.
fn split(text: &str) -> Vec<(usize, String)> {
    let text = text.trim_start_matches('\u{feff}');
    let mut parts = vec![(0, String::new())];
    // Whether the last of them may have no directives any more.
    let mut begun = false;
    for (number, line) in text.lines().enumerate() {
        let mut kept = line;
        if let Some(rest) = after_mark(line, "---") {
            parts.push((number, String::new()));
            begun = true;
            kept = rest;
        } else if after_mark(line, "...").is_some() {
            parts.push((number, String::new()));
            begun = false;
            kept = "";
        } else if !begun && line.starts_with('%') {
            kept = "";
        } else {
            begun |= !line.is_empty() && !line.starts_with('#');
        }
        if let Some((_, part)) = parts.last_mut() {
            part.push_str(kept);
            part.push('\n');
        }
    }
    parts.retain(|(_, part)| !part.trim().is_empty());
    let parts = parts.iter();
    parts.flat_map(|(line, part)| cut(*line, part)).collect()
}

fn after_mark<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.strip_prefix(mark)
        .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// Cuts where a JSON object follows another without a mark, as `jq` prints them.
fn cut(mut line: usize, text: &str) -> Vec<(usize, String)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut parts = Vec::new();
    let mut start = 0;
    while let Some(Ok(_)) = values.next() {
        let end = values.byte_offset();
        if !text[end..].trim_start().starts_with('{') {
            break;
        }
        let part = &text[start..end];
        parts.push((line, format!("{part}\n")));
        line += part.matches('\n').count();
        start = end;
    }
    parts.push((line, text[start..].to_owned()));
    parts
}

/// A document as YAML.
///
/// # Errors
/// When it can't be written.
pub fn yaml(document: &Value) -> Result<String, Error> {
    // kubectl takes a tab that begins a block's first line for indentation, and refuses the file.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: !has_text_with_tab(document) };
    serde_saphyr::to_string_with_options(document, options)
        .map_err(|error| Error::Print(error.to_string()))
}

/// Whether the first line of a text that is not empty begins with a tab.
fn has_text_with_tab(value: &Value) -> bool {
    match value {
        Value::String(text) => text.trim_start_matches('\n').starts_with('\t'),
        Value::Array(list) => list.iter().any(has_text_with_tab),
        Value::Object(object) => object.values().any(has_text_with_tab),
        _ => false,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_parted_as_yaml_parts_them() {
        let table = [
            ("one", "a: 1\n", vec!["a: 1\n"]),
            ("marks at both ends", "---\na: 1\n---\n", vec!["\na: 1\n"]),
            (
                "content on the mark's line",
                "--- {a: 1}\n--- # note\nb: 2\n",
                vec![" {a: 1}\n", " # note\nb: 2\n"],
            ),
            (
                "a mark in a text",
                "a: |\n  ---\n  b\n",
                vec!["a: |\n  ---\n  b\n"],
            ),
            ("dashes that are no mark", "----: 1\n", vec!["----: 1\n"]),
            ("comments alone", "# nothing\n---\na: 1\n", vec!["\na: 1\n"]),
            (
                "line ends of Windows",
                "a: 1\r\n---\r\nb: 2\r\n",
                vec!["a: 1\n", "\nb: 2\n"],
            ),
            (
                "directives",
                "# note\n%YAML 1.2\n---\na: 1\n...\n%YAML 1.2\n---\nb: 2\n",
                vec!["\na: 1\n", "\nb: 2\n"],
            ),
            (
                "an end",
                "a: 1\n... # end\nb: 2\n",
                vec!["a: 1\n", "\nb: 2\n"],
            ),
            (
                "an end in a text",
                "a: |\n  ...\n  %b\n",
                vec!["a: |\n  ...\n  %b\n"],
            ),
            ("JSON", "{\"a\": 1}", vec!["{\"a\": 1}\n"]),
            (
                "JSON after JSON",
                "{\"a\": \"}{\"}{\"b\": 2}\n\n{c: 3}",
                vec!["{\"a\": \"}{\"}\n", "{\"b\": 2}\n", "\n\n{c: 3}\n"],
            ),
            ("nothing", "", vec![]),
        ];
        for (case, text, expected) in table {
            let documents = parse("file", text).unwrap();
            let texts: Vec<_> = documents
                .iter()
                .map(|document| document.text.as_str())
                .collect();
            assert_eq!(texts, expected, "{case}");
        }
    }

    #[test]
    fn an_error_names_the_line_in_the_file() {
        let table = [
            ("marks", "a: 1\n---\nb: [\n"),
            ("a directive", "%YAML 1.2\n---\nb: [\n"),
            ("an end", "a: 1\n...\nb: [\n"),
            ("JSON after JSON", "{\"a\":\n1}\n{\"b\": ]\n"),
        ];
        for (case, text) in table {
            let error = parse("pod.yaml", text).unwrap_err().to_string();
            assert!(
                error.starts_with("pod.yaml: ")
                    && error.contains("line 3")
                    && !error.contains('\n'),
                "{case}: {error}"
            );
        }
    }

    /// In a time that grows with them, not with their square: half a minute and more, that was.
    #[test]
    fn many_documents_are_read() {
        let start = std::time::Instant::now();
        let many = "a: 1\n---\n".repeat(20_000);
        assert_eq!(parse("many.yaml", &many).unwrap().len(), 20_000);
        let error = parse("many.yaml", &(many + "b: ["))
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 40001"), "{error}");
        assert!(start.elapsed().as_secs() < 15, "{:?}", start.elapsed());
    }

    /// kubectl takes a tab at the begin of a block's first line for indentation.
    #[test]
    fn a_text_that_begins_with_a_tab_is_quoted() {
        let table = [
            ("\ta\nb\n", r#"- "\ta\nb\n""#),
            ("\n\ta\n", r#"- "\n\ta\n""#),
            ("a\n\tb\n", "- |\n"),
        ];
        for (text, expected) in table {
            let printed = yaml(&serde_json::json!([{"args": [text]}])).unwrap();
            assert!(printed.contains(expected), "{text:?}: {printed}");
        }
    }
}
