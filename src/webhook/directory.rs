//! ServiceAccounts and Namespaces by metadata watch, trimmed to our annotations; a live GET where one is not known yet.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::Semaphore;

use super::ready::Pending;
use crate::inject::Annotations;

/// Live GETs at one time; more wait, within their deadline.
const LIVE_LOOKUPS: usize = 16;
/// Objects of one page of a list. The usual 500 leave 4 MB more of freed memory behind.
const PAGE: u32 = 100;

/// What the cluster says of ServiceAccounts and Namespaces.
#[derive(Clone)]
pub struct Directory {
    client: kube::Client,
    service_accounts: Store,
    namespaces: Store,
    live: Arc<Semaphore>,
}

/// An object that could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The API server did not answer in time.
    #[error("{object} is not cached and the API server did not answer within {}ms", .within.as_millis())]
    Timeout {
        /// The object.
        object: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// The API server refused.
    #[error("{object} is not cached and the API server does not give it: {source}")]
    Refused {
        /// The object.
        object: String,
        /// Its words.
        source: kube::Error,
    },
}

/// Objects by `namespace/name`, or by name alone.
#[derive(Clone, Default)]
struct Store(Arc<RwLock<HashMap<Box<str>, Annotations>>>);

impl Directory {
    /// An empty directory; [`Directory::watch`] fills it.
    #[must_use]
    pub fn new(client: kube::Client) -> Self {
        let live = Arc::new(Semaphore::new(LIVE_LOOKUPS));
        Directory {
            client,
            service_accounts: Store::default(),
            namespaces: Store::default(),
            live,
        }
    }

    /// Watches both kinds for ever. The guards are dropped when the first list of each is whole.
    pub async fn watch(self, service_accounts: Pending, namespaces: Pending) {
        let accounts: Api<PartialObjectMeta<ServiceAccount>> = Api::all(self.client.clone());
        let spaces: Api<PartialObjectMeta<Namespace>> = Api::all(self.client);
        tokio::join!(
            follow(
                "serviceaccounts",
                accounts,
                self.service_accounts,
                service_accounts
            ),
            follow("namespaces", spaces, self.namespaces, namespaces)
        );
    }

    /// A ServiceAccount's annotations; none where there is no such ServiceAccount.
    ///
    /// # Errors
    /// When it is not cached and the API server does not answer.
    pub async fn service_account(
        &self,
        namespace: &str,
        name: &str,
        within: Duration,
    ) -> Result<Option<Annotations>, LookupError> {
        if let Some(known) = self.service_accounts.get(&format!("{namespace}/{name}")) {
            return Ok(Some(known));
        }
        let api: Api<PartialObjectMeta<ServiceAccount>> =
            Api::namespaced(self.client.clone(), namespace);
        self.live(
            format!("ServiceAccount {namespace}/{name}"),
            within,
            api.get_opt(name),
        )
        .await
    }

    /// A Namespace's annotations; none where there is no such Namespace.
    ///
    /// # Errors
    /// When it is not cached and the API server does not answer.
    pub async fn namespace(
        &self,
        name: &str,
        within: Duration,
    ) -> Result<Option<Annotations>, LookupError> {
        if let Some(known) = self.namespaces.get(name) {
            return Ok(Some(known));
        }
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
        self.live(format!("Namespace {name}"), within, api.get_opt(name))
            .await
    }

    async fn live<K>(
        &self,
        object: String,
        within: Duration,
        get: impl Future<Output = kube::Result<Option<PartialObjectMeta<K>>>>,
    ) -> Result<Option<Annotations>, LookupError> {
        let bounded = async {
            // The semaphore is never closed.
            let _permit = self.live.acquire().await.ok();
            get.await
        };
        match tokio::time::timeout(within, bounded).await {
            Err(_) => Err(LookupError::Timeout { object, within }),
            Ok(Err(source)) => Err(LookupError::Refused { object, source }),
            Ok(Ok(found)) => Ok(found.map(|found| annotations(&found.metadata))),
        }
    }
}

impl Store {
    fn get(&self, key: &str) -> Option<Annotations> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    fn change(&self, with: impl FnOnce(&mut HashMap<Box<str>, Annotations>)) {
        with(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

async fn follow<K>(
    kind: &'static str,
    api: Api<PartialObjectMeta<K>>,
    store: Store,
    pending: Pending,
) where
    PartialObjectMeta<K>:
        kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let config = watcher::Config::default().page_size(PAGE);
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut pending = Some(pending);
    let mut listed = HashMap::new();
    let mut failing = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if std::mem::take(&mut failing) {
                    tracing::info!(kind, "watch recovered");
                }
                match event {
                    Event::Init => listed = HashMap::new(),
                    Event::InitApply(object) => {
                        listed.insert(key(&object.metadata), annotations(&object.metadata));
                    }
                    Event::InitDone => {
                        let whole = std::mem::take(&mut listed);
                        store.change(|objects| *objects = whole);
                        pending = None;
                    }
                    Event::Apply(object) => store.change(|objects| {
                        objects.insert(key(&object.metadata), annotations(&object.metadata));
                    }),
                    Event::Delete(object) => store.change(|objects| {
                        objects.remove(&key(&object.metadata));
                    }),
                }
            }
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(kind, %error, ready = pending.is_none(), "watch failed; what is cached goes on");
            }
            Err(_) => {}
        }
    }
}

fn key(metadata: &ObjectMeta) -> Box<str> {
    let name = metadata.name.as_deref().unwrap_or_default();
    match &metadata.namespace {
        Some(namespace) => format!("{namespace}/{name}").into(),
        None => name.into(),
    }
}

fn annotations(metadata: &ObjectMeta) -> Annotations {
    metadata.annotations.iter().flatten().collect()
}
