//! Faults on demand: what the caller sees, whether the call had its effect, and what the journal says.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod scene;

use std::time::Duration;

use reqwest::Method;
use scene::act::{Act, GROUP, fic, get, identity, put, west};
use serde_json::{Value, json};
use simazure::Options;
use simazure::faults::{Act as Do, Answer, Fault, Moment};
use simazure::journal::Entry;

async fn admin(act: &Act, method: Method, page: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}/simulator/{page}", act.scene.simulation.arm);
    let response = act.get_or_put(method, &url, body, &[]).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// Status of a call, or none when the connection was closed instead.
async fn status(act: &Act, method: Method, path: &str, body: &Value) -> Option<u16> {
    let url = format!(
        "{}{}{path}?api-version=2024-11-30",
        act.scene.simulation.arm,
        act.scene.subscription()
    );
    let sent = act.get_or_put(method, &url, body, &[]).await;
    sent.ok().map(|response| response.status().as_u16())
}

fn last(act: &Act) -> Entry {
    act.scene.simulation.journal().pop().unwrap()
}

#[tokio::test]
async fn before_and_after_the_effect() {
    // The fault, what the caller of the PUT sees, and whether the identity then exists.
    let answer =
        json!({"answer": {"status": 500, "body": {"error": {"code": "X", "message": "m"}}}});
    let table = [
        ("none", Value::Null, Some(201), true),
        ("answer before", json!({"act": answer}), Some(500), false),
        (
            "answer after",
            json!({"act": answer, "moment": "after"}),
            Some(500),
            true,
        ),
        ("drop before", json!({"act": "drop"}), None, false),
        (
            "drop after",
            json!({"act": "drop", "moment": "after"}),
            None,
            true,
        ),
        ("delay", json!({"act": {"delay": 0}}), Some(201), true),
        (
            "other method",
            json!({"act": "drop", "method": "DELETE"}),
            Some(201),
            true,
        ),
        (
            "other path",
            json!({"act": "drop", "path": "*/federated*"}),
            Some(201),
            true,
        ),
        (
            "this path",
            json!({"act": "drop", "path": "*/USERassignedIdentities/*"}),
            None,
            false,
        ),
        (
            "other room",
            json!({"act": "drop", "room": "entra"}),
            Some(201),
            true,
        ),
    ];
    for (case, fault, expected, exists) in table {
        let act = Act::start(Options::default()).await;
        if !fault.is_null() {
            assert_eq!(
                admin(&act, Method::POST, "faults", &fault).await.0,
                204,
                "{case}"
            );
        }
        let seen = status(&act, Method::PUT, &identity("a"), &west()).await;
        assert_eq!(seen, expected, "{case}");
        let entry = last(&act);
        assert_eq!(entry.status, expected.unwrap_or_default(), "{case}");
        assert_eq!(
            entry.details.fault.is_some(),
            fault.is_object() && !case.starts_with("other"),
            "{case}"
        );
        act.scene.simulation.clear_faults();
        let found = status(&act, Method::GET, &identity("a"), &Value::Null).await;
        assert_eq!(found == Some(200), exists, "{case}");
    }
}

/// The steps of a small walk, each a call of Resource Manager.
async fn walk(act: &Act) -> Vec<Option<u16>> {
    let credential = scene::act::credential("s");
    let mut seen = Vec::new();
    for (path, body) in [
        (identity("a"), west()),
        (fic("a", "one"), credential),
        (identity("b"), west()),
    ] {
        seen.push(status(act, Method::PUT, &path, &body).await);
    }
    seen
}

#[tokio::test]
async fn every_call_can_be_struck() {
    let whole = Act::start(Options::default()).await;
    let before = whole.scene.simulation.calls();
    walk(&whole).await;
    let calls = whole.scene.simulation.calls() - before;
    assert_eq!(calls, 3);
    for n in 1..=calls {
        for moment in [Moment::Before, Moment::After] {
            let act = Act::start(Options::default()).await;
            act.scene
                .simulation
                .fault(Fault::of_call(n, moment, Do::Drop))
                .unwrap();
            let seen = walk(&act).await;
            let dropped: Vec<usize> = (0..seen.len()).filter(|at| seen[*at].is_none()).collect();
            assert_eq!(dropped, [usize::try_from(n - 1).unwrap()], "{n} {moment:?}");
            // Run again it is as if nothing had been.
            walk(&act).await;
            act.walk(vec![
                get(fic("a", "one"), 200, ""),
                get(identity("b"), 200, ""),
            ])
            .await;
        }
    }
}

