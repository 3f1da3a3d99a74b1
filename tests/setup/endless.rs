//! What Azure would go on with for ever ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::peers::{Call, Peer, Reply, arm_error, reply};
use crate::{desired, identity_path, look_at, run};

/// A peer that has all but the credential, gives `credentials` as their list, and refuses to write with `refusal`.
#[derive(Debug)]
pub struct Stubborn {
    credentials: Value,
    refusal: Option<Reply>,
    calls: AtomicUsize,
}

impl Stubborn {
    pub fn new(credentials: Value, refusal: impl Into<Option<Reply>>) -> Arc<Self> {
        Arc::new(Self {
            credentials,
            refusal: refusal.into(),
            calls: AtomicUsize::default(),
        })
    }
}

impl Peer for Stubborn {
    fn answer(&self, call: Call) -> Option<Reply> {
        // A caller without an end would never let the paused clock go on.
        if self.calls.fetch_add(1, Ordering::Relaxed) > 1000 {
            return None;
        }
        if call.line.contains("/configmaps") {
            return Some(reply(200, json!({"metadata": {}})));
        }
        if call.line.starts_with("arm PUT") {
            return self.refusal.clone();
        }
        if call.line.contains("/federatedIdentityCredentials") {
            return Some(reply(200, self.credentials.clone()));
        }
        let mut well = look_at(&[]).into_iter();
        let known = well.find(|(known, _)| *known == call);
        known.map(|(_, reply)| reply)
    }
}

#[tokio::test(start_paused = true)]
async fn ends_what_azure_would_go_on_with_for_ever() {
    let throttled = Reply {
        headers: vec![("retry-after", "0")],
        ..arm_error(429, "TooManyRequests", "slow down")
    };
    let path = identity_path();
    let again = format!("https://management.azure.com{path}/federatedIdentityCredentials");
    let table = [
        (
            "throttling without a wait",
            json!({"value": []}),
            Some(throttled),
            "429 TooManyRequests",
        ),
        (
            "a page that is its own next",
            json!({"value": [], "nextLink": again}),
            None,
            "the list does not end",
        ),
    ];
    for (name, credentials, refusal, said) in table {
        let peer = Stubborn::new(credentials, refusal);
        let desired = desired();
        let run = timeout(Duration::from_secs(3600), run(&desired, peer));
        let error = run.await.expect(name).unwrap_err().to_string();
        assert!(error.contains(said), "{name}: {error}");
    }
}
