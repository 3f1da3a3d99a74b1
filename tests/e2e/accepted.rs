//! What kustomize and Helm render is what API servers take: no field unknown, none of a wrong type, no warning.

use std::path::Path;

use serde_json::{Value, json};

use crate::api::collection;
use crate::manifests::kustomized;
use crate::render::{self, helm, kustomize};
use crate::world::{SYSTEM, World, until};

/// Of the Prometheus operator and of cert-manager, as they are released.
const DEFINITIONS: &str = "tests/chart/bin/crds";

impl World {
    pub async fn manifests_are_accepted(&self) {
        self.define_others_kinds().await;
        let everything = render::read("tests/chart/everything.yaml");
        let mut own_certificate = everything.clone();
        own_certificate["certs"] = json!({});
        let given = json!({"certs": {"mode": "files", "existingSecret": "certificate"}});
        let mut removal = everything.clone();
        removal["setup"]["command"] = json!("destroy");
        let folders = [
            "manifests/base",
            "manifests/overlays/dev",
            "manifests/overlays/ha",
            "manifests/setup",
            "manifests/setup-verify",
            "manifests/setup-destroy",
        ];
        for folder in folders {
            let objects = kustomized(folder, "make e2e");
            // What `make chart` compares.
            assert_eq!(kustomize(Path::new(folder)), objects, "{folder}");
            self.accepts_all(folder, &objects).await;
        }
        for (what, values) in [
            ("as it comes", json!({})),
            ("a given certificate", given),
            ("everything", everything),
            ("everything, destroyed", removal),
            ("everything, own certificate", own_certificate),
        ] {
            let objects = helm(&values).unwrap();
            self.accepts_all(&format!("the chart, {what}"), &objects)
                .await;
        }
    }

    async fn accepts_all(&self, what: &str, objects: &[Value]) {
        for object in objects {
            self.accepts(what, object).await;
        }
        println!("       {} objects of {what}", objects.len());
    }

    /// As a new object, whatever of that name is there.
    async fn accepts(&self, what: &str, object: &Value) {
        let mut object = object.clone();
        let name = format!("{}-dry", object["metadata"]["name"].as_str().unwrap());
        let path = format!("{}/{name}", collection(&object, SYSTEM).unwrap());
        object["metadata"]["name"] = json!(name);
        let (applied, warnings) = self.api.dry_apply(&path, &object).await;
        assert!(applied.is_ok(), "{what}: {path}: {applied:#?}");
        assert!(warnings.is_empty(), "{what}: {path}: {warnings:?}");
    }

    async fn define_others_kinds(&self) {
        let mut defined = 0;
        for file in std::fs::read_dir(DEFINITIONS).unwrap() {
            let file = file.unwrap().path();
            for definition in render::documents(&std::fs::read_to_string(file).unwrap()) {
                let path = collection(&definition, "").unwrap();
                self.api.post(&path, &definition.to_string()).await.unwrap();
                let path = format!(
                    "{path}/{}",
                    definition["metadata"]["name"].as_str().unwrap()
                );
                let is_served = async || {
                    let stored = self.api.get(&path).await;
                    let mut conditions = stored["status"]["conditions"]
                        .as_array()
                        .into_iter()
                        .flatten();
                    conditions.any(|it| it["type"] == "Established" && it["status"] == "True")
                };
                until("the kind is served", is_served).await;
                defined += 1;
            }
        }
        assert_eq!(defined, 3, "{DEFINITIONS}");
    }
}
