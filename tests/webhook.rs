//! The webhook in process: a real TLS listener on loopback, its ServiceAccounts and Namespaces from a small API server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use clap::Parser;
use identity_injector::cli::{Cli, Command};
use identity_injector::webhook;
use serde_json::{Value, json};
use support::Certificates;
use tokio_util::sync::CancellationToken;

const ID: &str = "11111111-2222-3333-4444-555555555555";
const OTHER_ID: &str = "99999999-2222-3333-4444-555555555555";

/// A webhook that serves, and the API server it watches.
struct World {
    kube: simkube::Cluster,
    client: reqwest::Client,
    reviews: String,
    health: String,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<anyhow::Result<identity_injector::exit::Exit>>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start(flags: &[&str]) -> Self {
        // Fails only where another test of this process was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let kube = simkube::start(simkube::Options::default()).await.unwrap();
        let labels = json!({"azure.workload.identity/use": "true"});
        kube.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}})).unwrap();
        kube.put(service_account("app", ID)).unwrap();
        let certificates = Certificates::make(&folder.path().join("certs"));
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, kube.kubeconfig()).unwrap();
        let certs = format!("--cert-dir={}", certificates.directory.display());
        let fixed = [
            "identity-injector",
            "webhook",
            "--bind=127.0.0.1:0",
            "--health=127.0.0.1:0",
            "--tenant-id=t",
            &certs,
        ];
        let Command::Webhook(args) = Cli::parse_from(fixed.iter().chain(flags)).command else {
            unreachable!()
        };
        let client = identity_injector::kubernetes::connect(Some(&kubeconfig))
            .await
            .unwrap();
        let bound = webhook::bind(args, client).await.unwrap();
        let reviews = format!("https://localhost:{}/mutate-v1-pod", bound.reviews.port());
        let health = format!("http://{}", bound.health);
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(bound.run(shutdown.clone()));
        let client = certificates.client();
        let world = World {
            kube,
            client,
            reviews,
            health,
            shutdown,
            serving,
            _folder: folder,
        };
        while world.readyz().await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world
    }

    async fn readyz(&self) -> (u16, String) {
        let reply = reqwest::get(format!("{}/readyz", self.health))
            .await
            .unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    }

    async fn post(&self, content_type: &str, query: &str, body: String) -> (u16, Value) {
        let request = self
            .client
            .post(format!("{}{query}", self.reviews))
            .header("content-type", content_type);
        let reply = request.body(body).send().await.unwrap();
        assert_eq!(reply.version(), reqwest::Version::HTTP_2);
        let (status, body) = (reply.status().as_u16(), reply.text().await.unwrap());
        (
            status,
            serde_json::from_str(&body).unwrap_or(Value::String(body)),
        )
    }

    async fn review(&self, pod: Value) -> Value {
        let (status, reply) = self
            .post(
                "application/json",
                "?timeout=1s",
                review("v1", &pod, "CREATE").to_string(),
            )
            .await;
        assert_eq!(status, 200, "{reply}");
        assert_eq!(reply["response"]["uid"], "u-1");
        reply["response"].clone()
    }
}

fn service_account(name: &str, client_id: &str) -> Value {
    let annotations =
        json!({"azure.workload.identity/client-id": client_id, "other.example/key": "large"});
    let metadata = json!({"name": name, "namespace": "shop", "annotations": annotations});
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
}

fn pod(service_account: &str) -> Value {
    json!({
        "metadata": {"generateName": "app-", "labels": {"azure.workload.identity/use": "true"}},
        "spec": {"serviceAccountName": service_account, "containers": [{"name": "app"}]},
    })
}

fn review(version: &str, object: &Value, operation: &str) -> Value {
    json!({"apiVersion": format!("admission.k8s.io/{version}"), "kind": "AdmissionReview", "request": {
        "uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": operation,
        "namespace": "shop", "object": object,
    }})
}

