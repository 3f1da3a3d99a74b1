//! A federated credential that is made after its pod.

use std::time::{Duration, Instant};

use futures::future::join_all;
use http::Method;
use identity_injector::azure::settling::SETTLING_WINDOW;

use crate::peers::{Answer, Peer};
use crate::process::{serving, terminate};
use crate::running::{METADATA, Running, TOKEN, raw};

/// What Entra says of an identity that it does not know yet.
const SPREADING: [u32; 5] = [70021, 700_211, 700_213, 70025, 700_016];

/// A proxy in its first `wait` seconds.
async fn started(entra: &Peer, wait: u64) -> Running {
    Running::start_settling(entra, SETTLING_WINDOW, |args| args.credential_wait = wait).await
}

#[tokio::test]
async fn is_ridden_out_by_every_caller() {
    let cases = SPREADING.map(async |code| {
        let entra = Peer::start([Answer::denied(400, code)]).await;
        let proxy = started(&entra, 30).await;
        let asked = Instant::now();
        let callers = async {
            let hanging_up = tokio::time::timeout(Duration::from_millis(500), proxy.token("r"));
            assert!(hanging_up.await.is_err(), "{code}: answered too early");
            join_all((0..20).map(|_| proxy.token("r"))).await
        };
        let made = async {
            tokio::time::sleep(3 * SETTLING_WINDOW).await;
            assert!(entra.count() < 8, "{code}: asked {} times", entra.count());
            entra.answers([Answer::token("t", 3600)]);
        };
        let (replies, ()) = tokio::join!(callers, made);
        let took = asked.elapsed();
        assert!(replies.iter().all(|reply| reply.secret() == "t"), "{code}");
        // It was made after 3.6 s, and the pause is 2 s at most.
        assert!(took < Duration::from_secs(7), "{code}: {took:?}");
        assert!(entra.count() < 10, "{code}: asked {} times", entra.count());
    });
    join_all(cases).await;
}

#[tokio::test]
async fn that_never_comes_is_refused_at_the_end_of_the_wait_and_at_once_after_it() {
    let entra = Peer::start([Answer::denied(400, 700_213)]).await;
    let proxy = started(&entra, 4).await;
    // resource, from and to (ms): the first waits for 4 s, less the pause that no longer fits in.
    for (resource, from, to) in [("one", 1500, 4500), ("two", 100, 2000)] {
        let asked = Instant::now();
        let reply = proxy.token(resource).await;
        let took = asked.elapsed().as_millis();
        assert_eq!(reply.status, 400, "{resource}");
        assert!(reply.text.contains("AADSTS700213"), "{}", reply.text);
        assert!((from..to).contains(&took), "{resource}: {took} ms");
        if resource == "one" {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    }
}

#[tokio::test]
async fn is_not_waited_for_when_something_else_is_wrong() {
    // Answer, in how many milliseconds it must be told, in how many attempts at least.
    let table = [
        (Answer::denied(401, 700_212), 500, 1),
        (Answer::denied(400, 7_002_138), 500, 1),
        (Answer::denied(400, 500_011), 500, 1),
        (Answer::denied(503, 700_213), 500, 1),
        (Answer::new(403, "<html>blocked"), 500, 1),
        (Answer::denied(401, 700_024), 2000, 2),
        (Answer::denied(401, 700_027), 2000, 2),
    ];
    for (answer, limit, attempts) in table {
        let entra = Peer::start([answer.clone()]).await;
        let proxy = started(&entra, 30).await;
        let asked = Instant::now();
        assert_ne!(proxy.token("r").await.status, 200, "{answer:?}");
        let took = asked.elapsed().as_millis();
        assert!(took < limit, "{answer:?}: {took} ms");
        assert!(entra.count() >= attempts, "{answer:?}: {}", entra.count());
    }
}

#[tokio::test]
async fn is_waited_for_by_identities_without_any_token_only() {
    let entra = Peer::start([Answer::token("t", 3600), Answer::denied(400, 700_213)]).await;
    let proxy = started(&entra, 30).await;
    assert_eq!(proxy.token("r").await.secret(), "t");
    let asked = Instant::now();
    assert_eq!(proxy.token("another").await.status, 400);
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "{:?}",
        asked.elapsed()
    );
    let other = format!("{TOKEN}?resource=r&client_id=other");
    let waiting = tokio::time::timeout(Duration::from_secs(2), proxy.get(&other, METADATA));
    assert!(waiting.await.is_err(), "another identity must wait");
}

#[tokio::test]
async fn is_told_once_in_the_log_and_holds_nobody_who_leaves() {
    let entra = Peer::start([Answer::denied(400, 700_213)]).await;
    let (proxy, address, _file) = serving(&entra).await;
    let ask = async |resource: &str| {
        let target = format!("{TOKEN}?resource={resource}");
        raw(address, &Method::GET, &target, METADATA).await
    };
    let made = async {
        entra.asked(4).await;
        entra.answers([Answer::token("t", 3600)]);
    };
    let (reply, ()) = tokio::join!(ask("one"), made);
    assert_eq!(reply.secret(), "t");

    entra.answers([Answer::denied(400, 700_016)]);
    let target = format!("{TOKEN}?resource=one&client_id=other");
    let url = format!("http://{address}{target}");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    tokio::spawn(client.get(url).header("Metadata", "true").send());
    let before = entra.count();
    entra.asked(before + 2).await;
    let started = Instant::now();
    let output = terminate(proxy).await;
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(output.status.success(), "{output:?}");

    let log = String::from_utf8(output.stderr).unwrap();
    let waits: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("waiting for an identity"))
        .collect();
    let told = [("client", "AADSTS700213"), ("other", "AADSTS700016")];
    assert_eq!(waits.len(), told.len(), "{log}");
    for (line, (client, code)) in waits.iter().zip(told) {
        for said in [&*format!("client_id=\"{client}\""), code, "up_to_seconds=2"] {
            assert!(line.contains(said), "{said} is not in {line}");
        }
    }
    assert_eq!(log.matches("token obtained").count(), 1, "{log}");
    assert!(!log.contains("no token"), "{log}");
}

#[tokio::test]
async fn takes_no_place_from_others_between_two_requests() {
    let entra = Peer::start([Answer::denied(400, 700_213)]).await;
    let proxy = started(&entra, 30).await;
    let resources: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    let (first, second) = resources.split_at(30);
    let waiting = join_all(first.iter().map(|resource| proxy.token(resource)));
    let others = async {
        entra.asked(first.len()).await;
        let others = join_all(second.iter().map(|resource| proxy.token(resource)));
        let made = async {
            entra.asked(resources.len()).await;
            entra.answers([Answer::token("t", 3600)]);
        };
        tokio::join!(others, made).0
    };
    let (waiting, others) = tokio::join!(waiting, others);
    for reply in waiting.iter().chain(&others) {
        assert_eq!(reply.secret(), "t");
    }
}
