//! Readiness, and leaving.

use std::time::Duration;

use crate::world::{ID, World, client_id, pod};

#[tokio::test]
async fn a_leaving_replica_is_not_ready_at_once_and_still_serves() {
    let world = World::start(&["--drain-delay=1"]).await;
    let parts = "[+]apiserver-version ok\n[+]ca-bundle ok\n[+]certificate ok\n";
    let caches = "[+]namespaces ok\n[+]serviceaccounts ok\n";
    let verbose = "/readyz?verbose";
    assert_eq!(world.get(verbose).await, (200, format!("{parts}{caches}")));
    assert_eq!(world.get("/readyz").await, (200, "ok".to_owned()));
    world.shutdown.cancel();
    while world.get("/readyz").await.0 == 200 {}
    assert_eq!(
        world.get("/readyz").await,
        (503, "not ready, pending: draining".to_owned())
    );
    let draining = format!("{parts}[-]draining pending\n{caches}");
    assert_eq!(world.get(verbose).await, (503, draining));
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
