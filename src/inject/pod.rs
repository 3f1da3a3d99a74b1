//! Read-only view of a pod as raw JSON. Whatever is missing or of another type counts as absent,
//! so that every question has an answer on any JSON.

use serde_json::Value;

use crate::names;

const WINDOWS: &str = "windows";

/// A pod, or a pod template, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'a>(pub &'a Value);

/// One of a pod's containers.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a> {
    /// The list it stands in.
    pub list: List,
    /// Its place in that list.
    pub index: usize,
    /// The container as it came.
    pub raw: &'a Value,
}

/// The container lists that are looked at; ephemeral containers are added after admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `spec.initContainers`
    Init,
    /// `spec.containers`
    Regular,
}

impl List {
    /// The list's key under `spec`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            List::Init => "initContainers",
            List::Regular => "containers",
        }
    }
}

impl<'a> Pod<'a> {
    /// The value of a label.
    #[must_use]
    pub fn label(self, key: &str) -> Option<&'a str> {
        self.metadata("labels")?.get(key)?.as_str()
    }

    /// The value of an annotation.
    #[must_use]
    pub fn annotation(self, key: &str) -> Option<&'a str> {
        self.metadata("annotations")?.get(key)?.as_str()
    }

    /// The keys of all labels.
    pub fn label_keys(self) -> impl Iterator<Item = &'a str> {
        self.entries("labels").map(|(key, _)| key)
    }

    /// The keys of all annotations.
    pub fn annotation_keys(self) -> impl Iterator<Item = &'a str> {
        self.entries("annotations").map(|(key, _)| key)
    }

    /// Labels and annotations whose value is no text.
    pub fn not_texts(self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let entries = self.entries("labels").chain(self.entries("annotations"));
        entries.filter(|(_, value)| !value.is_string() && !value.is_null())
    }

    fn entries(self, key: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let map = self.metadata(key).and_then(Value::as_object);
        map.into_iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// The name of the pod's ServiceAccount; `default` where it names none.
    #[must_use]
    pub fn service_account_name(self) -> &'a str {
        // The API server fills the one from the other, its old name, before it asks anyone.
        let mut names = ["serviceAccountName", "serviceAccount"]
            .into_iter()
            .filter_map(|key| self.spec(key)?.as_str());
        names.find(|name| !name.is_empty()).unwrap_or("default")
    }

    /// Whether the pod shares the node's network.
    #[must_use]
    pub fn host_network(self) -> bool {
        self.spec("hostNetwork")
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }

    /// The system of the nodes the pod is made for, by `spec.os` or its node selector; where they differ, Windows.
    #[must_use]
    pub fn os(self) -> Option<&'a str> {
        let os = self.spec("os").and_then(|os| os.get("name"));
        let selector = self.spec("nodeSelector");
        let selected = |key| selector.and_then(|selector| selector.get(key));
        let known = [
            os,
            selected("kubernetes.io/os"),
            selected("beta.kubernetes.io/os"),
        ];
        let mut names = known.into_iter().flatten().filter_map(Value::as_str);
        let first = names.next()?;
        Some(names.find(|name| *name == WINDOWS).unwrap_or(first))
    }

    /// Whether the pod is made for Windows nodes.
    #[must_use]
    pub fn windows(self) -> bool {
        self.os() == Some(WINDOWS)
    }

    /// Whether this is the API server's image of a static pod, which can't be changed.
    #[must_use]
    pub fn mirror(self) -> bool {
        self.annotation(names::MIRROR_POD).is_some()
    }

    /// Init containers, then regular ones, each in its order.
    pub fn containers(self) -> impl Iterator<Item = Container<'a>> {
        [List::Init, List::Regular]
            .into_iter()
            .flat_map(move |list| self.list(list))
    }

    /// The containers of one list; what is no object is none.
    pub fn list(self, list: List) -> impl Iterator<Item = Container<'a>> {
        elements(self.spec(list.key()))
            .enumerate()
            .filter(|(_, raw)| raw.is_object())
            .map(move |(index, raw)| Container { list, index, raw })
    }

    /// The container of that name, in whichever list.
    #[must_use]
    pub fn container(self, name: &str) -> Option<Container<'a>> {
        self.containers().find(|container| container.name() == name)
    }

    /// The container of the pod's own that declares that TCP port.
    #[must_use]
    pub fn container_with_port(self, port: u16) -> Option<Container<'a>> {
        self.containers()
            .find(|container| !container.injected() && container.declares_port(port))
    }

    /// A container of the pod's own that runs as that user, as far as the pod says it.
    #[must_use]
    pub fn container_of_user(self, uid: i64) -> Option<Container<'a>> {
        let user = |context: &Value| context.get("runAsUser")?.as_i64();
        let pods = self.spec("securityContext").and_then(user);
        self.containers().find(|container| {
            let own = container.raw.get("securityContext").and_then(user);
            !container.injected() && own.or(pods) == Some(uid)
        })
    }

    /// The pod's volumes.
    pub fn volumes(self) -> impl Iterator<Item = &'a Value> {
        elements(self.spec("volumes"))
    }

    /// A field of the metadata.
    #[must_use]
    pub fn metadata(self, key: &str) -> Option<&'a Value> {
        self.0.get("metadata")?.get(key)
    }

    /// A field of the spec.
    #[must_use]
    pub fn spec(self, key: &str) -> Option<&'a Value> {
        self.0.get("spec")?.get(key)
    }
}

