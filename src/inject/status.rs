//! The `identity-injector.io/status` annotation: what was added, by which version, under which settings.
//! With it the pod can be restored exactly, and drift is seen without guessing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

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

    /// Stamps version and settings.
    pub fn stamp(&mut self, plan: &Plan) {
        env!("CARGO_PKG_VERSION").clone_into(&mut self.version);
        self.settings = fingerprint(plan);
    }
}

/// Twelve hex digits that change with anything that decides what a pod gets.
fn fingerprint(plan: &Plan) -> String {
    let mut digest = FingerprintHasher(Sha256::new());
    std::hash::Hash::hash(plan, &mut digest);
    digest
        .0
        .finalize()
        .iter()
        .take(6)
        .fold(String::new(), |mut hex, byte| {
            // Writing to a String can't fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// Feeds derived `Hash` into SHA-256, whose result does not change with the compiler's hasher.
struct FingerprintHasher(Sha256);

impl std::hash::Hasher for FingerprintHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
