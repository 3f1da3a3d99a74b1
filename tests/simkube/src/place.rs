//! The places in an object whose keys have owners, and what stands there.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// A map whose keys have owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    Data,
    Annotations,
    Labels,
}

impl Section {
    pub(crate) const ALL: [Self; 3] = [Self::Data, Self::Annotations, Self::Labels];

    /// The names that lead to the map.
    pub(crate) fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Data => &["data"],
            Self::Annotations => &["metadata", "annotations"],
            Self::Labels => &["metadata", "labels"],
        }
    }

    pub(crate) fn pointer(self) -> String {
        self.steps().iter().map(|step| format!("/{step}")).collect()
    }

    /// The pointer in a `fieldsV1`, where names carry the prefix `f:`.
    pub(crate) fn field_pointer(self) -> String {
        self.steps()
            .iter()
            .map(|step| format!("/f:{step}"))
            .collect()
    }
}

/// The place of one owned key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path {
    pub(crate) section: Section,
    pub(crate) key: String,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}.{}", self.section.steps().join("."), self.key)
    }
}

/// All that has an owner, or may have.
pub(crate) fn leaves(object: &Value) -> BTreeMap<Path, Value> {
    let mut leaves = BTreeMap::new();
    for section in Section::ALL {
        let map = object
            .pointer(&section.pointer())
            .and_then(Value::as_object);
        for (key, value) in map.into_iter().flatten() {
            leaves.insert(
                Path {
                    section,
                    key: key.clone(),
                },
                value.clone(),
            );
        }
    }
    leaves
}

/// Puts the key there, and its map if there is none.
pub(crate) fn set(object: &mut Value, path: &Path, value: Value) {
    let mut map = object;
    for step in path.section.steps() {
        map = &mut map[*step];
    }
    map[path.key.as_str()] = value;
}

/// Takes the key away, and its map when it was the last.
pub(crate) fn unset(object: &mut Value, path: &Path) {
    let Some(map) = object
        .pointer_mut(&path.section.pointer())
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    map.shift_remove(&path.key);
    if !map.is_empty() {
        return;
    }
    if let Some((last, parents)) = path.section.steps().split_last() {
        let parent: String = parents.iter().map(|step| format!("/{step}")).collect();
        if let Some(parent) = object.pointer_mut(&parent).and_then(Value::as_object_mut) {
            parent.shift_remove(*last);
        }
    }
}
