//! A proxy that is killed, and one that has much to do.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::until;
use crate::pods::{self, PATIENCE, pod};
use crate::world::{World, run};

/// How long the retries of the Azure SDKs bridge a proxy that is gone, at least (azure-protocols.md).
const RETRIES: Duration = Duration::from_secs(5);

impl World {
    pub async fn killed_proxy_is_healed(&self) {
        self.create_pod("walk", &pod("killed", &[])).await;
        let path = pods::path("walk", "killed");
        let ready = self.ready(&path).await;
        self.assert_tokens(&path, "app").await;
        let proxy = World::process(&ready, "/identity-injector proxy").unwrap();
        let start = Instant::now();
        run(Command::new("kill").args(["-KILL", &proxy.to_string()]));
        let mut answers = Vec::new();
        until("both endpoints give tokens again", PATIENCE, async || {
            answers = self.answers(&path, "app").await;
            let again = answers.split_off(2.min(answers.len()));
            let failed = again.iter().filter(|answer| answer.status != 200).count();
            failed > 0
                && ["imds", "app-service"].iter().all(|endpoint| {
                    again
                        .iter()
                        .rfind(|answer| answer.endpoint == *endpoint)
                        .is_none_or(|last| last.status == 200)
                })
        })
        .await;
        let healed = start.elapsed();
        println!("       killed, and healed after {healed:.1?}");
        assert!(healed < RETRIES, "{healed:?}");
        let restarted = |pod: &Value| pods::status(pod, "azwi-proxy")["restartCount"] == 1;
        self.pod_until(&path, "restarted once", restarted).await;
        self.api.delete(&path).await;
    }

    /// 64 connections at a time for ten seconds.
    pub async fn load_fits_the_limit(&self) {
        let mut pod = pod("loaded", &["load", "64", "10"]);
        pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
        self.create_pod("walk", &pod).await;
        let path = pods::path("walk", "loaded");
        let ended = self.succeeded(&path).await;
        let log = self.api.text(&format!("{path}/log?container=app")).await;
        println!("       tokens and failures: {}", log.trim());
        assert!(log.trim().ends_with(" 0"), "{log}");
        assert_eq!(
            pods::status(&ended, "azwi-proxy")["restartCount"],
            0,
            "{ended}"
        );
        self.api.delete(&path).await;
    }
}
