//! docs/troubleshooting.md says each thing that a user can meet, in the program's own words.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use identity_injector::azure::aadsts;
use identity_injector::inject::{Refusal, Warning};

fn document() -> String {
    std::fs::read_to_string("docs/troubleshooting.md").unwrap()
}

/// The sentences under each heading of the third level.
fn sentences(document: &str) -> BTreeMap<String, Vec<String>> {
    let mut sections = BTreeMap::<String, Vec<String>>::new();
    let mut heading = String::new();
    for line in document.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            heading = name.to_owned();
            sections.entry(heading.clone()).or_default();
        } else if let Some(sentence) = line.strip_prefix("> ") {
            sections
                .get_mut(&heading)
                .unwrap()
                .push(sentence.to_owned());
        }
    }
    sections
}

/// Whether the text is the sentence, with anything in place of each `…`.
fn is_said(sentence: &str, text: &str) -> bool {
    let mut rest = text;
    for part in sentence.split('…') {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    true
}

#[test]
fn every_reason_has_its_heading_and_sentence() {
    let sections = sentences(&document());
    for reason in Warning::REASONS.iter().chain(&Refusal::REASONS) {
        let said = sections.get(*reason).map(Vec::as_slice).unwrap_or_default();
        assert!(
            !said.is_empty(),
            "docs/troubleshooting.md has no {reason}, or no sentence under it"
        );
    }
}

/// The golden cases have all sentences that there are: each is in the document, and no sentence of it is of no case.
#[test]
fn the_sentences_are_the_programs() {
    let sections = sentences(&document());
    let sentences: Vec<&String> = sections.values().flatten().collect();
    let mut met = vec![false; sentences.len()];
    // The cases all have a tenant.
    let mut messages = vec![Warning::NoTenant.text()];
    for case in std::fs::read_dir("tests/cases").unwrap() {
        let file = case.unwrap().path().join("messages.txt");
        let text = std::fs::read_to_string(file).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("exit "));
        messages.extend(lines.map(str::to_owned));
    }
    for message in &messages {
        let mut known = false;
        for (sentence, met) in sentences.iter().zip(&mut met) {
            if is_said(sentence, message) {
                (known, *met) = (true, true);
            }
        }
        assert!(known, "docs/troubleshooting.md does not have: {message}");
    }
    for (sentence, met) in sentences.iter().zip(met) {
        assert!(met, "no case says: {sentence}");
    }
}

#[test]
fn codes_of_entra_are_explained_as_the_proxy_does() {
    let document = document();
    let rows = document.lines().filter(|line| line.starts_with("| AADSTS"));
    let mut seen = 0;
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for code in cells[1].split(", ") {
            let number = code.trim_start_matches("AADSTS").parse().unwrap();
            let sentence = aadsts::fault(number).sentence;
            assert!(sentence.contains(cells[2]), "{code}: {sentence}");
            seen += 1;
        }
    }
    assert!(seen >= 11, "{seen} codes");
}
