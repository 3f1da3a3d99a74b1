//! The webhook as a Deployment behind its Service: one of two replicas goes while pods are made.

use std::time::{Duration, Instant};

use crate::api::until;
use crate::pods::{self, PATIENCE, pod};
use crate::world::World;

const LASTS: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(10);

impl World {
    pub async fn replica_goes(&self) {
        let victim = self.webhook_pods().await.swap_remove(0);
        let victim = pods::path(
            "identity-injector-system",
            victim["metadata"]["name"].as_str().unwrap(),
        );
        let load = async {
            let (end, body) = (
                Instant::now() + LASTS,
                pod("admitted", &["once"]).to_string(),
            );
            let mut pace = tokio::time::interval(EVERY);
            let mut made = Vec::new();
            while Instant::now() < end {
                pace.tick().await;
                let api = crate::api::Api(self.api.0.clone());
                let body = body.clone();
                made.push(tokio::spawn(async move {
                    let path = "/api/v1/namespaces/walk/pods?dryRun=All";
                    api.post(path, &body)
                        .await
                        .map(|pod| pod["spec"]["initContainers"].is_array())
                }));
            }
            futures::future::join_all(made).await
        };
        let go = async {
            tokio::time::sleep(LASTS / 5).await;
            self.api.delete(&victim).await;
        };
        let (made, ()) = tokio::join!(load, go);
        let count = made.len();
        let failed: Vec<_> = made
            .into_iter()
            .map(Result::unwrap)
            .filter(|made| *made != Ok(true))
            .collect();
        println!(
            "       {count} pods in {LASTS:?}, {} not injected",
            failed.len()
        );
        assert!(failed.is_empty(), "{failed:?}");
        until("two replicas are ready again", PATIENCE, async || {
            self.webhook_pods()
                .await
                .iter()
                .filter(|pod| pods::is_ready(pod))
                .count()
                == 2
        })
        .await;
    }
}
