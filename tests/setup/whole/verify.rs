//! `verify` against a real exchange at the simulated Entra.

use std::time::Duration;

use identity_injector::azure::arm::request;
use identity_injector::azure::clock::Clock;
use identity_injector::azure::settling::{SETTLING_WINDOW, Settling};
use identity_injector::azure::token::{Entra, Exchanges};
use identity_injector::setup::config;
use identity_injector::setup::verify::{Verdict, Waits, verify};
use serde_json::json;
use simazure::Fault;
use simazure::faults::{Act, Answer, Room};
use tokio::time::Instant;

use super::scene::{Case, Death, Scene, fuse};

/// The verdicts and reasons, in the config's order.
async fn findings(case: &Case<'_>, patience: u64) -> Vec<(Verdict, String)> {
    findings_in(case, patience, None).await
}

/// The same while a fault waits, that does not strike the sign-in.
async fn findings_in(
    case: &Case<'_>,
    patience: u64,
    fault: Option<Fault>,
) -> Vec<(Verdict, String)> {
    let (arm, cluster) = case.clients(&fuse(Death::Never)).await;
    let get = request::get_group(&case.desired.group);
    arm.find(&get).await.unwrap();
    if let Some(fault) = fault {
        case.scene.azure.fault(fault).unwrap();
    }
    let azure = &case.scene.azure;
    let entra = Entra {
        http: case.scene.http(),
        authority: azure.authority.trim_end_matches('/').parse().unwrap(),
        token_file: "".into(),
        settling: Settling {
            window: SETTLING_WINDOW,
            newcomers_until: Instant::now(),
        },
        exchanges: Exchanges::default(),
        clock: Clock::default(),
    };
    let waits = Waits {
        settle: Duration::ZERO,
        patience: Duration::from_secs(patience),
    };
    let resource = "https://management.azure.com/";
    let found = verify(&case.desired, &arm, &cluster, &entra, resource, waits).await;
    let found = found.unwrap().into_iter();
    found
        .map(|finding| (finding.verdict, finding.reason))
        .collect()
}

#[tokio::test]
async fn proves_each_service_account() {
    let scene = Scene::start().await;
    let mut case = scene.case("verify");
    assert_eq!(
        findings(&case, 0).await[0],
        (
            Verdict::Failed,
            "the identity is not there: run `setup apply`".to_owned()
        )
    );
    case.apply(Death::Never).await;
    let ok = (Verdict::Ok, String::new());
    assert_eq!(findings(&case, 0).await, vec![ok.clone(); 3]);

    let mut stolen = case.account("old").unwrap();
    stolen["metadata"]["annotations"]["azure.workload.identity/client-id"] = json!("x");
    scene.kube.put(stolen).unwrap();
    scene.kube.delete("ServiceAccount", "verify", "sb");
    let found = findings(&case, 0).await;
    assert_eq!(found[0], ok);
    assert!(found[1].1.contains("client-id is x, not "), "{found:?}");
    assert!(
        found[2].1.contains("the ServiceAccount is not there"),
        "{found:?}"
    );

    // The tokens get another audience than the credentials have.
    let audience = format!("audience: api://other\n{}", case.text);
    case.desired = config::parse(&audience).unwrap();
    let found = findings(&case, 0).await;
    assert_eq!(found[0].0, Verdict::Failed);
    assert!(found[0].1.starts_with("AADSTS700212: "), "{found:?}");
}

#[tokio::test]
async fn waits_for_what_passes_and_says_when_nobody_can_tell() {
    let scene = Scene::start().await;
    let case = scene.case("busy");
    case.apply(Death::Never).await;
    let busy = |times| Fault {
        room: Some(Room::Entra),
        path: Some("*/oauth2/v2.0/token".to_owned()),
        times: Some(times),
        ..Fault::new(Act::Answer(Answer {
            status: 503,
            headers: [("retry-after".to_owned(), "1".to_owned())].into(),
            body: json!("busy"),
        }))
    };
    let found = findings_in(&case, 0, Some(busy(3))).await;
    let unknown = |found: &(Verdict, String)| found.0 == Verdict::Unknown;
    assert!(found.len() == 3 && found.iter().all(unknown), "{found:?}");
    let found = findings_in(&case, 10, Some(busy(3))).await;
    assert_eq!(found, vec![(Verdict::Ok, String::new()); 3]);
}
