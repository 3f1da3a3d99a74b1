//! The ServiceAccounts and Namespaces that stand among the documents.

use serde_json::Value;

use super::workload::{Workload, objects};
use crate::inject::{Annotations, Pod};
use crate::names;

/// What is known beside the pods.
#[derive(Debug, Default)]
pub struct Context {
    service_accounts: Vec<Known>,
    namespaces: Vec<Known>,
}

/// A ServiceAccount or Namespace, as far as it matters.
#[derive(Debug)]
struct Known {
    name: String,
    namespace: Option<String>,
    annotations: Annotations,
    opted_in: bool,
}

impl Context {
    /// Reads what the documents hold.
    #[must_use]
    pub fn of<'a>(documents: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut context = Context::default();
        for object in documents.into_iter().flat_map(objects) {
            match object.get("kind").and_then(Value::as_str) {
                Some("ServiceAccount") => context.service_accounts.push(Known::of(object)),
                Some("Namespace") => context.namespaces.push(Known::of(object)),
                _ => {}
            }
        }
        context
    }

    /// The annotations of a pod's ServiceAccount. A namespace that is not said matches any.
    #[must_use]
    pub fn service_account(&self, pod: &Value, workload: &Workload) -> Option<&Annotations> {
        let name = Pod(pod).service_account_name();
        let namespace = workload.namespace.as_deref();
        let matches = |known: &&Known| {
            known.name == name
                && (namespace.is_none()
                    || known.namespace.is_none()
                    || known.namespace.as_deref() == namespace)
        };
        self.service_accounts
            .iter()
            .find(matches)
            .map(|known| &known.annotations)
    }

    /// Whether a workload's Namespace opted in, and its annotations. One that is not known counts as opted in.
    #[must_use]
    pub fn namespace(&self, workload: &Workload) -> (bool, Annotations) {
        let known = match (&workload.namespace, self.namespaces.as_slice()) {
            (Some(name), namespaces) => namespaces.iter().find(|known| known.name == *name),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        known.map_or((true, Annotations::default()), |known| {
            (known.opted_in, known.annotations.clone())
        })
    }
}

impl Known {
    fn of(object: &Value) -> Self {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
        let annotations = object
            .pointer("/metadata/annotations")
            .and_then(Value::as_object);
        let label = object
            .pointer("/metadata/labels")
            .and_then(|labels| labels.get(names::USE));
        Known {
            name: text("/metadata/name").unwrap_or_default().to_owned(),
            namespace: text("/metadata/namespace").map(str::to_owned),
            annotations: annotations
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key, value.as_str()?)))
                .collect(),
            opted_in: label.is_some_and(|value| value == "true"),
        }
    }
}
