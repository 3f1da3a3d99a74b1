//! The certificates that the webhook makes itself, and the rights that it does it with.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::api::{self, collection, text_of};
use crate::manifests::documents;
use crate::rights::{Right, rights};
use crate::support::free_port;
use crate::webhook::{CONFIGURATIONS, Replica, probe};
use crate::world::{SYSTEM, World};

/// An authority's rotation takes 15 s, and a few more where something is in its way.
const PATIENCE: Duration = Duration::from_secs(40);
const NEWEST: &str = "no authority but the newest";

impl World {
    fn secret(&self) -> String {
        format!("/api/v1/namespaces/{SYSTEM}/secrets/identity-injector-certs")
    }

    pub async fn replicas_share_an_authority(&self) {
        assert_eq!(self.webhook.bundle().await.matches("BEGIN").count(), 1);
        let client = self.webhook.client().await;
        for replica in &self.webhook.replicas {
            let url = format!("https://127.0.0.1:{}/", replica.port);
            assert_eq!(client.get(url).send().await.unwrap().status(), 404);
        }
        assert_eq!(self.webhook.printed().matches("a new authority").count(), 1);
    }

    /// What makes or needs new certificates, while pods are created in dry runs.
    pub async fn rotates_under_load(&self) {
        let (created, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let load = async {
            let start = Instant::now();
            let mut slowest = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                if let Err(refused) = self.webhook.dry_run_pod("walk").await {
                    panic!("after {:.1?}: {refused}", start.elapsed());
                }
                slowest = slowest.max(asked.elapsed());
                let count = created.fetch_add(1, Ordering::Relaxed) + 1;
                let next = start + Duration::from_millis(10) * u32::try_from(count).unwrap();
                tokio::time::sleep_until(next.into()).await;
            }
            (start.elapsed(), slowest)
        };
        let scenes = async {
            self.rotates("a leaf is asked for", "leaf", async || {
                self.ask("leaf").await;
            })
            .await;
            let ask = async || self.ask("authority").await;
            self.rotates("an authority is asked for", NEWEST, ask).await;
            let delete = async || self.api.delete(&self.secret()).await;
            self.rotates("the Secret is deleted", NEWEST, delete).await;
            let torn = async || {
                let data = json!({"data": {"tls.crt": "Z2FyYmFnZQ=="}});
                self.api.patch(&self.secret(), &data).await;
            };
            self.rotates("its leaf is torn", "whom API servers believe", torn)
                .await;
            stop.store(true, Ordering::Relaxed);
        };
        let ((took, slowest), ()) = tokio::join!(load, scenes);
        let created = created.into_inner();
        println!("       {created} pods in {took:.1?}, none failed, the slowest in {slowest:.1?}");
    }

    /// The API server restarts while a new authority is on its way: whenever it answers, it believes what is served.
    pub async fn rotates_across_a_restart(&self) {
        let start = Instant::now();
        let before = self.webhook.printed().matches(NEWEST).count();
        self.ask("authority").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.cluster.restart_api_server();
        let (mut created, mut away) = (0, 0);
        let pods = "/api/v1/namespaces/walk/pods?dryRun=All";
        while self.webhook.printed().matches(NEWEST).count() == before {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{}",
                self.webhook.printed()
            );
            match self.api.try_post(pods, &probe()).await {
                None => away += 1,
                Some(Ok(_)) => created += 1,
                // Its own start, but nothing that a webhook has to do with.
                Some(Err(status)) => {
                    let message = status["message"].as_str().unwrap_or_default();
                    assert!(!message.contains("webhook"), "{status}");
                    away += 1;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let took = start.elapsed();
        println!(
            "       {created} pods, none failed; {away} times no API server; at rest after {took:.1?}"
        );
        assert!(created > 0 && away > 0);
    }

    async fn ask(&self, what: &str) {
        let annotations = json!({"identity-injector.io/rotate": what});
        let change = json!({"metadata": {"annotations": annotations}});
        self.api.patch(&self.secret(), &change).await;
    }

    /// Something happens; the keeper ends with that step, and all is as one leaf of one authority again.
    async fn rotates(&self, scene: &str, last: &str, happens: impl AsyncFnOnce()) {
        let start = Instant::now();
        let before = self.webhook.printed().matches(last).count();
        happens().await;
        api::until(scene, PATIENCE, async || {
            self.webhook.printed().matches(last).count() > before
                && self.webhook.bundle().await.matches("BEGIN").count() == 1
        })
        .await;
        let secret = self.api.get(&self.secret()).await;
        assert_eq!(
            text_of(&secret["data"]["ca.crt"]),
            self.webhook.bundle().await,
            "{scene}"
        );
        println!("       {scene}: at rest after {:.1?}", start.elapsed());
    }

    /// Each verb of each rule is taken away in turn: a replica that then starts, and has all its work to do, says
    /// which right it lacks. So there is no right too many, and none that is missing goes unnamed.
    pub async fn each_right_is_needed(&self) {
        for replica in &self.webhook.replicas {
            replica.end();
        }
        let rights = rights(&documents("manifests/base/rbac.yaml"));
        for right in &rights {
            let account = format!("{SYSTEM}:identity-injector");
            let lacks = async || self.lacks(right).await;
            self.lacking(&account, right, lacks).await;
        }
        println!("       {} rights, each needed", rights.len());
    }

    /// A replica that has everything to do says in its log, or in an answer, that it may not.
    async fn lacks(&self, right: &Right) {
        self.api.delete(&self.secret()).await;
        let lease =
            format!("/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/identity-injector");
        self.api.delete(&lease).await;
        let configuration = format!("{CONFIGURATIONS}/identity-injector");
        let blank =
            json!([{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": ""}]);
        self.api.patch_json(&configuration, &blank).await;
        let replica = self.webhook.replica(free_port());
        let needle = right.missed();
        let start = Instant::now();
        let mut rotates = false;
        loop {
            let said = replica.program.printed() + &replica.answers_about_strangers().await;
            // The log quotes what holds quotes.
            if said.replace('\\', "").contains(&needle) {
                break;
            }
            if !rotates && said.contains("caBundle of") {
                self.ask("authority").await;
                rotates = true;
            }
            assert!(
                start.elapsed() < Duration::from_secs(40),
                "nobody says {needle}:\n{said}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // What was deleted is there again for the next, whatever this one may do.
        for object in documents("manifests/base/certificate.yaml") {
            let _ = self
                .api
                .post(&collection(&object, SYSTEM).unwrap(), &object.to_string())
                .await;
        }
    }
}

impl Replica {
    /// Asks it to leave.
    fn end(&self) {
        let id = self.program.id().to_string();
        let status = Command::new("kill").arg("-TERM").arg(id).status();
        assert!(status.unwrap().success());
    }

    /// What it says of a pod whose Namespace and ServiceAccount it has to ask for.
    async fn answers_about_strangers(&self) -> String {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "e2e", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
            "namespace": "nowhere", "object": {
                "metadata": {"labels": {"azure.workload.identity/use": "true"}},
                "spec": {"serviceAccountName": "nobody", "containers": [{"name": "app"}]},
            },
        }});
        let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true);
        let client = client.no_proxy().build().unwrap();
        let url = format!("https://127.0.0.1:{}/mutate-v1-pod?timeout=1s", self.port);
        match client.post(url).json(&review).send().await {
            Ok(reply) => reply.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }
}
