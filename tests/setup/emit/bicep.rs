//! The Bicep file reads as Bicep, each name in it is declared, and the commands in its comments run as a shell script.
//! Microsoft's own compiler is not in the registries that a build may use; the grammar is the one editors use.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use identity_injector::setup::emit::{Format, emit};
use identity_injector::setup::step::Step;
use tree_sitter::{Node, Parser, Tree};

use super::plan::{AUDIENCE, ISSUER, SCOPE, desired, planned};
use super::shell::words_of;

/// What Bicep itself knows.
const BUILT_IN: [&str; 3] = ["batchSize", "guid", "resourceGroup"];

fn text() -> String {
    emit(&planned(false), &desired(), Format::Bicep)
}

fn read(text: &str) -> Tree {
    let mut parser = Parser::new();
    let language = tree_sitter_bicep::LANGUAGE.into();
    parser.set_language(&language).unwrap();
    parser.parse(text, None).unwrap()
}

/// A node and all below it.
fn below<'t>(node: Node<'t>, found: &mut Vec<Node<'t>>) {
    found.push(node);
    for child in node.children(&mut node.walk()) {
        below(child, found);
    }
}

fn all(tree: &Tree) -> Vec<Node<'_>> {
    let mut found = Vec::new();
    below(tree.root_node(), &mut found);
    found
}

/// The value of a literal.
fn value(literal: &str) -> String {
    let inner = literal.strip_prefix('\'').unwrap();
    let mut characters = inner.strip_suffix('\'').unwrap().chars();
    let mut value = String::new();
    while let Some(c) = characters.next() {
        let c = if c == '\\' {
            characters.next().unwrap()
        } else {
            c
        };
        value.push(c);
    }
    value
}

#[test]
fn reads_as_bicep_and_declares_what_it_names() {
    let text = text();
    let of = |node: Node<'_>| text[node.byte_range()].to_owned();
    let tree = read(&text);
    assert!(
        !tree.root_node().has_error(),
        "{}",
        tree.root_node().to_sexp()
    );
    assert!(read("resource a 'b' = {").root_node().has_error());

    let nodes = all(&tree);
    let interpolated = nodes.iter().filter(|node| node.kind() == "interpolation");
    assert_eq!(interpolated.count(), 0, "{text}");
    let (mut declared, mut named) = (BTreeSet::new(), BTreeSet::new());
    for node in nodes.iter().filter(|node| node.kind() == "identifier") {
        let parent = node.parent().unwrap();
        let is_first = parent.named_child(0) == Some(*node);
        match parent.kind() {
            "resource_declaration" | "for_statement" => {
                let new = declared.insert(of(*node));
                assert!(new || of(*node) == "credential", "{} twice", of(*node));
            }
            // The key of an object.
            "object_property" if is_first => {}
            _ => drop(named.insert(of(*node))),
        }
    }
    for name in BUILT_IN {
        assert!(named.remove(name), "{name}");
    }
    assert!(named.is_subset(&declared), "{named:?} of {declared:?}");
    assert!(named.len() >= 3 && declared.len() >= 6, "{declared:?}");
}

#[test]
fn has_every_credential_of_the_plan() {
    let text = text();
    let tree = read(&text);
    let nodes = all(&tree);
    let objects = nodes.iter().filter(|node| node.kind() == "object");
    let items = objects.filter(|node| node.parent().unwrap().kind() == "array");
    let found: Vec<_> = items
        .map(|item| {
            let properties: Vec<_> = item.named_children(&mut item.walk()).collect();
            let values = properties.iter().map(|one| one.named_child(1).unwrap());
            values
                .map(|literal| value(&text[literal.byte_range()]))
                .collect::<Vec<_>>()
        })
        .collect();
    let plan = planned(false);
    let expected: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::CreateFederatedCredential { name, trust, .. }
            | Step::UpdateFederatedCredential { name, trust, .. } => Some(vec![
                name.clone(),
                ISSUER.to_owned(),
                trust.subject.clone(),
                AUDIENCE.to_owned(),
            ]),
            _ => None,
        })
        .collect();
    assert_eq!((found.len(), found), (4, expected));
}

#[test]
fn its_commands_run_as_a_shell_script() {
    let text = text();
    // By the file's own words.
    let lines: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("//   "))
        .collect();
    let [group, deployment, rest] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    let words = words_of(&format!("{group}\n{deployment}\n"));
    for part in [
        "az\ngroup\ncreate\n",
        "az\ndeployment\ngroup\ncreate\n--subscription\n11111111-2222-3333-4444-555555555555\n--resource-group\nwalk\n\
         --template-file\nsetup.bicep\n",
    ] {
        assert!(words.contains(part), "{part:?} not in {words}");
    }
    let (taken, _) = rest.split_once(" setup.bicep | sh").unwrap();
    let words = words_of(&piped(taken, &text));
    for part in [
        &format!("--scope\n{SCOPE}\n--assignee-object-id\nthe-id\n"),
        "kubectl\napply\n--server-side\n--field-manager=identity-injector\n",
        "  name: \"old\"\n  namespace: \"ns\"\n",
        "    azure.workload.identity/client-id: \"the-id\"\n",
    ] {
        assert!(words.contains(part), "{part:?} not in {words}");
    }
    assert!(!words.contains("federated-credential"), "{words}");

    let there = emit(&planned(true), &desired(), Format::Bicep);
    assert!(!there.contains("az group create"), "{there}");
}

/// What a command makes of a text.
fn piped(command: &str, text: &str) -> String {
    let mut sh = Command::new("/bin/sh");
    sh.args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = sh.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}
