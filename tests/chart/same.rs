//! One source of truth: kustomize and Helm install the same.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use similar::TextDiff;

use crate::render::{helm, kustomize};

/// What Helm's objects have and kustomize's have not: these labels, on the objects themselves.
const HELMS: [&str; 4] = [
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
];
/// What kustomize makes and Helm does not: the namespace of a release is there before it.
const KUSTOMIZES: &str = "Namespace";

#[test]
fn kustomize_and_helm_install_the_same() {
    let spread = |key: &str| {
        json!({
            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "identity-injector"}},
            "matchLabelKeys": ["pod-template-hash"], "maxSkew": 1, "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
        })
    };
    let table = [
        ("manifests/base", json!({})),
        (
            "manifests/overlays/ha",
            json!({
                "replicaCount": 3,
                "topologySpreadConstraints": [
                    spread("topology.kubernetes.io/zone"), spread("kubernetes.io/hostname"),
                ],
            }),
        ),
        (
            "manifests/overlays/dev",
            json!({
                "replicaCount": 1, "failurePolicy": "Ignore", "image": {"pullPolicy": "Never"},
                "log": {"format": "text", "level": "debug"},
            }),
        ),
    ];
    for (folder, values) in table {
        let mut kustomized = kustomize(Path::new(folder));
        let before = kustomized.len();
        kustomized.retain(|object| object["kind"] != KUSTOMIZES);
        assert_eq!(before - kustomized.len(), 1, "{folder}");
        let mut templated = helm(&values).unwrap();
        for object in &mut templated {
            let labels = object["metadata"]["labels"].as_object_mut().unwrap();
            for label in HELMS {
                assert!(labels.remove(label).is_some(), "{label}: {object:#}");
            }
        }
        assert_same(folder, kustomized, templated);
    }
}

#[test]
fn an_overlays_image_is_that_of_injected_containers_too() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let base = Path::new("manifests/base").canonicalize().unwrap();
    let above = "../".repeat(folder.path().components().count() - 1);
    let overlay = json!({
        "resources": [format!("{above}{}", base.strip_prefix("/").unwrap().display())],
        "images": [{
            "name": "ghcr.io/identity-injector/identity-injector",
            "newName": "mirror.test/injector", "newTag": "1",
        }],
    });
    let file = folder.path().join("kustomization.yaml");
    std::fs::write(file, overlay.to_string()).unwrap();
    let objects = kustomize(folder.path());
    let deployment = objects.iter().find(|it| it["kind"] == "Deployment");
    let container = &deployment.unwrap()["spec"]["template"]["spec"]["containers"][0];
    let proxys = container["env"].as_array().unwrap().iter();
    let proxys = proxys.clone().find(|it| it["name"] == "PROXY_IMAGE");
    assert_eq!(container["image"], "mirror.test/injector:1");
    assert_eq!(proxys.unwrap()["value"], "mirror.test/injector:1");
}

#[test]
fn versions_are_the_programs() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = std::fs::read_to_string("manifests/chart/Chart.yaml").unwrap();
    let chart: Value = serde_saphyr::from_str(&chart).unwrap();
    assert_eq!(
        [&chart["version"], &chart["appVersion"]],
        [version, version]
    );
    let base = kustomize(Path::new("manifests/base"));
    let deployment = base.iter().find(|it| it["kind"] == "Deployment").unwrap();
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    let expected = format!("ghcr.io/identity-injector/identity-injector:{version}");
    assert_eq!(*image, expected);
}

/// Whatever their order, and that of variables.
fn assert_same(what: &str, kustomized: Vec<Value>, templated: Vec<Value>) {
    let [kustomized, templated] = [kustomized, templated].map(text);
    let diff = TextDiff::from_lines(&kustomized, &templated);
    let diff = diff
        .unified_diff()
        .header(what, "manifests/chart")
        .to_string();
    assert!(diff.is_empty(), "\n{diff}");
}

fn text(objects: Vec<Value>) -> String {
    let mut texts = BTreeMap::new();
    for mut object in objects {
        if object["kind"] == "Deployment" {
            let container = &mut object["spec"]["template"]["spec"]["containers"][0];
            let variables = container["env"].as_array_mut().unwrap();
            variables.sort_by_key(|it| it["name"].to_string());
        }
        object.sort_all_objects();
        let key = [&object["kind"], &object["metadata"]["name"]].map(Value::to_string);
        let other = texts.insert(key, format!("{object:#}\n"));
        assert!(other.is_none(), "twice: {object:#}");
    }
    texts.into_values().collect()
}
