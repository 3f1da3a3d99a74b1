//! The `identity-injector.io/status` annotation: what was added, by which version, under which settings.
//! With it the pod can be restored exactly, and drift is seen without guessing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Plan, Pod};
use crate::names;

/// What was added to a pod, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Version of the product that added it.
    pub version: String,
    /// Hash of the settings that decided it.
    pub settings: String,
    /// Annotations, this one not counted.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub annotations: BTreeSet<String>,
    /// Init containers.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub init_containers: BTreeSet<String>,
    /// Containers.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub containers: BTreeSet<String>,
    /// Volumes.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// Variables of each container.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, BTreeSet<String>>,
    /// Containers that got the token's mount.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub mounts: BTreeSet<String>,
    /// Lists and objects that were not there before: `annotations`, `volumes`, `initContainers`, `containers`, or `NAME/env`, `NAME/volumeMounts` of container NAME.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub created: BTreeSet<String>,
}

impl Status {
    /// What an earlier pass wrote; empty where none did.
    #[must_use]
    pub fn of(pod: Pod<'_>) -> Self {
        pod.annotation(names::STATUS)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
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
