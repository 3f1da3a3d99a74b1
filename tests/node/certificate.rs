//! The webhook's certificates on two replicas behind their Service: each kind of rotation, under load.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::{text_of, until};
use crate::pods;
use crate::world::{SYSTEM, World};

const LEAVES: usize = 10;
/// An authority's rotation, and a new keeper that starts its waiting anew.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a keeper logs at each step of it.
const STEPS: [&str; 4] = [
    "a new authority",
    "caBundle of MutatingWebhookConfiguration",
    "a new leaf",
    "no authority but the newest",
];

impl World {
    /// Ten leaves; then authorities, and whoever makes one goes after the first step, after the second, ...
    pub async fn rotates_under_load(&self) {
        self.none_fails_while(async {
            let start = Instant::now();
            for _ in 0..LEAVES {
                self.rotate("leaf", None).await;
            }
            println!("       {LEAVES} leaves in {:.1?}", start.elapsed());
            for step in STEPS {
                let start = Instant::now();
                self.rotate("authority", Some(step)).await;
                println!(
                    "       an authority, its keeper gone after {step:?}: {:.1?}",
                    start.elapsed()
                );
                self.both_replicas_are_ready().await;
            }
        })
        .await;
    }

    async fn rotate(&self, what: &str, keeper_goes_after: Option<&str>) {
        let key = match what {
            "leaf" => "tls.crt",
            _ => "ca.crt",
        };
        let path = format!("/api/v1/namespaces/{SYSTEM}/secrets/identity-injector-certs");
        let before = self.api.get(&path).await["data"][key].clone();
        let annotations = json!({"identity-injector.io/rotate": what});
        let keeper = self.keeper().await;
        // The log is read from this second on.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = format!("?sinceTime={:.0}", Timestamp::now());
        self.api
            .patch(&path, &json!({"metadata": {"annotations": annotations}}))
            .await;
        if let Some(step) = keeper_goes_after {
            let taken = async || self.log_of(&keeper, &now).await.contains(step);
            until(step, PATIENCE, taken).await;
            self.api.delete(&pods::path(SYSTEM, &keeper)).await;
        }
        until("one new certificate, believed", PATIENCE, async || {
            let secret = self.api.get(&path).await;
            let kept = text_of(&secret["data"]["ca.crt"]);
            secret["data"][key] != before
                && kept.matches("BEGIN").count() == 1
                && kept == self.bundle().await
        })
        .await;
    }

    async fn bundle(&self) -> String {
        let path =
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/identity-injector";
        let configuration = self.api.get(path).await;
        text_of(&configuration["webhooks"][0]["clientConfig"]["caBundle"])
    }

    /// The pod that leads: the last to say so.
    async fn keeper(&self) -> String {
        let mut keeper = None;
        until("a replica leads", PATIENCE, async || {
            for pod in self.webhook_pods().await {
                let name = name_of(&pod);
                let log = self.log_of(&name, "").await;
                let last = log.lines().rfind(|line| line.contains("leads="));
                if last.is_some_and(|line| line.contains("leads=true")) {
                    keeper = Some(name);
                }
            }
            keeper.is_some()
        })
        .await;
        keeper.unwrap()
    }

    async fn log_of(&self, pod: &str, query: &str) -> String {
        let path = format!("{}/log{query}", pods::path(SYSTEM, pod));
        self.api.text(&path).await
    }
}

fn name_of(pod: &Value) -> String {
    pod["metadata"]["name"].as_str().unwrap().to_owned()
}
