//! The objects that `kubectl apply -k` makes of a folder: its resources in their order, then its JSON patches.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::Value;

/// Knows as much of kustomize as the project's manifests use, and refuses the rest.
pub fn kustomized(folder: &Path) -> Vec<Value> {
    let [kustomization] = documents(&folder.join("kustomization.yaml"))
        .try_into()
        .unwrap();
    let fields = kustomization.as_object().unwrap().keys();
    let known = ["apiVersion", "kind", "resources", "patches"];
    let foreign: Vec<_> = fields
        .filter(|field| !known.contains(&field.as_str()))
        .collect();
    assert!(foreign.is_empty(), "{}: {foreign:?}", folder.display());
    let resources = kustomization["resources"].as_array().unwrap().iter();
    let mut objects: Vec<_> = resources
        .map(|resource| folder.join(resource.as_str().unwrap()))
        .flat_map(|path| match path.is_dir() {
            true => kustomized(&path),
            false => documents(&path),
        })
        .collect();
    for patch in kustomization["patches"].as_array().into_iter().flatten() {
        let operations: json_patch::Patch =
            serde_saphyr::from_str(patch["patch"].as_str().unwrap()).unwrap();
        let kind = &patch["target"]["kind"];
        for object in objects.iter_mut().filter(|object| object["kind"] == *kind) {
            json_patch::patch(object, &operations).unwrap();
        }
    }
    objects
}

/// The documents of a YAML file.
pub fn documents(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}
