//! `verify` against a real exchange at the simulated Entra.

use std::time::Duration;

use identity_injector::azure::arm::request;
use identity_injector::azure::clock::Clock;
use identity_injector::azure::settling::{SETTLING_WINDOW, Settling};
use identity_injector::azure::token::{Entra, Exchanges};
use identity_injector::setup::config;
use identity_injector::setup::verify::{Verdict, Waits, verify};
use serde_json::json;
use simazure::faults::{Act, Answer, Room};
use simazure::{Fault, Lags};
use tokio::time::Instant;

use super::scene::{Case, Death, Scene, fuse};

/// The verdicts and reasons, in the config's order.
async fn findings(case: &Case<'_>, patience: u64) -> Vec<(Verdict, String)> {
    let waits = Waits::new(Duration::ZERO, Duration::from_secs(patience));
    findings_in(case, waits, None).await
}

/// The same while a fault waits, that does not strike the sign-in.
async fn findings_in(
    case: &Case<'_>,
    waits: Waits,
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

    let astray = case.account("old").unwrap();
    let mut changed = astray.clone();
    changed["metadata"]["annotations"]["azure.workload.identity/tenant-id"] = json!("x");
    scene.kube.put(changed).unwrap();
    let found = findings(&case, 0).await;
    assert!(found[1].1.contains("tenant-id is x, not "), "{found:?}");
    scene.kube.put(astray).unwrap();

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
    let patient = |seconds| Waits::new(Duration::ZERO, Duration::from_secs(seconds));
    let found = findings_in(&case, patient(0), Some(busy(3))).await;
    let unknown = |found: &(Verdict, String)| found.0 == Verdict::Unknown;
    assert!(found.len() == 3 && found.iter().all(unknown), "{found:?}");
    let found = findings_in(&case, patient(10), Some(busy(3))).await;
    assert_eq!(found, vec![(Verdict::Ok, String::new()); 3]);
}

/// How much faster than the world's the simulated clock goes here.
const HASTE: u32 = 50;

/// Waits of so many seconds on the simulated clock.
fn hasty(settle: u64, patience: u64) -> Waits {
    let second = Duration::from_secs(1) / HASTE;
    let [settle, patience] = [settle, patience].map(|n| second * u32::try_from(n).unwrap());
    Waits {
        spreading: 30 * second,
        busy: 5 * second,
        ..Waits::new(settle, patience)
    }
}

/// Drives the simulated clock while `act` waits: from the start if it waits first, else from the first question on.
async fn hurried<T>(scene: &Scene, waits: Waits, act: impl Future<Output = T>) -> T {
    let drive = async {
        let mut driven = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now = Instant::now();
            if !waits.settle.is_zero() || !questions(scene).is_empty() {
                scene.azure.advance((now - driven) * (HASTE - 1));
            }
            driven = now;
        }
    };
    tokio::select! {
        outcome = act => outcome,
        () = drive => unreachable!("it has no end"),
    }
}

/// Seconds on the simulated clock and the errors of the questions to Entra about ServiceAccounts.
fn questions(scene: &Scene) -> Vec<(u64, String)> {
    let journal = scene.azure.journal().into_iter();
    let asked = journal.filter(|entry| {
        let signs_in = entry.details.grant.as_deref() == Some("client_secret");
        entry.path.ends_with("/oauth2/v2.0/token") && !signs_in
    });
    asked
        .map(|entry| {
            let error = entry.details.error.unwrap_or_default();
            (entry.unix_millis / 1000, error)
        })
        .collect()
}

