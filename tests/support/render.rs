//! What users install, as helm and kustomize render it (tests/chart builds both).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test fails by panicking"
)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// The chart's objects with these values, or what helm says of them.
pub fn helm(values: &Value) -> Result<Vec<Value>, String> {
    helm_in("identity-injector-system", values)
}

/// The same, for a release in another namespace.
pub fn helm_in(namespace: &str, values: &Value) -> Result<Vec<Value>, String> {
    let mut command = command("helm");
    command
        .args(["template", "identity-injector", "manifests/chart"])
        .args(["--namespace", namespace, "--values=-"]);
    run(command, &values.to_string()).map(|text| documents(&text))
}

/// The objects of a folder with a kustomization.yaml.
pub fn kustomize(folder: &Path) -> Vec<Value> {
    let mut command = command("kustomize");
    command.arg("build").arg(folder);
    documents(&run(command, "").unwrap())
}

/// How many rules Prometheus reads in a rule file, or why it would not load them.
pub fn rules(file: &Value) -> Result<String, String> {
    run(command("rules"), &file.to_string())
}

fn command(tool: &str) -> Command {
    let binary = Path::new("tests/chart/bin").join(tool);
    let binary = binary
        .canonicalize()
        .unwrap_or_else(|_| panic!("{} is not built: run `make chart-tools`", binary.display()));
    Command::new(binary)
}

fn run(mut command: Command, input: &str) -> Result<String, String> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut standard_input = child.stdin.take().unwrap();
    standard_input.write_all(input.as_bytes()).unwrap();
    drop(standard_input);
    let output = child.wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

/// A YAML file of one document.
pub fn read(file: &str) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The documents of a YAML text.
pub fn documents(text: &str) -> Vec<Value> {
    let mut documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    documents.retain(|it| !it.is_null());
    documents
}
