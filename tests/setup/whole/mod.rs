//! Whole runs against the simulated Azure and API server: every call of a run is once its last.

mod binary;
mod custom_cloud;
mod memory;
mod scene;
mod strangers;
mod verify;

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use identity_injector::setup::config;
use reqwest::Method;
use serde_json::{Value, json};
use simazure::faults::{Act, Answer, Moment, Room};
use simazure::{Fault, Lags};

use crate::support::arm;
use scene::{Death, Scene};

/// How many cases run at once.
const AT_ONCE: usize = 8;

#[tokio::test]
async fn killed_at_any_call_the_next_run_ends_where_one_run_does() {
    let scene = Scene::start().await;
    let whole = scene.case("whole");
    let (calls, error) = whole.apply(Death::Never).await;
    assert_eq!(error, None);
    let state = whole.state().await;
    let (looks, error) = whole.apply(Death::Never).await;
    assert_eq!((error, state.clone()), (None, whole.state().await));
    assert!(calls > 20 && looks > 10, "{calls} calls, then {looks}");

    let deaths = (0..calls).flat_map(|n| [Death::Before(n), Death::After(n)]);
    let cases = stream::iter(deaths).map(async |death| {
        let case = scene.case(&format!("{death:?}").to_lowercase().replace(['(', ')'], ""));
        let (_, error) = case.apply(death).await;
        assert_eq!(error.as_deref(), Some("killed"), "{death:?}");
        let (_, error) = case.apply(Death::Never).await;
        assert_eq!(error, None, "{death:?}");
        assert_eq!(case.state().await, state, "{death:?}");
        // A third run looks, and writes nothing.
        let version = |case: &scene::Case<'_>| {
            let namespace = format!("{}-ledger", case.name);
            case.scene
                .kube
                .get("ConfigMap", &namespace, "identity-injector-setup")
        };
        let before = version(&case);
        let (third, error) = case.apply(Death::Never).await;
        assert_eq!((third, error), (looks, None), "{death:?}");
        assert_eq!(version(&case), before, "{death:?}");
    });
    let cases: Vec<()> = cases.buffer_unordered(AT_ONCE).collect().await;
    assert_eq!(cases.len(), 2 * calls);
}

#[tokio::test]
async fn a_destroy_killed_at_any_call_is_ended_by_the_next() {
    let scene = Scene::start().await;
    let whole = scene.case("whole");
    assert_eq!(whole.apply(Death::Never).await.1, None);
    let (calls, error) = whole.destroy(Death::Never).await;
    assert_eq!(error, None);
    let state = whole.state().await;
    assert_eq!(state, ["account old with 0 annotations"]);

    let deaths = (0..calls).flat_map(|n| [Death::Before(n), Death::After(n)]);
    let cases = stream::iter(deaths).map(async |death| {
        let case = scene.case(&format!("{death:?}").to_lowercase().replace(['(', ')'], ""));
        assert_eq!(case.apply(Death::Never).await.1, None, "{death:?}");
        let (_, error) = case.destroy(death).await;
        assert_eq!(error.as_deref(), Some("killed"), "{death:?}");
        let (_, error) = case.destroy(Death::Never).await;
        assert_eq!(error, None, "{death:?}");
        assert_eq!(case.state().await, state, "{death:?}");
    });
    let cases: Vec<()> = cases.buffer_unordered(AT_ONCE).collect().await;
    assert_eq!(cases.len(), 2 * calls);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let scene = Scene::start().await;
    let whole = scene.case("whole");
    whole.apply(Death::Never).await;
    let state = whole.state().await;
    let journal = scene.azure.journal().into_iter();
    let calls = journal
        .filter(|entry| entry.path.to_lowercase().contains("/whole") && entry.method == "PUT")
        .count();
    assert!(calls >= 7, "{calls}");
    let faults = (0..calls).flat_map(|skip| [(skip, Moment::Before), (skip, Moment::After)]);
    let cases = stream::iter(faults).map(async |(skip, moment)| {
        let case = scene.case(&format!("lost-{skip}-{moment:?}").to_lowercase());
        let fault = Fault {
            room: Some(Room::Arm),
            method: Some("PUT".to_owned()),
            path: Some(format!("*/resourcegroups/{}*", case.name)),
            skip: u64::try_from(skip).unwrap(),
            moment,
            ..Fault::new(Act::Drop)
        };
        scene.azure.fault(fault).unwrap();
        assert_eq!(case.apply(Death::Never).await.1, None, "{skip} {moment:?}");
        assert_eq!(case.state().await, state, "{skip} {moment:?}");
    });
    let cases: Vec<()> = cases.buffer_unordered(AT_ONCE).collect().await;
    assert_eq!(cases.len(), 2 * calls);
}

