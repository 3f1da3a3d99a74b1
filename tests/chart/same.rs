//! One source of truth: kustomize and Helm install the same.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use similar::TextDiff;

use crate::everything;
use crate::render::{documents, helm, helm_in, kustomize};

/// What Helm's objects have and kustomize's have not: these labels, on the objects themselves.
const HELMS: [&str; 4] = [
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
];
/// What the name of Helm's Job ends with, since a Job can't be changed: so many digits.
const HASH: usize = 8;
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
    let setup = |command: &str| {
        let nobody = "00000000-0000-0000-0000-000000000000";
        let config = documents(&std::fs::read_to_string("manifests/setup/config.yaml").unwrap());
        let config: Value = from_yaml(&config[0]["data"]["setup.yaml"]);
        json!({"setup": {
            "enabled": true, "command": command, "config": config, "clientId": nobody, "tenantId": nobody,
        }})
    };
    let table = [
        ("manifests/base", json!({})),
        ("manifests/base manifests/setup", setup("apply")),
        ("manifests/base manifests/setup-verify", setup("verify")),
        ("manifests/base manifests/setup-destroy", setup("destroy")),
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
    for (folders, values) in table {
        let kustomized = folders.split(' ').map(Path::new).flat_map(kustomize);
        let (namespaces, kustomized): (Vec<_>, Vec<_>) =
            kustomized.partition(|object| object["kind"] == KUSTOMIZES);
        assert_eq!(namespaces.len(), 1, "{folders}");
        let mut templated = helm(&values).unwrap();
        for object in &mut templated {
            let labels = object["metadata"]["labels"].as_object_mut().unwrap();
            for label in HELMS {
                assert!(labels.remove(label).is_some(), "{label}: {object:#}");
            }
        }
        for job in templated.iter_mut().filter(|it| it["kind"] == "Job") {
            let name = job["metadata"]["name"].as_str().unwrap();
            let (name, hash) = name.rsplit_once('-').unwrap();
            assert_eq!(hash.len(), HASH, "{hash}");
            job["metadata"]["name"] = json!(name);
        }
        assert_same(folders, kustomized, templated);
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
fn a_release_is_in_its_own_namespace_alone() {
    let objects = helm_in("elsewhere", &everything()).unwrap();
    for object in objects {
        let text = object.to_string();
        assert!(!text.contains("identity-injector-system"), "{text}");
        let namespace = &object["metadata"]["namespace"];
        assert!(namespace.is_null() || namespace == "elsewhere", "{text}");
    }
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

fn from_yaml(text: &Value) -> Value {
    serde_saphyr::from_str(text.as_str().unwrap()).unwrap()
}

/// Whatever their order, that of variables, and how a config is written.
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
        if let Some(variables) = object.pointer_mut("/spec/template/spec/containers/0/env") {
            let variables = variables.as_array_mut().unwrap();
            variables.sort_by_key(|it| it["name"].to_string());
        }
        if let Some(config) = object.pointer_mut("/data/setup.yaml") {
            *config = from_yaml(config);
        }
        object.sort_all_objects();
        let key = [&object["kind"], &object["metadata"]["name"]].map(Value::to_string);
        let other = texts.insert(key, format!("{object:#}\n"));
        assert!(other.is_none(), "twice: {object:#}");
    }
    texts.into_values().collect()
}
