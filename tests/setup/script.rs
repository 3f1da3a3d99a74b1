//! A peer that knows the exact calls that are to come: another one is an error, and so is one that stays away.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::peers::{Call, Peer, Reply, reply};

#[derive(Debug)]
pub struct Script {
    expected: Mutex<VecDeque<(Call, Reply)>>,
    wrong: Mutex<Vec<String>>,
}

impl Script {
    pub fn new(exchanges: impl IntoIterator<Item = (Call, Reply)>) -> Arc<Self> {
        Arc::new(Self {
            expected: Mutex::new(exchanges.into_iter().collect()),
            wrong: Mutex::default(),
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

impl Peer for Script {
    fn answer(&self, call: Call) -> Option<Reply> {
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
