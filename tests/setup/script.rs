//! A peer that knows the exact calls that are to come: another one is an error, and so is one that stays away.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::peers::{Call, Peer, Reply, kube_error, reply};

#[derive(Debug)]
pub struct Script {
    expected: Mutex<VecDeque<(Call, Reply)>>,
    wrong: Mutex<Vec<String>>,
    /// The ledger's ConfigMap. Calls about it and its namespace are not part of a script.
    ledger: Mutex<Option<Value>>,
}

impl Script {
    pub fn new(exchanges: impl IntoIterator<Item = (Call, Reply)>) -> Arc<Self> {
        Arc::new(Self {
            expected: Mutex::new(exchanges.into_iter().collect()),
            wrong: Mutex::default(),
            ledger: Mutex::default(),
        })
    }

    /// Fails unless all calls came, and no other.
    pub fn finish(&self) {
        assert_eq!(
            *self.wrong.lock().unwrap(),
            Vec::<String>::new(),
            "wrong calls"
        );
        let missing: Vec<_> = self
            .expected
            .lock()
            .unwrap()
            .drain(..)
            .map(|(call, _)| call.line)
            .collect();
        assert_eq!(missing, Vec::<String>::new(), "missing calls");
    }
}

impl Script {
    /// The ledger's ConfigMap.
    pub fn ledger(&self) -> Value {
        self.ledger.lock().unwrap().clone().unwrap_or_default()
    }

    fn keep(&self, call: Call) -> Reply {
        let mut ledger = self.ledger.lock().unwrap();
        if !call.line.starts_with("k8s GET") {
            *ledger = Some(call.body);
        }
        match &*ledger {
            Some(object) => reply(200, object.clone()),
            None => kube_error(404, "NotFound", "not there"),
        }
    }
}

impl Peer for Script {
    fn answer(&self, call: Call) -> Option<Reply> {
        if call.line == "k8s GET /api/v1/namespaces/system" {
            return Some(reply(200, json!({"metadata": {"name": "system"}})));
        }
        if call.line.contains("/configmaps") {
            return Some(self.keep(call));
        }
        match self.expected.lock().unwrap().pop_front() {
            Some((expected, reply)) if expected == call => Some(reply),
            expected => {
                let expected = expected.map(|(call, _)| call);
                let wrong = format!("{call:?} instead of {expected:?}");
                self.wrong.lock().unwrap().push(wrong);
                Some(reply(418, Value::Null))
            }
        }
    }
}
