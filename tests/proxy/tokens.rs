//! Tokens at hand: how often Entra is asked, and what its outages cost.

use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::peers::{Answer, Peer};
use crate::running::{METADATA, Running, TOKEN};

#[tokio::test]
async fn a_hundred_at_once_make_one_exchange() {
    let entra = Peer::start([Answer::token("t", 3600).after(Duration::from_millis(100))]).await;
    let proxy = Running::start(&entra, |_| ()).await;
    let replies = join_all((0..100).map(|_| proxy.token("r"))).await;
    assert!(replies.iter().all(|reply| reply.secret() == "t"));
    assert_eq!(entra.count(), 1);
}

#[tokio::test]
async fn a_hundred_at_once_share_a_failure() {
    let entra = Peer::start([Answer::new(503, "").after(Duration::from_millis(100))]).await;
    let proxy = Running::start(&entra, |_| ()).await;
    let replies = join_all((0..100).map(|_| proxy.token("r"))).await;
    assert!(replies.iter().all(|reply| reply.status == 503));
    assert_eq!(entra.count(), 1);
    // What passes by itself is not held against the next one.
    entra.answers([Answer::token("t", 3600)]);
    assert_eq!(proxy.token("r").await.secret(), "t");
}

#[tokio::test]
async fn exchanges_under_way_are_limited() {
    let entra = Peer::start([Answer::token("t", 3600).after(Duration::from_millis(500))]).await;
    let proxy = Running::start(&entra, |_| ()).await;
    let resources: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let replies = join_all(resources.iter().map(|resource| proxy.token(resource))).await;
    let statuses = |status| {
        replies
            .iter()
            .filter(|reply| reply.status == status)
            .count()
    };
    assert_eq!((statuses(200), statuses(503), entra.count()), (32, 8, 32));
    // The limit is lifted as exchanges end.
    assert_eq!(proxy.token("another").await.secret(), "t");
}

#[tokio::test]
async fn each_client_and_resource_has_its_own() {
    let entra =
        Peer::start(["one", "two", "three"].map(|secret| Answer::token(secret, 3600))).await;
    let proxy = Running::start(&entra, |_| ()).await;
    let named = format!("{TOKEN}?resource=r&client_id=named");
    for _ in 0..2 {
        assert_eq!(proxy.token("r").await.secret(), "one");
        assert_eq!(proxy.token("r/").await.secret(), "two");
        assert_eq!(proxy.get(&named, METADATA).await.secret(), "three");
    }
    assert_eq!(entra.count(), 3);
}

#[tokio::test]
async fn bypass_cache_gets_a_new_one() {
    let entra = Peer::start(["one", "two"].map(|secret| Answer::token(secret, 3600))).await;
    let proxy = Running::start(&entra, |_| ()).await;
    assert_eq!(proxy.token("r").await.secret(), "one");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let bypass = format!("{TOKEN}?resource=r&bypass_cache=true");
    assert_eq!(proxy.get(&bypass, METADATA).await.secret(), "two");
    assert_eq!(proxy.token("r").await.secret(), "two");
    assert_eq!(entra.count(), 2);
}

