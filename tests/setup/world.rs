//! A small Azure and cluster with a memory, that can die on its caller after any write.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::peers::{Call, Peer, Reply, arm_error, kube_error, reply};

/// All objects by their path, without the query.
pub type Objects = BTreeMap<String, Value>;

#[derive(Debug)]
pub struct World(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    objects: Objects,
    writes: usize,
    last_answered_write: Option<usize>,
}

impl World {
    /// A world with this namespace, the ledger's, and nothing else.
    pub fn with_namespace(name: &str) -> Arc<Self> {
        let namespace = |name: &str| {
            let path = format!("/api/v1/namespaces/{name}");
            (path, json!({"metadata": {"name": name}}))
        };
        Arc::new(Self(Mutex::new(State {
            objects: Objects::from([name, "system"].map(namespace)),
            ..State::default()
        })))
    }

    pub fn objects(&self) -> Objects {
        self.0.lock().unwrap().objects.clone()
    }

    /// Writes seen since this was asked last.
    pub fn take_writes(&self) -> usize {
        std::mem::take(&mut self.0.lock().unwrap().writes)
    }

    /// From now on, `writes` writes are answered; the next one is done but not answered. `None`: all are answered.
    pub fn die_after(&self, writes: Option<usize>) {
        self.0.lock().unwrap().last_answered_write = writes;
    }
}

impl Peer for World {
    fn answer(&self, call: Call) -> Option<Reply> {
        let mut state = self.0.lock().unwrap();
        let mut words = call.line.split(' ');
        let (peer, method, target) = (words.next()?, words.next()?, words.next()?);
        let path = target.split('?').next()?.to_owned();
        if method == "GET" {
            return Some(state.get(peer, &path));
        }
        state.writes += 1;
        let path = match (method, call.body["metadata"]["name"].as_str()) {
            ("POST", Some(name)) => format!("{path}/{name}"),
            _ => path,
        };
        let object = state.write(&path, call.body);
        match state.last_answered_write {
            Some(last) if state.writes > last => None,
            _ => Some(reply(200, object)),
        }
    }
}

impl State {
    fn get(&self, peer: &str, path: &str) -> Reply {
        if path == "/.well-known/openid-configuration" {
            return reply(200, json!({"issuer": "https://issuer.test/"}));
        }
        if path.ends_with("/federatedIdentityCredentials") {
            let below = format!("{path}/");
            let items = self.objects.iter().filter(|(at, _)| at.starts_with(&below));
            let value: Vec<_> = items.map(|(_, object)| object).collect();
            return reply(200, json!({"value": value}));
        }
        match self.objects.get(path) {
            Some(object) => reply(200, object.clone()),
            None if peer == "arm" => arm_error(404, "ResourceNotFound", "not there"),
            None => kube_error(404, "NotFound", "not there"),
        }
    }

    fn write(&mut self, path: &str, mut object: Value) -> Value {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        object["name"] = json!(name);
        let parent = path.rsplit('/').nth(1);
        if parent == Some("userAssignedIdentities") {
            let client_id = format!("client-of-{name}");
            object["properties"] =
                json!({"clientId": client_id, "tenantId": "tenant", "principalId": "p"});
        }
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}
