//! The `identity-injector.io/status` annotation: what was added, by which version, under which settings.
//! With it the pod can be restored exactly, and drift is seen without guessing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Plan, Pod};
use crate::names;

/// What was added to a pod, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Version of the product that added it.
    pub version: String,
    /// Hash of the settings that decided it.
    pub settings: String,
    /// Annotations, this one not counted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub annotations: BTreeSet<String>,
    /// Init containers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub init_containers: BTreeSet<String>,
    /// Containers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub containers: BTreeSet<String>,
    /// Volumes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// Variables of each container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, BTreeSet<String>>,
    /// Containers that got the token's mount.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub mounts: BTreeSet<String>,
    /// Lists and objects that were not there before: `annotations`, `volumes`, `initContainers`, `containers`, or `NAME/env`, `NAME/volumeMounts` of container NAME.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub created: BTreeSet<String>,
    /// What stood at such a place, where it was there but was no list or object: `null`, as a rule. What somebody else
    /// wrote in this annotation is at `status`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replaced: BTreeMap<String, Value>,
}

/// A status annotation that this program did not write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: can't be read, so nothing can be restored from it: {reason}", key = names::STATUS)]
pub struct UnreadableStatus {
    /// What the JSON reader says.
    pub reason: String,
}

impl Status {
    /// What earlier passes wrote; none where none did.
    ///
    /// # Errors
    /// When the annotation holds something else.
    pub fn of(pod: Pod<'_>) -> Result<Option<Self>, UnreadableStatus> {
        let Some(annotation) = annotation(pod) else {
            return Ok(None);
        };
        let text = annotation.as_str().unwrap_or_default();
        serde_json::from_str(text)
            .map(Some)
            .map_err(|error| UnreadableStatus {
                reason: error.to_string(),
            })
    }

    /// Notes that a list or object is made at a place, and what stood there. The first pass knows best.
    pub fn create(&mut self, place: &str, before: Option<&Value>) {
        if self.created.contains(place) || self.replaced.contains_key(place) {
            return;
        }
        match before {
            None => {
                self.created.insert(place.to_owned());
            }
            Some(before) => {
                self.replaced.insert(place.to_owned(), before.clone());
            }
        }
    }

    /// Keeps what stands in the annotation, where no earlier pass wrote it.
    pub fn keep_foreign(&mut self, pod: Pod<'_>) {
        if Status::of(pod).is_err() {
            self.create("status", annotation(pod));
        }
    }

    /// Whether an earlier pass added that container.
    #[must_use]
    pub fn added(&self, container: &str) -> bool {
        self.init_containers.contains(container) || self.containers.contains(container)
    }

    /// Stamps version and settings.
    pub fn stamp(&mut self, plan: &Plan) {
        env!("CARGO_PKG_VERSION").clone_into(&mut self.version);
        self.settings = fingerprint(plan);
    }
}

fn annotation(pod: Pod<'_>) -> Option<&Value> {
    pod.metadata("annotations")?.get(names::STATUS)
}

/// Twelve hex digits that change with anything that decides what a pod gets.
fn fingerprint(plan: &Plan) -> String {
    // Plain values always serialise.
    let plan = serde_json::to_vec(plan).unwrap_or_default();
    Sha256::digest(plan)
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
