//! One open watch: what was, what changes, and the bookmark at its end, as lines of JSON.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use crate::kind::{Key, Kind};
use crate::object::{Form, metadata};
use crate::server::Server;

/// What a client watches.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) kind: Kind,
    /// None for all namespaces.
    pub(crate) namespace: Option<String>,
    /// None for all names.
    pub(crate) name: Option<String>,
    pub(crate) form: Form,
    pub(crate) bookmarks: bool,
    /// When the server ends the watch.
    pub(crate) until: Instant,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// With all objects there are, then the changes.
    Now,
    /// As `Now`, with a bookmark between the two: a streaming list.
    NowMarked,
    /// With the changes after a version.
    After(u64),
}

struct Watch {
    server: Arc<Server>,
    scope: Scope,
    /// All changes up to here are sent or pending.
    version: u64,
    pending: VecDeque<Value>,
    changed: Receiver<u64>,
    paused: Receiver<bool>,
    ended: bool,
}

/// The body of the answer. It breaks off with an error when the server is paused.
pub(crate) fn lines(
    server: Arc<Server>,
    scope: Scope,
    start: Start,
) -> impl Stream<Item = Result<Bytes, io::Error>> {
    futures::stream::unfold(Watch::open(server, scope, start), |mut watch| async move {
        let line = watch.next().await?;
        Some((line, watch))
    })
}

impl Scope {
    fn has(&self, name: &str) -> bool {
        self.name.as_deref().is_none_or(|it| it == name)
    }
}

impl Watch {
    fn open(server: Arc<Server>, scope: Scope, start: Start) -> Self {
        let paused = server.paused();
        let store = server.store();
        let changed = store.subscribe();
        let now = store.version();
        let mut pending = VecDeque::new();
        let mut ended = false;
        let version = match start {
            Start::After(version) => {
                if let Err(refusal) = store.reaches(version) {
                    // The real server too says this in an event, after a 200.
                    pending.push_back(event("ERROR", &refusal.status()));
                    ended = true;
                }
                version
            }
            Start::Now | Start::NowMarked => {
                let objects = store.list(scope.kind, scope.namespace.as_deref());
                pending.extend(
                    objects
                        .iter()
                        .filter(|object| scope.has(metadata(object, "name")))
                        .map(|object| event("ADDED", &scope.form.of(object))),
                );
                now
            }
        };
        if start == Start::NowMarked && scope.bookmarks {
            let last = json!({"k8s.io/initial-events-end": "true"});
            pending.push_back(bookmark(&scope, now, &last));
        }
        drop(store);
        Self {
            server,
            scope,
            version,
            pending,
            changed,
            paused,
            ended,
        }
    }

    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(Ok(Bytes::from(format!("{event}\n"))));
            }
            if self.ended {
                return None;
            }
            self.changed.borrow_and_update();
            self.collect();
            if self.pending.is_empty() && !self.ended && self.wait().await == Woken::Paused {
                self.ended = true;
                return Some(Err(io::Error::other("the server is paused")));
            }
        }
    }

    /// Takes what has changed since `version`.
    fn collect(&mut self) {
        let store = self.server.store();
        match store.events_after(self.version) {
            Err(refusal) => {
                self.pending.push_back(event("ERROR", &refusal.status()));
                self.ended = true;
            }
            Ok(changes) => {
                let scope = &self.scope;
                let seen = |key: &Key| {
                    let namespace = scope.namespace.as_deref();
                    namespace.is_none_or(|it| it == key.namespace) && scope.has(&key.name)
                };
                self.pending.extend(
                    changes
                        .filter(|it| it.key.kind == scope.kind && seen(&it.key))
                        .map(|it| event(it.change.event_type(), &scope.form.of(&it.object))),
                );
                self.version = self.version.max(store.version());
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        let paused = async {
            // An error means that the server is gone, which looks the same to a client.
            let _ = self.paused.wait_for(|paused| *paused).await;
        };
        tokio::select! {
            biased;
            () = paused => Woken::Paused,
            _ = self.changed.changed() => Woken::Changed,
            () = tokio::time::sleep_until(self.scope.until) => {
                self.ended = true;
                if self.scope.bookmarks {
                    self.pending.push_back(bookmark(&self.scope, self.version, &json!({})));
                }
                Woken::Changed
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Woken {
    Changed,
    Paused,
}

fn event(event_type: &str, object: &Value) -> Value {
    json!({"type": event_type, "object": object})
}

fn bookmark(scope: &Scope, version: u64, annotations: &Value) -> Value {
    let metadata = json!({"resourceVersion": version.to_string(), "annotations": annotations});
    let object = json!({"kind": scope.kind.name(), "apiVersion": scope.kind.api_version(), "metadata": metadata});
    event("BOOKMARK", &scope.form.of(&object))
}
