//! Where the ledger is kept: a ConfigMap, written by server-side apply, each write on the version that was read.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;
use tokio::time::sleep;

use super::cluster::{Cluster, ClusterError};
use super::ledger::{Change, Ledger};
use crate::names::{FIELD_MANAGER, LEDGER};

/// Who makes the ConfigMap, and owns nothing of it.
const MAKER: &str = "identity-injector-ledger";
/// How often a write is tried that another run's write crosses.
const TRIES: u32 = 20;

/// The ledger can't be kept, so nothing may be made.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The API server did not do what was asked.
    #[error("ledger: {0}")]
    Cluster(#[from] ClusterError),
    /// Its namespace is missing.
    #[error(
        "ledger: there is no namespace {0} to keep it in: `kubectl create namespace {0}`, or name another with \
         --ledger-namespace"
    )]
    NoNamespace(String),
    /// A value in it is none of setup's.
    #[error("ledger: {name}, key {key}: {cause}; mend it or remove the key")]
    Unreadable {
        /// The ConfigMap.
        name: String,
        /// The key.
        key: String,
        /// Why.
        cause: serde_json::Error,
    },
    /// Others write all the time.
    #[error("ledger: others kept writing {0}: run again")]
    Busy(String),
}

/// The ConfigMap that keeps the ledger.
pub struct Book<'a> {
    cluster: &'a Cluster,
    /// As it was read or written last, so that only another's write costs a read.
    known: Option<Known>,
}

struct Known {
    ledger: Ledger,
    version: Option<String>,
}

impl<'a> Book<'a> {
    /// The book in the ledger's namespace of `cluster`.
    #[must_use]
    pub fn of(cluster: &'a Cluster) -> Self {
        Self {
            cluster,
            known: None,
        }
    }

    /// Reads the ledger, if there is one.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn read(&self) -> Result<Option<Ledger>, BookError> {
        let map = self.find().await?;
        map.map(|map| self.ledger(&map.data.unwrap_or_default()))
            .transpose()
    }

    /// Makes a change, whatever others changed meanwhile. A ledger that has it already is not written.
    ///
    /// # Errors
    /// When it can't be written; then it is as it was.
    pub async fn change(&mut self, change: &Change) -> Result<(), BookError> {
        for attempt in 0..TRIES {
            if change.is_empty() {
                return Ok(());
            }
            let Known { ledger, version } = match self.known.take() {
                Some(known) => known,
                None => match self.find().await? {
                    Some(map) => Known {
                        version: map.metadata.resource_version,
                        ledger: self.ledger(&map.data.unwrap_or_default())?,
                    },
                    None if change.put.is_empty() => return Ok(()),
                    None => {
                        self.create().await?;
                        continue;
                    }
                },
            };
            let after = ledger.with(change);
            if after == ledger {
                self.known = Some(Known { ledger, version });
                return Ok(());
            }
            match self.write(&after, version).await {
                Ok(version) => {
                    let ledger = after;
                    self.known = Some(Known { ledger, version });
                    return Ok(());
                }
                // Another run wrote since it was read: once more, on what that one wrote.
                Err(ClusterError::Conflict { .. }) => {
                    sleep(Duration::from_millis(50 * u64::from(attempt + 1))).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(BookError::Busy(self.name()))
    }

    /// Removes the ConfigMap if there is no entry in it.
    ///
    /// # Errors
    /// When the API server does not do it.
    pub async fn remove_if_empty(&self) -> Result<(), BookError> {
        let Some(map) = self.find().await? else {
            return Ok(());
        };
        if map.data.is_some_and(|data| !data.is_empty()) {
            return Ok(());
        }
        let how = DeleteParams {
            preconditions: Some(Preconditions {
                resource_version: map.metadata.resource_version,
                uid: map.metadata.uid,
            }),
            ..DeleteParams::default()
        };
        let maps = self.maps();
        let asked = maps.delete(LEDGER, &how);
        match self
            .cluster
            .ask(format!("DELETE {}", self.name()), asked)
            .await
        {
            // Another run has begun to write it, or removed it too.
            Ok(_)
            | Err(ClusterError::Conflict { .. } | ClusterError::Refused { code: 404, .. }) => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn find(&self) -> Result<Option<ConfigMap>, BookError> {
        let maps = self.maps();
        let asked = maps.get_opt(LEDGER);
        Ok(self
            .cluster
            .ask(format!("GET {}", self.name()), asked)
            .await?)
    }

    /// Makes an empty one, if none came meanwhile. By apply, as a right to create is bound to a name for that alone;
    /// by another manager, as one's own apply without data takes the data away.
    async fn create(&self) -> Result<(), BookError> {
        let patch = Patch::Apply(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": LEDGER},
        }));
        let maps = self.maps();
        let how = PatchParams::apply(MAKER);
        let asked = maps.patch(LEDGER, &how, &patch);
        match self
            .cluster
            .ask(format!("PATCH {}", self.name()), asked)
            .await
        {
            Ok(_) => Ok(()),
            Err(ClusterError::Refused { code: 404, .. }) => Err(BookError::NoNamespace(
                self.cluster.ledger_namespace.clone(),
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the new version.
    async fn write(
        &self,
        ledger: &Ledger,
        version: Option<String>,
    ) -> Result<Option<String>, ClusterError> {
        let patch = Patch::Apply(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": LEDGER, "resourceVersion": version},
            "data": ledger.data(),
        }));
        let maps = self.maps();
        // Forced: whoever else wrote into it, it is setup's own.
        let how = PatchParams::apply(FIELD_MANAGER).force();
        let asked = maps.patch(LEDGER, &how, &patch);
        let operation = format!("PATCH {}", self.name());
        Ok(self
            .cluster
            .ask(operation, asked)
            .await?
            .metadata
            .resource_version)
    }

    fn ledger(&self, data: &BTreeMap<String, String>) -> Result<Ledger, BookError> {
        Ledger::read(data).map_err(|(key, cause)| BookError::Unreadable {
            name: self.name(),
            key,
            cause,
        })
    }

    fn maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.ledger_namespace)
    }

    fn name(&self) -> String {
        format!("ConfigMap {}/{LEDGER}", self.cluster.ledger_namespace)
    }
}
