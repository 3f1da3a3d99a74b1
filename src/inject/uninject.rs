//! The way back: what the status annotation says was added is taken away again, and nothing else.
//! Our own containers go with whatever others put in them; a list that we made stays if others filled it.

use std::collections::BTreeSet;

use json_patch::{Patch, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::Value;

use super::addition::pointer;
use super::status::{Status, UnreadableStatus};
use super::{Container, List, Pod};
use crate::names;

/// The operations that restore the pod as it came; none where no status says that something was added.
/// Containers are told apart by name, which the API server holds to be unique in a pod.
///
/// # Errors
/// When the status can't be read.
pub fn uninject(pod: &Value) -> Result<Patch, UnreadableStatus> {
    let pod = Pod(pod);
    let Some(status) = Status::of(pod)? else {
        return Ok(Patch(Vec::new()));
    };
    let mut builder = Builder {
        pod,
        status: &status,
        operations: Vec::new(),
    };
    builder.restore();
    Ok(Patch(builder.operations))
}

struct Builder<'a> {
    pod: Pod<'a>,
    status: &'a Status,
    operations: Vec<PatchOperation>,
}

impl<'a> Builder<'a> {
    fn restore(&mut self) {
        // What is inside containers first, while their places are still those of the pod as it stands.
        for container in self.pod.containers() {
            if !self.added(container.list).contains(container.name()) {
                self.restore_container(container);
            }
        }
        let lists = [
            (List::Init.key(), self.added(List::Init)),
            (List::Regular.key(), self.added(List::Regular)),
            ("volumes", &self.status.volumes),
        ];
        let mut gone = 0;
        for (key, added) in lists {
            let list = self.pod.spec(key);
            gone += usize::from(self.take_elements(&["spec", key], list, key, "name", added));
        }
        self.restore_root("spec", gone);
        let gone = usize::from(self.take_annotations());
        self.restore_root("metadata", gone);
    }

    fn restore_container(&mut self, container: Container<'a>) {
        let name = container.name();
        let index = container.index.to_string();
        let path = |key| ["spec", container.list.key(), &index, key];
        let status = self.status;
        let none = BTreeSet::new();
        let variables = status.env.get(name).unwrap_or(&none);
        let env = container.raw.get("env");
        let place = format!("{name}/env");
        self.take_elements(&path("env"), env, &place, "name", variables);
        let mut paths = BTreeSet::new();
        if status.mounts.contains(name) {
            paths.insert(names::TOKEN_MOUNT.to_owned());
        }
        let mounts = container.raw.get("volumeMounts");
        let place = format!("{name}/volumeMounts");
        self.take_elements(&path("volumeMounts"), mounts, &place, "mountPath", &paths);
    }

    /// Takes from a list, for each name, the first element that has it at `key`. A list that we made goes with its
    /// last element. Returns whether the list's own key is gone.
    fn take_elements(
        &mut self,
        path: &[&str],
        list: Option<&Value>,
        place: &str,
        key: &str,
        names: &BTreeSet<String>,
    ) -> bool {
        let Some(list) = list.and_then(Value::as_array) else {
            return false;
        };
        let mut left = names.clone();
        let mut ours = |element: &Value| {
            let name = element.get(key).and_then(Value::as_str);
            name.is_some_and(|name| left.remove(name))
        };
        let taken: Vec<usize> = (0..list.len())
            .filter(|index| ours(&list[*index]))
            .collect();
        if taken.len() == list.len() && self.created(place) {
            return self.bring_back(path, place);
        }
        for index in taken.into_iter().rev() {
            let index = index.to_string();
            let path: Vec<&str> = path.iter().copied().chain([&*index]).collect();
            self.operations.push(remove(&path));
        }
        false
    }

    /// Takes our annotations. Returns whether the key `annotations` is gone.
    fn take_annotations(&mut self) -> bool {
        let ours = |key: &&str| *key == names::STATUS || self.status.annotations.contains(*key);
        let (ours, others): (Vec<&str>, Vec<&str>) = self.pod.annotation_keys().partition(ours);
        if others.is_empty() && self.created("annotations") {
            return self.bring_back(&["metadata", "annotations"], "annotations");
        }
        for key in ours {
            let path = ["metadata", "annotations", key];
            if key == names::STATUS {
                self.bring_back(&path, "status");
            } else {
                self.operations.push(remove(&path));
            }
        }
        false
    }

    /// Takes metadata or spec where we made it and as many keys as it has are gone.
    fn restore_root(&mut self, root: &str, gone: usize) {
        let object = self.pod.0.get(root).and_then(Value::as_object);
        let keys = object.map(serde_json::Map::len);
        if keys == Some(gone) && self.created(root) {
            self.bring_back(&[root], root);
        }
    }

    fn added(&self, list: List) -> &'a BTreeSet<String> {
        match list {
            List::Init => &self.status.init_containers,
            List::Regular => &self.status.containers,
        }
    }

    fn created(&self, place: &str) -> bool {
        self.status.created.contains(place) || self.status.replaced.contains_key(place)
    }

    /// Puts back what stood at a place that we created: nothing, or mostly `null`. Returns whether the key is gone.
    fn bring_back(&mut self, path: &[&str], place: &str) -> bool {
        let before = self.status.replaced.get(place);
        self.operations.push(match before {
            Some(before) => PatchOperation::Replace(ReplaceOperation {
                path: pointer(path),
                value: before.clone(),
            }),
            None => remove(path),
        });
        before.is_none()
    }
}

fn remove(path: &[&str]) -> PatchOperation {
    let path = pointer(path);
    PatchOperation::Remove(RemoveOperation { path })
}