#[tokio::test]
async fn what_is_due_at_once_is_not_asked_for_at_each_request() {
    // Due for refresh, and within five minutes of its end, from the start; and asked to be new each time.
    let table = [
        (Answer::due("t"), ""),
        (Answer::token("t", 300), ""),
        (Answer::token("t", 3600), "&bypass_cache=true"),
    ];
    for (answer, parameter) in table {
        let entra = Peer::start([answer]).await;
        let proxy = Running::start(&entra, |_| ()).await;
        for _ in 0..6 {
            let target = format!("{TOKEN}?resource=r{parameter}");
            assert_eq!(proxy.get(&target, METADATA).await.secret(), "t");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(entra.count(), 1, "{parameter}");
    }
}

#[tokio::test]
async fn a_refresh_makes_nobody_wait() {
    let entra = Peer::start([
        Answer::due("one"),
        Answer::token("two", 3600).after(Duration::from_millis(300)),
    ])
    .await;
    let proxy = Running::start_paced(&entra, Duration::ZERO, Duration::ZERO, |_| ()).await;
    assert_eq!(proxy.token("r").await.secret(), "one");
    let started = Instant::now();
    let replies = join_all((0..20).map(|_| proxy.token("r"))).await;
    assert!(replies.iter().all(|reply| reply.secret() == "one"));
    assert!(started.elapsed() < Duration::from_millis(300));
    entra.asked(2).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(proxy.token("r").await.secret(), "two");
    assert_eq!(entra.count(), 2);
}

#[tokio::test]
async fn an_outage_is_not_seen_while_a_token_is_valid() {
    const PAUSE: Duration = Duration::from_millis(500);
    let down = [
        Answer::new(503, ""),
        Answer::denied(400, 700_213),
        Answer::new(502, "<html>"),
    ];
    for outage in down {
        // One due for refresh, and one within five minutes of its end.
        for token in [Answer::due("t"), Answer::token("t", 200)] {
            let entra = Peer::start([token.clone(), outage.clone()]).await;
            let proxy = Running::start_paced(&entra, Duration::ZERO, PAUSE, |_| ()).await;
            assert_eq!(proxy.token("r").await.secret(), "t", "{token:?} {outage:?}");
            tokio::time::sleep(PAUSE).await;
            for _ in 0..10 {
                assert_eq!(proxy.token("r").await.secret(), "t", "{token:?} {outage:?}");
            }
            entra.asked(2).await;
            assert_eq!(
                entra.count(),
                2,
                "Entra must be left alone for a while: {token:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_silent_entra_delays_by_a_second_at_most_while_a_token_is_valid() {
    let silent = Answer::token("u", 3600).after(Duration::from_secs(30));
    let entra = Peer::start([Answer::token("t", 200), silent]).await;
    let proxy = Running::start_paced(&entra, Duration::ZERO, Duration::ZERO, |_| ()).await;
    assert_eq!(proxy.token("r").await.secret(), "t");
    let started = Instant::now();
    assert_eq!(proxy.token("r").await.secret(), "t");
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn near_its_end_a_token_is_replaced_before_it_is_served() {
    let entra = Peer::start([Answer::token("one", 200), Answer::token("two", 3600)]).await;
    let proxy = Running::start_paced(&entra, Duration::ZERO, Duration::ZERO, |_| ()).await;
    assert_eq!(proxy.token("r").await.secret(), "one");
    assert_eq!(proxy.token("r").await.secret(), "two");
}

#[tokio::test]
async fn an_outage_is_seen_at_the_real_end() {
    let entra = Peer::start([Answer::token("t", 1), Answer::new(503, "")]).await;
    let proxy = Running::start(&entra, |_| ()).await;
    assert_eq!(proxy.token("r").await.secret(), "t");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(proxy.token("r").await.status, 503);
}

#[tokio::test]
async fn a_refusal_is_repeated_for_a_moment() {
    let entra = Peer::start([Answer::denied(400, 700_212)]).await;
    let proxy = Running::start(&entra, |_| ()).await;
    for _ in 0..5 {
        assert_eq!(proxy.token("r").await.status, 400);
    }
    assert_eq!(entra.count(), 1);
}

#[tokio::test]
async fn an_exchange_outlives_the_caller_who_asked() {
    let entra = Peer::start([Answer::token("t", 3600).after(Duration::from_millis(200))]).await;
    let proxy = Running::start(&entra, |_| ()).await;
    let impatient = tokio::time::timeout(Duration::from_millis(50), proxy.token("r")).await;
    assert!(impatient.is_err());
    entra.asked(1).await;
    assert_eq!(proxy.token("r").await.secret(), "t");
    assert_eq!(entra.count(), 1);
}
