//! ServiceAccounts and Namespaces by metadata watch, trimmed to our annotations; a live GET where one is not known yet.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::Semaphore;

use super::metrics::Lookups;
use super::ready::Pending;
use crate::inject::Annotations;
use crate::kubernetes::{is_dns_label, is_dns_subdomain};
use crate::names;
use crate::reason::reason;

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
    lookups: Lookups,
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
    #[error("{object} is not cached and the API server does not give it: {}", reason(.source))]
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
    pub fn new(client: kube::Client, lookups: Lookups) -> Self {
        let live = Arc::new(Semaphore::new(LIVE_LOOKUPS));
        Directory {
            client,
            service_accounts: Store::default(),
            namespaces: Store::default(),
            live,
            lookups,
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
        deadline: Instant,
    ) -> Result<Option<Annotations>, LookupError> {
        if let Some(known) = self.service_accounts.get(&format!("{namespace}/{name}")) {
            self.lookups.cached.inc();
            return Ok(Some(known));
        }
        // It would become part of a path.
        if !is_dns_label(namespace) || !is_dns_subdomain(name) {
            return Ok(None);
        }
        let api: Api<PartialObjectMeta<ServiceAccount>> =
            Api::namespaced(self.client.clone(), namespace);
        let object = format!("ServiceAccount {namespace}/{name}");
        let live = self.live(object, deadline, api.get_opt(name)).await;
        let counter = match &live {
            Ok(Some(_)) => &self.lookups.found,
            Ok(None) => &self.lookups.missing,
            Err(LookupError::Timeout { .. }) => &self.lookups.timeout,
            Err(LookupError::Refused { .. }) => &self.lookups.refused,
        };
        counter.inc();
        live
    }

    /// A ServiceAccount's annotations, where they are known already.
    #[must_use]
    pub fn cached_service_account(&self, namespace: &str, name: &str) -> Option<Annotations> {
        self.service_accounts.get(&format!("{namespace}/{name}"))
    }

    /// Whether a Namespace is cached, which a new one is a moment after it was made.
    #[must_use]
    pub fn knows_namespace(&self, name: &str) -> bool {
        self.namespaces.read().contains_key(name)
    }

    /// A Namespace's annotations; none where there is no such Namespace.
    ///
    /// # Errors
    /// When it is not cached and the API server does not answer.
    pub async fn namespace(
        &self,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<Annotations>, LookupError> {
        if let Some(known) = self.namespaces.get(name) {
            return Ok(Some(known));
        }
        if !is_dns_label(name) {
            return Ok(None);
        }
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
        self.live(format!("Namespace {name}"), deadline, api.get_opt(name))
            .await
    }

    async fn live<K>(
        &self,
        object: String,
        deadline: Instant,
        get: impl Future<Output = kube::Result<Option<PartialObjectMeta<K>>>>,
    ) -> Result<Option<Annotations>, LookupError> {
        let bounded = async {
            // The semaphore is never closed.
            let _permit = self.live.acquire().await.ok();
            get.await
        };
        let within = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(within, bounded).await {
            Err(_) => Err(LookupError::Timeout { object, within }),
            Ok(Err(source)) => Err(LookupError::Refused { object, source }),
            Ok(Ok(found)) => Ok(found.map(|found| annotations(&found.metadata))),
        }
    }
}

impl Store {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<Box<str>, Annotations>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &str) -> Option<Annotations> {
        self.read().get(key).cloned()
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
                let reason = reason(&error);
                tracing::warn!(
                    kind,
                    reason,
                    ready = pending.is_none(),
                    "watch failed; what is cached goes on"
                );
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
    let labels = metadata.labels.as_ref();
    let level = labels.and_then(|labels| labels.get(names::POD_SECURITY));
    let annotations: Annotations = metadata.annotations.iter().flatten().collect();
    annotations.with_pod_security(level.map(String::as_str))
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;

    use super::*;
    use crate::webhook::metrics::Metrics;

    /// A client whose every request is answered so; never, where there is no status.
    fn client(status: Option<u16>) -> kube::Client {
        let answer = move |_: Request<Body>| async move {
            let Some(status) = status else {
                return std::future::pending().await;
            };
            let object = match status {
                200 => r#"{"kind":"PartialObjectMetadata","metadata":{}}"#,
                404 => r#"{"kind":"Status","reason":"NotFound","code":404}"#,
                _ => "",
            };
            let body = Body::from(object.as_bytes().to_vec());
            Response::builder().status(status).body(body)
        };
        kube::Client::new(tower::service_fn(answer), "default")
    }

    #[tokio::test(start_paused = true)]
    async fn counts_look_ups_by_where_and_how_they_ended() {
        let table = [
            ("cached", None, [1, 0, 0, 0, 0]),
            ("app", Some(200), [0, 1, 0, 0, 0]),
            ("app", Some(404), [0, 0, 1, 0, 0]),
            ("app", None, [0, 0, 0, 1, 0]),
            ("app", Some(500), [0, 0, 0, 0, 1]),
        ];
        for (name, status, expected) in table {
            let lookups = Metrics::default().lookups;
            let directory = Directory::new(client(status), lookups.clone());
            directory.service_accounts.change(|objects| {
                objects.insert("shop/cached".into(), Annotations::default());
            });
            let deadline = Instant::now() + Duration::from_secs(1);
            let found = directory.service_account("shop", name, deadline).await;
            let counted = [
                lookups.cached,
                lookups.found,
                lookups.missing,
                lookups.timeout,
                lookups.refused,
            ];
            let counted = counted.map(|counter| counter.get());
            assert_eq!(counted, expected, "{name} {status:?}: {found:?}");
        }
    }

    /// A path would be made of it.
    #[tokio::test(start_paused = true)]
    async fn a_name_that_nothing_can_have_is_not_asked_for() {
        let directory = Directory::new(client(None), Metrics::default().lookups);
        let deadline = Instant::now() + Duration::from_secs(1);
        for (namespace, name) in [
            ("shop", ""),
            ("shop", "../secrets/key"),
            ("shop", "app?watch=true"),
            ("shop", "App"),
            ("", "app"),
            ("shop/secrets", "app"),
        ] {
            let found = directory.service_account(namespace, name, deadline).await;
            assert!(
                matches!(found, Ok(None)),
                "{namespace:?} {name:?}: {found:?}"
            );
        }
        for name in ["", "shop/pods", "a.b"] {
            let found = directory.namespace(name, deadline).await;
            assert!(matches!(found, Ok(None)), "{name:?}: {found:?}");
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("client error (Connect)")]
    struct NotConnected(#[source] std::io::Error);

    #[tokio::test]
    async fn a_refused_look_up_says_its_cause() {
        let refuse = |_: Request<Body>| async {
            let cause = std::io::Error::other("Connection refused");
            Err::<Response<Body>, _>(NotConnected(cause))
        };
        let client = kube::Client::new(tower::service_fn(refuse), "default");
        let directory = Directory::new(client, Metrics::default().lookups);
        let deadline = Instant::now() + Duration::from_secs(1);
        let refused = directory.namespace("shop", deadline).await.unwrap_err();
        let sentence = refused.to_string();
        assert!(
            sentence.ends_with("(Connect): Connection refused"),
            "{sentence}"
        );
    }
}
