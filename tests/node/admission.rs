//! The webhook as a Deployment behind its Service: one of two replicas goes while pods are made.

use std::time::{Duration, Instant};

use crate::api::until;
use crate::pods::{self, PATIENCE, pod};
use crate::world::{SYSTEM, World};

const LASTS: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(10);

impl World {
    pub async fn replica_goes(&self) {
        let victim = self.webhook_pods().await.swap_remove(0);
        let victim = pods::path(SYSTEM, victim["metadata"]["name"].as_str().unwrap());
        self.none_fails_while(async {
            tokio::time::sleep(LASTS / 5).await;
            self.api.delete(&victim).await;
            tokio::time::sleep(LASTS * 4 / 5).await;
        })
        .await;
        self.both_replicas_are_ready().await;
    }

    /// Creates pods in dry runs, 100 a second, until that is done: each is injected.
    pub async fn none_fails_while(&self, done: impl Future<Output = ()>) {
        let start = Instant::now();
        let body = pod("admitted", &["once"]).to_string();
        let mut pace = tokio::time::interval(EVERY);
        let mut made = Vec::new();
        let mut done = std::pin::pin!(done);
        loop {
            tokio::select! {
                () = &mut done => break,
                _ = pace.tick() => {}
            }
            let api = crate::api::Api(self.api.0.clone());
            let body = body.clone();
            made.push(tokio::spawn(async move {
                let path = "/api/v1/namespaces/walk/pods?dryRun=All";
                let made = api.post(path, &body).await;
                made.map(|pod| pod["spec"]["initContainers"].is_array())
            }));
        }
        let (count, lasted) = (made.len(), start.elapsed());
        let made = futures::future::join_all(made).await;
        let made = made.into_iter().map(Result::unwrap);
        let failed: Vec<_> = made.filter(|made| *made != Ok(true)).collect();
        let not = failed.len();
        println!("       {count} pods in {lasted:.1?}, {not} not injected");
        assert!(failed.is_empty(), "{failed:?}");
    }

    pub async fn both_replicas_are_ready(&self) {
        until("both replicas are ready", PATIENCE, async || {
            let pods = self.webhook_pods().await;
            pods.len() == 2 && pods.iter().all(pods::is_ready)
        })
        .await;
    }
}
