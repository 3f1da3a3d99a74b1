//! Where the pods are in a document: a Pod itself, or the template of whatever makes pods.

use serde_json::Value;

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
    /// Our keys on that object, where they belong on its template.
    pub misplaced: Vec<Warning>,
}

/// Every pod in a document; those of a List's items too.
#[must_use]
pub fn workloads(document: &Value) -> Vec<Workload> {
    let mut found = Vec::new();
    collect(document, String::new(), &mut found);
    found
}

/// Every object in a document: itself, or a List's items, however deep.
pub fn objects(document: &Value) -> Vec<&Value> {
    match items(document) {
        Some(items) => items.iter().flat_map(objects).collect(),
        None => vec![document],
    }
}

fn collect(object: &Value, pointer: String, found: &mut Vec<Workload>) {
    if let Some(items) = items(object) {
        for (index, item) in items.iter().enumerate() {
            collect(item, format!("{pointer}/items/{index}"), found);
        }
        return;
    }
    let kind = text(object, "/kind").unwrap_or_default();
    let api_version = text(object, "/apiVersion").unwrap_or_default();
    let Some(template) = template(api_version, kind) else {
        return;
    };
    if let Some(pod) = object.pointer(template).filter(|pod| pod.is_object()) {
        let name =
            text(object, "/metadata/name").or_else(|| text(object, "/metadata/generateName"));
        found.push(Workload {
            pointer: pointer + template,
            kind: kind.to_owned(),
            name: name.unwrap_or("(no name)").to_owned(),
            namespace: text(object, "/metadata/namespace").map(str::to_owned),
            misplaced: match template {
                "" => Vec::new(),
                _ => above_template(object, pod),
            },
        });
    }
}

fn items(object: &Value) -> Option<&Vec<Value>> {
    text(object, "/kind").filter(|kind| kind.ends_with("List"))?;
    object.get("items")?.as_array()
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer)?.as_str()
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