/// The client id in an answer's patch.
fn client_id(response: &Value) -> Option<String> {
    use base64::Engine;
    let patch = base64::engine::general_purpose::STANDARD
        .decode(response["patch"].as_str()?)
        .unwrap();
    let patch: Value = serde_json::from_slice(&patch).unwrap();
    let variable = patch[0]["value"]
        .as_array()?
        .iter()
        .find(|entry| entry["name"] == "AZURE_CLIENT_ID")?;
    variable["value"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn answers_in_the_version_asked_and_says_what_it_is_not_for() {
    let world = World::start(&[]).await;
    let mut part = review("v1", &pod("app"), "CREATE");
    part["request"]["subResource"] = json!("ephemeralcontainers");
    let mut deployment = review("v1", &pod("app"), "CREATE");
    deployment["request"]["kind"] = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    let only = "identity-injector changes pods on CREATE only, not ";
    let table = [
        ("v1", review("v1", &pod("app"), "CREATE"), Some(ID), None),
        (
            "v1beta1",
            review("v1beta1", &pod("app"), "CREATE"),
            Some(ID),
            None,
        ),
        (
            "update",
            review("v1", &pod("app"), "UPDATE"),
            None,
            Some("Pod on UPDATE"),
        ),
        (
            "deletion",
            review("v1", &Value::Null, "DELETE"),
            None,
            Some("Pod on DELETE"),
        ),
        (
            "subresource",
            part,
            None,
            Some("Pod/ephemeralcontainers on CREATE"),
        ),
        ("other kind", deployment, None, Some("Deployment on CREATE")),
        (
            "object is no object",
            review("v1", &json!("pod"), "CREATE"),
            None,
            Some("Pod on CREATE"),
        ),
    ];
    for (case, body, expected, warning) in table {
        let (status, reply) = world.post("application/json", "", body.to_string()).await;
        assert_eq!(
            (status, &reply["apiVersion"]),
            (200, &body["apiVersion"]),
            "{case}"
        );
        let response = &reply["response"];
        assert_eq!(
            (&response["uid"], &response["allowed"]),
            (&json!("u-1"), &json!(true)),
            "{case}"
        );
        assert_eq!(
            client_id(response).as_deref(),
            expected,
            "{case}: {response}"
        );
        let start = warning.map(|warning| format!("{only}{warning}"));
        let said = response["warnings"][0].as_str().unwrap_or_default();
        assert!(
            start.map_or(said.is_empty(), |start| said.starts_with(&start)),
            "{case}: {said}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_no_review_is_refused_in_a_sentence() {
    let world = World::start(&[]).await;
    let review = review("v1", &pod("app"), "CREATE").to_string();
    let table = [
        (
            "content type",
            "text/plain",
            review.clone(),
            400,
            "content type \"text/plain\": application/json is expected",
        ),
        (
            "charset",
            "application/json; charset=utf-8",
            review,
            200,
            "",
        ),
        (
            "empty",
            "application/json",
            String::new(),
            400,
            "request body is empty: an AdmissionReview is expected",
        ),
        (
            "no JSON",
            "application/json",
            "{".to_owned(),
            400,
            "request body is no AdmissionReview: EOF while parsing",
        ),
        (
            "a pod",
            "application/json",
            pod("app").to_string(),
            400,
            "request body is no AdmissionReview: missing field",
        ),
        (
            "too large",
            "application/json",
            " ".repeat(8 << 20),
            413,
            "length limit exceeded",
        ),
    ];
    for (case, content_type, body, status, sentence) in table {
        let (actual, reply) = world.post(content_type, "", body).await;
        assert_eq!(actual, status, "{case}: {reply}");
        assert!(
            reply.as_str().unwrap_or_default().contains(sentence),
            "{case}: {reply}"
        );
    }
}

#[tokio::test]
async fn a_service_account_is_seen_at_once_and_changes_are_followed() {
    let world = World::start(&[]).await;
    world.kube.put(service_account("new", ID)).unwrap();
    assert_eq!(
        client_id(&world.review(pod("new")).await).as_deref(),
        Some(ID),
        "live, or by watch"
    );
    world.kube.put(service_account("new", OTHER_ID)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while client_id(&world.review(pod("new")).await).as_deref() != Some(OTHER_ID) {
        assert!(Instant::now() < deadline, "the change is not seen");
    }
    let answer = world.review(pod("missing")).await;
    assert_eq!(answer["allowed"], true);
    assert_eq!(
        answer["warnings"][0],
        "ServiceAccount missing not found: AZURE_CLIENT_ID not set"
    );
}

#[tokio::test]
async fn without_the_api_server_the_cached_goes_on_and_the_rest_is_said_in_time() {
    let world = World::start(&[]).await;
    world.kube.pause();
    assert_eq!(
        client_id(&world.review(pod("app")).await).as_deref(),
        Some(ID)
    );
    let start = Instant::now();
    let answer = world.review(pod("unknown")).await;
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        (&answer["allowed"], &answer["status"]["code"]),
        (&json!(false), &json!(500))
    );
    let message = answer["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("ServiceAccount shop/unknown is not cached and the API server "),
        "{message}"
    );
    let mut plain = pod("unknown");
    plain["metadata"]["labels"] = json!({});
    assert_eq!(
        world.review(plain).await["allowed"],
        true,
        "a pod that asks for nothing needs no look-up"
    );
}

#[tokio::test]
async fn native_sidecars_follow_the_api_servers_version_unless_said() {
    let mut proxied = pod("app");
    proxied["metadata"]["annotations"] =
        json!({"azure.workload.identity/inject-proxy-sidecar": ""});
    let table = [(vec![], true), (vec!["--native-sidecar=never"], false)];
    for (flags, native) in table {
        use base64::Engine;
        let world = World::start(&flags).await;
        let answer = world.review(proxied.clone()).await;
        let patch = base64::engine::general_purpose::STANDARD
            .decode(answer["patch"].as_str().unwrap())
            .unwrap();
        let restarts = String::from_utf8(patch)
            .unwrap()
            .contains(r#""restartPolicy":"Always""#);
        assert_eq!(restarts, native, "{flags:?}");
    }
}

#[tokio::test]
async fn a_leaving_replica_is_not_ready_at_once_and_still_serves() {
    let world = World::start(&["--drain-delay=1"]).await;
    assert_eq!(world.readyz().await, (200, "ok".to_owned()));
    world.shutdown.cancel();
    while world.readyz().await.0 == 200 {}
    assert_eq!(
        world.readyz().await,
        (503, "not ready, pending: draining".to_owned())
    );
    assert_eq!(
        client_id(&world.review(pod("app")).await).as_deref(),
        Some(ID)
    );
    let ended = tokio::time::timeout(Duration::from_secs(5), world.serving)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ended.unwrap(), identity_injector::exit::Exit::Done);
}
