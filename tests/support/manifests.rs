//! The project's manifests as the API server gets them.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; not every suite needs every part"
)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The objects that `kubectl apply -k` makes of a folder; `target` is what makes kubectl.
pub fn kustomized(folder: &str, target: &str) -> Vec<Value> {
    let kubectl = Path::new("tests/cluster/bin/kubectl");
    let shown = kubectl.display();
    assert!(kubectl.exists(), "{shown} is not built: run `{target}`");
    let output = Command::new(kubectl)
        .args(["kustomize", folder])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{folder}: {printed}");
    serde_saphyr::from_multiple(std::str::from_utf8(&output.stdout).unwrap()).unwrap()
}

/// The documents of a YAML file.
pub fn documents(file: impl AsRef<Path>) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}
