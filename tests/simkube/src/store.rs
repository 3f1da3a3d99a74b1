//! All objects, the history of their changes, and the one version that counts both.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::kind::{Key, Kind};
use crate::refusal::Refusal;

/// Changes kept for watches that start or resume at an older version.
const HISTORY: usize = 4096;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

impl Change {
    /// The type of the watch event.
    pub(crate) fn event_type(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One change. The object of a deletion carries the version of the deletion.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) version: u64,
    pub(crate) change: Change,
    pub(crate) key: Key,
    pub(crate) object: Arc<Value>,
}

/// The store. Every write raises the version by one and wakes the watches.
pub(crate) struct Store {
    version: watch::Sender<u64>,
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Event>,
    /// The oldest version a watch can start from.
    oldest: u64,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            // Version 0 has a meaning of its own in requests ("any").
            version: watch::Sender::new(1),
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            oldest: 1,
        }
    }

    pub(crate) fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Resolves at each change of the version.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).cloned()
    }

    /// The objects of a kind, by namespace and name.
    pub(crate) fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let chosen = |key: &Key| key.kind == kind && namespace.is_none_or(|it| key.namespace == it);
        self.objects
            .iter()
            .filter(|(key, _)| chosen(key))
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// Creates or replaces. An object that is as it was is not written, as in the real server: same version, no event.
    pub(crate) fn write(&mut self, key: Key, object: Value) -> Arc<Value> {
        let live = self.get(&key);
        if let Some(live) = &live
            && **live == object
        {
            return Arc::clone(live);
        }
        let change = if live.is_some() {
            Change::Modified
        } else {
            Change::Added
        };
        let object = self.record(change, key.clone(), object);
        self.objects.insert(key, Arc::clone(&object));
        object
    }

    /// Deletes, a Namespace with all that is in it. None when there is no such object.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let object = self.objects.remove(key)?;
        if key.kind == Kind::Namespace {
            let inside: Vec<Key> = self
                .objects
                .keys()
                .filter(|it| it.namespace == key.name)
                .cloned()
                .collect();
            for key in inside {
                self.remove(&key);
            }
        }
        Some(self.record(Change::Deleted, key.clone(), Value::clone(&object)))
    }

    /// Whether a watch can start with the changes after a version.
    ///
    /// # Errors
    /// [`Refusal::Expired`] when the history does not reach back that far.
    pub(crate) fn reaches(&self, version: u64) -> Result<(), Refusal> {
        if version < self.oldest {
            return Err(Refusal::Expired {
                asked: version,
                oldest: self.oldest,
            });
        }
        Ok(())
    }

    /// The changes after a version, oldest first.
    ///
    /// # Errors
    /// [`Refusal::Expired`] when some of them are dropped already.
    pub(crate) fn events_after(
        &self,
        version: u64,
    ) -> Result<impl Iterator<Item = &Event>, Refusal> {
        // Versions have no gaps, so a first change beyond the next one means that some are missing.
        if let Some(first) = self.history.front()
            && first.version > version + 1
        {
            return Err(Refusal::Expired {
                asked: version,
                oldest: first.version - 1,
            });
        }
        let first = self
            .history
            .partition_point(|event| event.version <= version);
        Ok(self.history.range(first..))
    }

    /// Lets no watch start from an older version than now's. Open watches go on.
    pub(crate) fn compact(&mut self) {
        self.oldest = self.version();
    }

    fn record(&mut self, change: Change, key: Key, mut object: Value) -> Arc<Value> {
        let version = self.version() + 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let object = Arc::new(object);
        self.history.push_back(Event {
            version,
            change,
            key,
            object: Arc::clone(&object),
        });
        if self.history.len() > HISTORY
            && let Some(dropped) = self.history.pop_front()
        {
            self.oldest = self.oldest.max(dropped.version);
        }
        self.version.send_replace(version);
        object
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, HISTORY, Store};
    use crate::kind::{Key, Kind};
    use crate::refusal::Refusal;
    use serde_json::json;

    fn key(namespace: &str, name: &str) -> Key {
        Key::new(Kind::ConfigMap, namespace, name)
    }

    #[test]
    fn a_write_that_changes_nothing_has_no_event() {
        let mut store = Store::new();
        let first = store.write(key("ns", "a"), json!({"metadata": {"name": "a"}}));
        let again = store.write(key("ns", "a"), (*first).clone());
        assert_eq!(first, again);
        assert_eq!(store.events_after(1).unwrap().count(), 1);
    }

    #[test]
    fn a_namespace_goes_with_what_is_in_it() {
        let mut store = Store::new();
        let namespace = Key::new(Kind::Namespace, "", "ns");
        store.write(namespace.clone(), json!({"metadata": {"name": "ns"}}));
        store.write(key("ns", "a"), json!({"metadata": {"name": "a"}}));
        store.write(key("other", "b"), json!({"metadata": {"name": "b"}}));
        let before = store.version();
        store.remove(&namespace);
        let gone: Vec<_> = store
            .events_after(before)
            .unwrap()
            .map(|event| (event.change, event.key.name.as_str()))
            .collect();
        assert_eq!(gone, [(Change::Deleted, "a"), (Change::Deleted, "ns")]);
        assert_eq!(store.list(Kind::ConfigMap, None).len(), 1);
    }

    #[test]
    fn the_history_is_bounded() {
        let mut store = Store::new();
        for round in 0..=HISTORY {
            store.write(
                key("ns", "a"),
                json!({"data": {"round": round}, "metadata": {}}),
            );
        }
        assert_eq!(
            store.reaches(1),
            Err(Refusal::Expired {
                asked: 1,
                oldest: 2
            })
        );
        assert_eq!(
            store.events_after(1).map(Iterator::count),
            Err(Refusal::Expired {
                asked: 1,
                oldest: 2
            })
        );
        assert_eq!(store.events_after(2).map(Iterator::count), Ok(HISTORY));
    }
}
