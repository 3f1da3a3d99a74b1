//! The ServiceAccounts and Namespaces that stand among the documents.

use serde_json::Value;

use super::object::{Object, objects};
use super::workload::Workload;
use crate::inject::{Annotations, Defaults, Input, Pod, Reason};
use crate::names;

/// What is known beside the pods.
#[derive(Debug)]
pub struct Context {
    defaults: Defaults,
    service_accounts: Vec<Known>,
    namespaces: Vec<Known>,
    /// Of a Namespace that is not known.
    no_annotations: Annotations,
}

/// A ServiceAccount or Namespace, as far as it matters.
#[derive(Debug)]
struct Known {
    name: String,
    namespace: Option<String>,
    annotations: Annotations,
    label: Option<String>,
}

impl Context {
    /// Reads what the documents hold.
    #[must_use]
    pub fn of<'a>(documents: impl IntoIterator<Item = &'a Value>, defaults: Defaults) -> Self {
        let mut context = Context {
            defaults,
            service_accounts: Vec::new(),
            namespaces: Vec::new(),
            no_annotations: Annotations::default(),
        };
        for object in documents.into_iter().flat_map(objects) {
            match object.kind {
                "ServiceAccount" => context.service_accounts.push(Known::of(&object)),
                "Namespace" => context.namespaces.push(Known::of(&object)),
                _ => {}
            }
        }
        context
    }

    /// What the engine decides a pod from.
    ///
    /// # Errors
    /// When its Namespace did not opt in, which the engine is not asked about then.
    pub fn input<'a>(&'a self, pod: &'a Value, workload: &Workload) -> Result<Input<'a>, Reason> {
        let namespace = self.namespace(workload);
        if namespace.is_some_and(|namespace| namespace.label.as_deref() != Some("true")) {
            return Err(Reason::NamespaceNotOptedIn);
        }
        Ok(Input {
            pod,
            service_account: self.service_account(pod, workload),
            namespace: namespace.map_or(&self.no_annotations, |known| &known.annotations),
            defaults: &self.defaults,
        })
    }

    /// The opt-in label of a workload's Namespace; nothing where no such Namespace is known.
    #[must_use]
    pub fn opt_in(&self, workload: &Workload) -> Option<Option<&str>> {
        let namespace = self.namespace(workload)?;
        Some(namespace.label.as_deref())
    }

    /// The annotations of a pod's ServiceAccount. A namespace that is not said matches any.
    fn service_account(&self, pod: &Value, workload: &Workload) -> Option<&Annotations> {
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

    /// A workload's Namespace. One that is not known counts as opted in.
    fn namespace(&self, workload: &Workload) -> Option<&Known> {
        match (&workload.namespace, self.namespaces.as_slice()) {
            (Some(name), namespaces) => namespaces.iter().find(|known| known.name == *name),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

impl Known {
    fn of(object: &Object<'_>) -> Self {
        let annotations = object
            .raw
            .pointer("/metadata/annotations")
            .and_then(Value::as_object);
        let labels = object.raw.pointer("/metadata/labels");
        let label = |key| labels?.get(key)?.as_str();
        Known {
            name: object.text("/metadata/name").unwrap_or_default().to_owned(),
            namespace: object.text("/metadata/namespace").map(str::to_owned),
            annotations: annotations
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key, value.as_str()?)))
                .collect::<Annotations>()
                .with_pod_security(label(names::POD_SECURITY)),
            label: label(names::USE).map(str::to_owned),
        }
    }
}