#[tokio::test]
async fn waits_first_because_a_no_is_kept_for_minutes() {
    let lags = Lags {
        credential: Duration::from_secs(10),
        negative_cache: Duration::from_secs(120),
        ..Lags::default()
    };
    let no_match = ["AADSTS70025", "AADSTS700213"];
    // settle, patience, the questions that each of 3 ServiceAccounts may cost, the verdict
    let table = [
        ("waits first", 30, 300, 1..=1, Verdict::Ok),
        ("asks too early", 0, 300, 4..=7, Verdict::Ok),
        ("gives up", 0, 60, 2..=3, Verdict::Failed),
    ];
    for (name, settle, patience, each, verdict) in table {
        let scene = Scene::start_with(lags).await;
        let case = scene.case("early");
        assert_eq!(case.apply(Death::Never).await.1, None);
        let waits = hasty(settle, patience);
        let found = hurried(&scene, waits, findings_in(&case, waits, None)).await;
        let right = |one: &(Verdict, String)| one.0 == verdict;
        assert!(found.iter().all(right), "{name}: {found:?}");
        let questions = questions(&scene);
        let count = questions.len();
        assert!(
            3 * each.start() <= count && count <= 3 * each.end(),
            "{name}: {questions:?}"
        );
        for (_, error) in &questions {
            let known = error.is_empty() || no_match.contains(&&**error);
            assert!(known, "{name}: {error}");
        }
        if verdict == Verdict::Failed {
            for (_, reason) in found {
                assert!(
                    reason.contains("one made just now takes some seconds"),
                    "{reason}"
                );
            }
        } else if settle == 0 {
            let (first, last) = (questions[0].0, questions[count - 1].0);
            assert!(
                (120..=240).contains(&(last - first)),
                "{name}: {questions:?}"
            );
        }
    }
}

#[tokio::test]
async fn tells_what_passes_from_what_does_not() {
    use Verdict::{Failed, Ok, Unknown};
    let made_now = "one made just now takes some seconds, at times minutes";
    // code, verdict when it is met once, verdict when it stays, and its sentence
    let table = [
        (70021, Ok, Failed, made_now),
        (700_211, Ok, Failed, made_now),
        (700_213, Ok, Failed, made_now),
        (70025, Ok, Failed, made_now),
        (
            700_016,
            Ok,
            Failed,
            "Check the client id (not the object id)",
        ),
        (
            700_024,
            Ok,
            Failed,
            "Check the clocks of node and API server",
        ),
        (
            90061,
            Ok,
            Unknown,
            "Check that the issuer answers from the Internet",
        ),
        (90033, Ok, Unknown, "Entra is busy or in trouble"),
        (
            700_212,
            Failed,
            Failed,
            "Give both the same, usually api://AzureADTokenExchange",
        ),
        (
            7_002_138,
            Failed,
            Failed,
            "Write its issuer and subject with exactly this case",
        ),
        (7_002_131, Failed, Failed, "neither subject nor expression"),
        (
            7_002_381,
            Failed,
            Failed,
            "Ask the tenant's administrator for an exception",
        ),
        (7_000_112, Failed, Failed, "Enable it"),
        (90002, Failed, Failed, "Check AZURE_TENANT_ID"),
        (
            53003,
            Failed,
            Failed,
            "Ask the tenant's administrator for an exception",
        ),
    ];
    let scene = Scene::start().await;
    let case = scene.case("codes");
    assert_eq!(case.apply(Death::Never).await.1, None);
    for (code, once, always, sentence) in table {
        for (times, verdict) in [(3, once), (1000, always)] {
            let body = json!({"error": "invalid_client", "error_codes": [code],
                "error_description": format!("AADSTS{code}: Entra's own words. Trace ID: t")});
            let fault = Fault {
                room: Some(Room::Entra),
                path: Some("*/oauth2/v2.0/token".to_owned()),
                times: Some(times),
                ..Fault::new(Act::Answer(Answer {
                    status: 400,
                    headers: [].into(),
                    body,
                }))
            };
            scene.azure.clear_journal();
            let found = findings_in(&case, hasty(0, 60), Some(fault)).await;
            scene.azure.clear_faults();
            for (told, reason) in found {
                assert_eq!(told, verdict, "{code}, {times} times: {reason}");
                let said = reason.contains(sentence) && reason.contains("Entra's own words");
                assert!(told == Ok || said, "{code}: {reason}");
            }
            let count = questions(&scene).len();
            let asked_again = once == Ok;
            assert_eq!(
                count > 3,
                asked_again,
                "{code}, {times} times: {count} questions"
            );
        }
    }
}
