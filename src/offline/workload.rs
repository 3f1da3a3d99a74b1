//! Where the pods are in a document: a Pod itself, or the template of whatever makes pods.

use serde_json::Value;

use super::object::{Object, objects};
use crate::inject::{Warning, above_template, template};

/// A pod in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// JSON pointer of the pod or template in its document; empty for the document itself.
    pub pointer: String,
    /// Kind of the object it belongs to.
    pub kind: String,
    /// Name of that object.
    pub name: String,
    /// Namespace of that object, where it says one.
    pub namespace: Option<String>,
    /// Our keys above the template, where they belong.
    pub misplaced: Vec<Warning>,
}

/// Every pod in a document; those of a List's items too.
#[must_use]
pub fn workloads(document: &Value) -> Vec<Workload> {
    let objects = objects(document).into_iter();
    objects.filter_map(Workload::of).collect()
}

impl Workload {
    fn of(object: Object<'_>) -> Option<Self> {
        let template = template(object.api_version, object.kind)?;
        object.raw.pointer(template).filter(|pod| pod.is_object())?;
        let name = object
            .text("/metadata/name")
            .or_else(|| object.text("/metadata/generateName"));
        Some(Workload {
            kind: object.kind.to_owned(),
            name: name.unwrap_or("(no name)").to_owned(),
            namespace: object.text("/metadata/namespace").map(str::to_owned),
            misplaced: above_template(object.raw, template),
            pointer: object.pointer + template,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pointers() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "a", "namespace": "n"}});
        let table = [
            (pod.clone(), vec![""]),
            (
                json!({"kind": "Deployment", "spec": {"template": {}}}),
                vec!["/spec/template"],
            ),
            (json!({"kind": "Deployment", "spec": {}}), vec![]),
            (
                json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {}}}}}),
                vec!["/spec/jobTemplate/spec/template"],
            ),
            (
                json!({"apiVersion": "example.com/v1", "kind": "Job", "spec": {"template": {}}}),
                vec![],
            ),
            (json!({"kind": "Service", "spec": {"template": {}}}), vec![]),
            (
                json!({"kind": "List", "items": [pod, {"kind": "List", "items": [pod]}, 3]}),
                vec!["/items/0", "/items/1/items/0"],
            ),
            (
                json!({"apiVersion": "v1", "kind": "PodList", "items": [{}, {"kind": ""}, {"kind": "Service"}, null]}),
                vec!["/items/0", "/items/1"],
            ),
            (
                json!({"apiVersion": "batch/v1", "kind": "JobList", "items": [{"spec": {"template": {}}}]}),
                vec!["/items/0/spec/template"],
            ),
            (
                json!({"apiVersion": "example.com/v1", "kind": "JobList", "items": [{"spec": {"template": {}}}]}),
                vec![],
            ),
            (json!({"kind": "PodList", "items": {}}), vec![]),
            (json!("text"), vec![]),
        ];
        for (document, pointers) in table {
            let found: Vec<String> = workloads(&document)
                .into_iter()
                .map(|workload| workload.pointer)
                .collect();
            assert_eq!(found, pointers, "{document}");
        }
    }
}