impl<'a> Container<'a> {
    /// The container's name; empty where it has none, which the API server refuses later.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.raw
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Whether we, or the reference, put it there.
    #[must_use]
    pub fn injected(self) -> bool {
        [names::INIT_CONTAINER, names::PROXY_CONTAINER].contains(&self.name())
    }

    /// The entry of a variable. The last one counts, as the kubelet has it.
    #[must_use]
    pub fn variable(self, name: &str) -> Option<&'a Value> {
        elements(self.raw.get("env"))
            .rev()
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))
    }

    /// The mount at that folder.
    #[must_use]
    pub fn mount_at(self, folder: &str) -> Option<&'a Value> {
        let path = |mount: &'a Value| mount.get("mountPath").and_then(Value::as_str);
        elements(self.raw.get("volumeMounts"))
            .find(|mount| path(mount).is_some_and(|path| path.trim_end_matches('/') == folder))
    }

    /// Whether it mounts that volume.
    #[must_use]
    pub fn mounts(self, volume: &str) -> bool {
        elements(self.raw.get("volumeMounts"))
            .any(|mount| mount.get("name").is_some_and(|name| name == volume))
    }

    /// Whether it declares that TCP port.
    #[must_use]
    pub fn declares_port(self, port: u16) -> bool {
        let tcp = |entry: &Value| {
            entry
                .get("protocol")
                .is_none_or(|protocol| protocol.is_null() || protocol == "TCP")
        };
        elements(self.raw.get("ports"))
            .any(|entry| entry.get("containerPort") == Some(&Value::from(port)) && tcp(entry))
    }
}

/// The elements of a list; none where it is no list.
pub fn elements(list: Option<&Value>) -> std::slice::Iter<'_, Value> {
    list.and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn service_account_names() {
        let table = [
            (json!({}), "default"),
            (json!({"serviceAccountName": "new"}), "new"),
            (json!({"serviceAccount": "old"}), "old"),
            (
                json!({"serviceAccountName": "new", "serviceAccount": "old"}),
                "new",
            ),
            (
                json!({"serviceAccountName": "", "serviceAccount": "old"}),
                "old",
            ),
            (
                json!({"serviceAccountName": "", "serviceAccount": ""}),
                "default",
            ),
        ];
        for (spec, expected) in table {
            let pod = json!({"spec": spec});
            assert_eq!(Pod(&pod).service_account_name(), expected, "{pod}");
        }
    }
}
