//! What others make, and make anew, between an apply and a destroy: it stays.

use identity_injector::setup::desired::ServiceAccountId;
use identity_injector::setup::destroy::{destroy, find};
use identity_injector::setup::pace::Rates;
use identity_injector::setup::removal::removal;
use identity_injector::setup::step::IdentityIds;
use reqwest::Method;
use serde_json::json;
use simazure::Fault;
use simazure::faults::{Act, Answer, Room};

use super::put;
use super::scene::{Case, Death, Scene, fuse};
use crate::support::arm;
use crate::unseen;

/// The path of the case's identity `name`.
fn identity(case: &Case<'_>, name: &str) -> String {
    let subscription = case.desired.group.subscription;
    let kind = "Microsoft.ManagedIdentity/userAssignedIdentities";
    let group = &case.name;
    format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{kind}/{name}")
}

async fn has(case: &Case<'_>, line: &str) -> bool {
    case.state().await.iter().any(|there| there == line)
}

#[tokio::test]
async fn what_was_refused_and_made_by_another_since_stays() {
    let scene = Scene::start().await;
    // which identity is refused
    for (name, refused) in [("first", "idA"), ("second", "idB")] {
        let case = scene.case(name);
        let fault = Fault {
            room: Some(Room::Arm),
            method: Some("PUT".to_owned()),
            path: Some(format!(
                "*/resourcegroups/{name}/*/{}",
                refused.to_lowercase()
            )),
            ..Fault::new(Act::Answer(Answer::error(403, "AuthorizationFailed", "no")))
        };
        scene.azure.fault(fault).unwrap();
        let (_, error) = case.apply(Death::Never).await;
        assert!(error.unwrap().contains("403"), "{refused}");
        let location = json!({"location": "westus2"});
        put(&scene, &identity(&case, refused), &location).await;
        assert_eq!(case.apply(Death::Never).await.1, None, "{refused}");
        assert_eq!(case.destroy(Death::Never).await.1, None, "{refused}");
        assert!(has(&case, &format!("identity {refused}")).await);
    }
}

#[tokio::test]
async fn what_was_made_anew_since_stays() {
    let scene = Scene::start().await;
    // whether an apply comes between
    for (name, again) in [("adopted", true), ("unseen", false)] {
        let case = scene.case(name);
        assert_eq!(case.apply(Death::Never).await.1, None, "{name}");
        let id = identity(&case, "idB");
        arm(&scene.azure, Method::DELETE, &id, None).await;
        put(&scene, &id, &json!({"location": "westus2"})).await;
        scene.kube.delete("ServiceAccount", name, "sa");
        scene.put("ServiceAccount", name, "sa");
        if again {
            assert_eq!(case.apply(Death::Never).await.1, None, "{name}");
        }
        assert_eq!(case.destroy(Death::Never).await.1, None, "{name}");
        let state = case.state().await.join("\n");
        let theirs = ["identity idB", "account sa with 0 annotations"];
        assert!(
            theirs.iter().all(|it| state.contains(it)),
            "{name}: {state}"
        );
        assert!(!state.contains("identity idA"), "{name}: {state}");
    }
}

#[tokio::test]
async fn an_account_that_another_identity_uses_since_stays() {
    let scene = Scene::start().await;
    let case = scene.case("moved");
    assert_eq!(case.apply(Death::Never).await.1, None);
    let (_, cluster) = case.clients(&fuse(Death::Never)).await;
    let other = IdentityIds {
        client_id: "other".to_owned(),
        tenant_id: "tenant".to_owned(),
        principal_id: String::new(),
    };
    for name in ["sb", "old"] {
        let account = ServiceAccountId {
            namespace: case.name.clone(),
            name: name.to_owned(),
        };
        cluster.annotate(&account, &other).await.unwrap();
    }
    assert_eq!(case.destroy(Death::Never).await.1, None);
    let state = case.state().await.join("\n");
    for line in [
        "account sb with 2 annotations",
        "account old with 2 annotations",
    ] {
        assert!(state.contains(line), "{state}");
    }
    assert!(!state.contains("account sa"), "{state}");
}

#[tokio::test]
async fn an_account_that_is_gone_is_not_made_again() {
    let scene = Scene::start().await;
    let case = scene.case("gone");
    assert_eq!(case.apply(Death::Never).await.1, None);
    let (_, cluster) = case.clients(&fuse(Death::Never)).await;
    let account = ServiceAccountId {
        namespace: case.name.clone(),
        name: "old".to_owned(),
    };
    let there = cluster.find_account(&account).await.unwrap().unwrap();
    scene.kube.delete("ServiceAccount", "gone", "old");
    let (version, uid) = (there.version.as_deref(), there.uid.as_deref());
    assert!(cluster.unannotate(&account, version, uid).await.is_err());
    assert_eq!(case.account("old"), None);
    // The real API server makes it, whatever version is asked for.
    assert!(cluster.unannotate(&account, version, None).await.is_ok());
    assert!(case.account("old").is_some());
}

#[tokio::test]
async fn a_credential_that_comes_between_plan_and_deletion_keeps_the_identity() {
    let scene = Scene::start().await;
    let case = scene.case("late");
    assert_eq!(case.apply(Death::Never).await.1, None);
    let (client, cluster) = case.clients(&fuse(Death::Never)).await;
    let found = find(&case.desired, &client, &cluster, Rates::UNLIMITED).await;
    let removal = removal(&case.desired, &found.unwrap());
    let theirs = format!(
        "{}/federatedIdentityCredentials/theirs",
        identity(&case, "idB")
    );
    let properties = json!({"issuer": "https://their.cluster", "subject": "s", "audiences": ["a"]});
    put(&scene, &theirs, &json!({"properties": properties})).await;
    let rates = Rates::UNLIMITED;
    let left = destroy(&removal, &case.desired, &client, &cluster, rates, &unseen()).await;
    let left = left.unwrap().join("\n");
    assert!(
        left.contains("identity idB: others trust it") && left.contains("theirs"),
        "{left}"
    );
    assert!(has(&case, "identity idB").await && !has(&case, "identity idA").await);
}

#[tokio::test]
async fn a_role_goes_though_somebody_deleted_its_identity() {
    let scene = Scene::start().await;
    let case = scene.case("orphan");
    assert_eq!(case.apply(Death::Never).await.1, None);
    for name in ["idA", "idB"] {
        arm(&scene.azure, Method::DELETE, &identity(&case, name), None).await;
    }
    assert_eq!(case.destroy(Death::Never).await.1, None);
    let journal = scene.azure.journal().into_iter();
    let revoked =
        journal.filter(|it| it.method == "DELETE" && it.path.contains("/roleAssignments/"));
    let statuses: Vec<_> = revoked.map(|it| it.status).collect();
    assert_eq!(statuses, [200]);
}
