//! What the webhook knows of the cluster: ServiceAccounts, and what the API server can.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::world::{ID, OTHER_ID, World, client_id, patch, pod, service_account};

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

/// Named or not, cached or not yet.
#[tokio::test]
async fn a_pod_of_the_default_service_account_gets_its_identity() {
    for cached in [true, false] {
        let world = World::start(&[]).await;
        world.kube.put(service_account("default", ID)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        for name in [None, Some(""), Some("default")] {
            let mut pod = pod("default");
            pod["spec"]["serviceAccountName"] = json!(name);
            let ask = async || client_id(&world.review(pod.clone()).await);
            while cached && ask().await.is_none() {
                assert!(Instant::now() < deadline, "{name:?}");
            }
            assert_eq!(ask().await.as_deref(), Some(ID), "{name:?} {cached}");
        }
    }
}

#[tokio::test]
async fn d26_without_the_api_server_the_cached_goes_on_and_the_rest_is_a_500_in_time() {
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
    let table = [
        ("v1.36.3", vec![], true),
        ("v1.31.9", vec![], false),
        ("v1.31.9", vec!["--native-sidecar=always"], true),
        ("v1.36.3", vec!["--native-sidecar=never"], false),
    ];
    for (version, flags, native) in table {
        let world = World::start_beside(version, &flags).await;
        let answer = world.review(proxied.clone()).await;
        let patch = patch(&answer).unwrap();
        let restarts = patch.to_string().contains(r#""restartPolicy":"Always""#);
        assert_eq!(restarts, native, "{version} {flags:?}");
    }
}