#[tokio::test]
async fn two_runs_at_once_both_end() {
    let scene = Scene::start().await;
    let whole = scene.case("whole");
    whole.apply(Death::Never).await;
    let case = scene.case("twice");
    let (one, other) = tokio::join!(case.apply(Death::Never), case.apply(Death::Never));
    // A run whose annotations are there already may have lost to the other; neither may fail.
    assert_eq!((one.1, other.1), (None, None));
    assert_eq!(case.state().await, whole.state().await);
}

#[tokio::test]
async fn two_clusters_share_an_identity() {
    let write = Duration::from_millis(300);
    let lags = Lags {
        write,
        ..Lags::default()
    };
    let scene = Scene::start_with(lags).await;
    let cases = ["one", "other"].map(|name| {
        let mut case = scene.case(name);
        let shared = case
            .text
            .replace(&format!("{{name: {name}, loc"), "{name: shared, loc");
        let shared = shared.replace(&format!("resourceGroups/{name}"), "resourceGroups/shared");
        case.desired = config::parse(&shared).unwrap();
        case
    });
    let [one, other] = &cases;
    let (first, second) = tokio::join!(one.apply(Death::Never), other.apply(Death::Never));
    assert_eq!((first.1, second.1), (None, None));
    let journal = scene.azure.journal();
    let concurrent = journal.iter().filter(|entry| {
        let error = entry.details.error.as_deref().unwrap_or_default();
        error.starts_with("ConcurrentFederated")
    });
    assert!(concurrent.count() > 0, "the two met");
    // Each has its own ledger, and takes back its own alone.
    assert_eq!(one.destroy(Death::Never).await.1, None);
    let state = other.state().await.join("\n");
    assert_eq!(state.matches("credential Fed").count(), 3, "{state}");
    assert_eq!(other.destroy(Death::Never).await.1, None);
}

#[tokio::test]
async fn destroy_waits_for_another_writer() {
    let scene = Scene::start().await;
    let case = scene.case("busy");
    assert_eq!(case.apply(Death::Never).await.1, None);
    let code = "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity";
    let fault = Fault {
        room: Some(Room::Arm),
        method: Some("DELETE".to_owned()),
        path: Some("*/federatedidentitycredentials/*".to_owned()),
        ..Fault::new(Act::Answer(Answer::error(409, code, "Too many")))
    };
    scene.azure.fault(fault).unwrap();
    let begun = Instant::now();
    assert_eq!(case.destroy(Death::Never).await.1, None);
    assert!(begun.elapsed() >= Duration::from_secs(5));
    assert_eq!(case.state().await, ["account old with 0 annotations"]);
}

#[tokio::test]
async fn destroy_leaves_what_setup_did_not_make() {
    let scene = Scene::start().await;
    let case = scene.case("left");
    let group = format!(
        "/subscriptions/{}/resourceGroups/left",
        scene.azure.subscription
    );
    let id_a = format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/idA");
    let location = json!({"location": "westus2"});
    put(&scene, &group, &location).await;
    put(&scene, &id_a, &location).await;
    assert_eq!(case.apply(Death::Never).await.1, None);
    let id_b = id_a.replace("idA", "idB");
    let theirs =
        json!({"properties": {"issuer": "https://i/", "subject": "s", "audiences": ["a"]}});
    put(
        &scene,
        &format!("{id_b}/federatedIdentityCredentials/theirs"),
        &theirs,
    )
    .await;
    let mut account = case.account("sa").unwrap();
    account["metadata"]["labels"] = json!({"theirs": "1"});
    scene.kube.put(account).unwrap();

    let (steps, left) = case.removal().await;
    let count = |kind: &str| steps.iter().filter(|step| step.starts_with(kind)).count();
    assert_eq!(count("delete ServiceAccount left/sb"), 1, "{steps:?}");
    assert_eq!(count("unannotate ServiceAccount"), 2, "{steps:?}");
    assert_eq!(count("revoke Role idA/"), 1, "{steps:?}");
    assert_eq!(count("delete FederatedCredential"), 3, "{steps:?}");
    assert_eq!(steps.len(), 7, "{steps:?}");
    assert_eq!(
        left,
        [
            "ServiceAccount left/sa: made by setup, but simkube has fields of it: only the annotations go",
            "identity idA: not made by setup",
            "identity idB: made by setup, but its credentials theirs are not",
            "resource group left: not made by setup",
        ]
    );
    assert_eq!(case.destroy(Death::Never).await.1, None);
    let state = case.state().await;
    let has = |part: &str| state.iter().any(|line| line.contains(part));
    assert!(
        has("identity idA") && has("identity idB") && has("theirs"),
        "{state:?}"
    );
    assert!(
        has("account sa with 0") && has("account old with 0"),
        "{state:?}"
    );
    assert!(!has("account sb") && !has("role "), "{state:?}");
}

/// One write of the administrator's.
async fn put(scene: &Scene, path: &str, body: &Value) {
    arm(&scene.azure, Method::PUT, path, Some(body.clone())).await;
}
