//! Readiness by what API servers believe, and who may connect.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Certificates, configuration};
use crate::world::{World, pod, review};

fn believing(ca_pem: &str) -> Value {
    use base64::Engine;
    configuration(&base64::engine::general_purpose::STANDARD.encode(ca_pem))
}

#[tokio::test]
async fn is_ready_only_while_api_servers_believe_the_certificate() {
    let world = World::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let stranger = Certificates::make(folder.path());
    let right = world.certificates.ca_pem.as_str();
    let both = format!("{}{right}", stranger.ca_pem);
    let table = [
        ("another authority's", stranger.ca_pem.as_str(), false),
        ("the right one", right, true),
        ("none", "", false),
        ("both", &both, true),
        ("no PEM", "garbage", false),
        ("the right one again", right, true),
    ];
    for (case, bundle, believed) in table {
        world.kube.put(believing(bundle)).unwrap();
        let expected = match believed {
            true => (200, "ok".to_owned()),
            false => (503, "not ready, pending: ca-bundle".to_owned()),
        };
        until(&world, case, "/readyz", |answer| *answer == expected).await;
        let in_sync = format!("\nazwi_ca_bundle_in_sync {}\n", i32::from(believed));
        let (_, metrics) = world.get("/metrics").await;
        assert!(metrics.contains(&in_sync), "{case}: {metrics}");
    }
    // Nobody calls a webhook that is registered nowhere, and it is still to be registered.
    world.kube.put(believing("")).unwrap();
    until(&world, "not believed", "/readyz", |answer| answer.0 == 503).await;
    let kind = "MutatingWebhookConfiguration";
    world.kube.delete(kind, "", "identity-injector").unwrap();
    until(&world, "not registered", "/readyz", |answer| {
        answer.0 == 200
    })
    .await;
}

async fn until(world: &World, case: &str, path: &str, holds: impl Fn(&(u16, String)) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let last = world.get(path).await;
        if holds(&last) {
            return;
        }
        assert!(Instant::now() < deadline, "{case}: {last:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn answers_only_clients_of_the_named_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (theirs, file) = (
        Certificates::make(folder.path()),
        folder.path().join("ca.crt"),
    );
    std::fs::write(&file, &theirs.ca_pem).unwrap();
    let world = World::start(&[&format!("--client-ca={}", file.display())]).await;
    let client = |of: Option<&Certificates>| {
        let root = reqwest::Certificate::from_pem(world.certificates.ca_pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([root]).no_proxy();
        let identity = of.map(|of| {
            let read = |file| std::fs::read_to_string(of.directory.join(file)).unwrap();
            let pem = read("tls.crt") + &read("tls.key");
            reqwest::Identity::from_pem(pem.as_bytes()).unwrap()
        });
        identity
            .into_iter()
            .fold(client, reqwest::ClientBuilder::identity)
            .build()
            .unwrap()
    };
    let table = [
        ("no certificate", client(None), false),
        ("another's", client(Some(&world.certificates)), false),
        ("one of theirs", client(Some(&theirs)), true),
    ];
    for (case, client, answered) in table {
        let body = review("v1", &pod("app"), "CREATE").to_string();
        let request = client
            .post(&world.reviews)
            .header("content-type", "application/json");
        let reply = request.body(body).send().await;
        assert_eq!(reply.is_ok(), answered, "{case}: {reply:?}");
    }
}