#[tokio::test]
async fn outages_and_headers() {
    let act = Act::start(Options::default()).await;
    let mut answer = Answer::error(503, "ServiceUnavailable", "m");
    answer
        .headers
        .insert("Retry-After".to_owned(), "7".to_owned());
    let outage = Fault {
        seconds: Some(30.0),
        ..Fault::new(Do::Answer(answer))
    };
    act.scene.simulation.fault(outage).unwrap();
    for (pass, expected) in [(0, 503), (29, 503), (1, 200)] {
        act.pass(pass);
        let response = act.send(Method::GET, GROUP, &Value::Null, &[]).await;
        assert_eq!(response.status().as_u16(), expected, "{pass} s later");
        let retry = response
            .headers()
            .get("retry-after")
            .map(|value| value.to_str().unwrap());
        assert_eq!(retry, (expected == 503).then_some("7"));
    }
}

#[tokio::test]
async fn delays_run_on_the_clock() {
    // How long, before or after, and what is answered: Resource Manager itself gives up after a minute.
    for (delay, moment, expected) in [
        (30.0, Moment::Before, 201),
        (30.0, Moment::After, 201),
        (61.0, Moment::Before, 504),
        (61.0, Moment::After, 504),
    ] {
        let act = Act::start(Options::default()).await;
        let fault = Fault {
            moment,
            ..Fault::new(Do::Delay(delay))
        };
        act.scene.simulation.fault(fault).unwrap();
        let (path, body) = (identity("a"), west());
        let asked = status(&act, Method::PUT, &path, &body);
        let time = async {
            for second in 0.. {
                tokio::time::sleep(Duration::from_millis(2)).await;
                let finished = act.scene.simulation.journal().len() > 2;
                if finished {
                    return second;
                }
                act.pass(1);
            }
            0
        };
        let (seen, passed) = tokio::join!(asked, time);
        assert_eq!(seen, Some(expected), "{delay} {moment:?}");
        let least: u64 = if expected == 504 { 60 } else { 30 };
        assert!(passed >= least, "{delay} {moment:?}: {passed} s");
        // The provider did it all the same.
        act.walk(vec![put(identity("a"), west(), 200, "")]).await;
    }
}

#[tokio::test]
async fn other_rooms_are_struck_too() {
    let act = Act::start(Options::default()).await;
    let before = act.scene.simulation.calls();
    let fault = json!({"room": "entra", "act": {"answer": {"status": 503, "body": "busy"}}});
    assert_eq!(admin(&act, Method::POST, "faults", &fault).await.0, 204);
    let url = format!(
        "{}/{}/discovery/v2.0/keys",
        act.scene.simulation.arm, act.scene.simulation.tenant
    );
    let busy = act
        .get_or_put(Method::GET, &url, &Value::Null, &[])
        .await
        .unwrap();
    assert_eq!(
        (busy.status().as_u16(), busy.text().await.unwrap().as_str()),
        (503, "busy")
    );
    let fault = json!({"room": "imds", "act": "drop"});
    assert_eq!(admin(&act, Method::POST, "faults", &fault).await.0, 204);
    assert!(
        act.get_or_put(
            Method::GET,
            &act.scene.simulation.node_imds,
            &Value::Null,
            &[]
        )
        .await
        .is_err()
    );
    assert_eq!(
        act.scene.simulation.calls(),
        before,
        "only Resource Manager's calls count"
    );
}

#[tokio::test]
async fn the_pages() {
    let act = Act::start(Options::default()).await;
    let (_, before) = admin(&act, Method::GET, "faults", &Value::Null).await;
    assert_eq!(before, json!({"calls": 1, "faults": []}));
    let fault = json!({"act": "drop", "skip": 5});
    admin(&act, Method::POST, "faults", &fault).await;
    let (_, waiting) = admin(&act, Method::GET, "faults", &Value::Null).await;
    assert_eq!(
        (&waiting["faults"][0]["skip"], &waiting["faults"][0]["act"]),
        (&json!(5), &json!("drop"))
    );
    assert_eq!(
        admin(&act, Method::DELETE, "faults", &Value::Null).await.0,
        204
    );
    assert_eq!(
        admin(&act, Method::GET, "faults", &Value::Null).await.1["faults"],
        json!([])
    );

    let (_, clock) = admin(&act, Method::GET, "clock", &Value::Null).await;
    let (_, later) = admin(&act, Method::POST, "clock", &json!({"advance": 90.5})).await;
    let passed = later["unix"].as_f64().unwrap() - clock["unix"].as_f64().unwrap();
    assert!((passed - 90.5).abs() < 0.001, "{passed}");

    let table = [
        ("faults", json!({})),
        ("faults", json!({"act": "fall"})),
        ("faults", json!({"act": {"answer": {"status": 99}}})),
        ("clock", json!({"advance": -1})),
        ("clock", json!({"until": 1})),
    ];
    for (page, body) in table {
        assert_eq!(
            admin(&act, Method::POST, page, &body).await.0,
            400,
            "{page} {body}"
        );
    }
}
