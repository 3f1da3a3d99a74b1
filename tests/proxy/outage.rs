//! Entra away for minutes, by a clock that the tests move.

use std::time::Duration;

use crate::peers::{Answer, Peer};
use crate::running::Running;

/// Moves the clock that tokens and waits are measured by. It runs by itself otherwise: time-outs must not come early.
async fn pass(seconds: u64) {
    // What is under way ends before.
    tokio::time::sleep(Duration::from_millis(5)).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn ten_minutes_are_not_seen_by_who_has_a_token() {
    let outages = [
        Answer::new(503, ""),
        Answer::new(502, "<html>"),
        Answer::new(500, "").header("retry-after", "30"),
        Answer::new(429, "").header("retry-after", "30"),
        Answer::denied(400, 700_016),
        Answer::denied(400, 90033),
    ];
    // Due for refresh all the time, from its half life on, and within five minutes of its end from half way on.
    let tokens = [
        Answer::due("old"),
        Answer::token("old", 700),
        Answer::token("old", 610),
    ];
    for outage in outages {
        for token in &tokens {
            let entra = Peer::start([token.clone(), outage.clone()]).await;
            let proxy = Running::start(&entra, |_| ()).await;
            assert_eq!(proxy.token("r").await.secret(), "old");
            for second in (0..600).step_by(10) {
                let reply = proxy.token("r").await;
                assert_eq!(
                    reply.status, 200,
                    "{outage:?} at {second} s: {}",
                    reply.text
                );
                assert_eq!(reply.secret(), "old", "{outage:?} at {second} s");
                pass(10).await;
            }
            // The outage was there, and Entra was not asked in vain more often than it said, or every 10 s. On a busy
            // machine an exchange may still be under way when the clock moves, which cuts it short: so 20, not 30.
            let pause = if outage.headers.is_empty() { 10 } else { 20 };
            let asked = entra.count() - 1;
            assert!(
                (5..=600 / pause).contains(&asked),
                "{outage:?} {token:?}: {asked}"
            );
            entra.answers([Answer::token("new", 3600)]);
            pass(30).await;
            proxy.token("r").await;
            entra.asked(asked + 2).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(proxy.token("r").await.secret(), "new", "{outage:?}");
        }
    }
}

#[tokio::test]
async fn throttling_is_waited_out_by_who_has_none() {
    let throttled = Answer::denied(429, 90055).header("retry-after", "120");
    let entra = Peer::start([Answer::due("t"), throttled]).await;
    let proxy = Running::start(&entra, |_| ()).await;
    assert_eq!(proxy.token("held").await.secret(), "t");
    pass(10).await;
    // Both get to hear of it: the one in the background, the other as an answer.
    assert_eq!(proxy.token("held").await.secret(), "t");
    entra.asked(2).await;
    // Seconds that pass, then what is left.
    for (passes, left) in [(0, 120_u64), (50, 70), (69, 1)] {
        pass(passes).await;
        let reply = proxy.token("none").await;
        assert_eq!(reply.status, 429, "{left}: {}", reply.text);
        assert_eq!(reply.json()["error"], "too_many_requests");
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        // The test itself may take a second.
        assert!((left - 1..=left).contains(&wait), "{wait} of {left}");
        assert_eq!(proxy.token("held").await.secret(), "t");
        assert_eq!(entra.count(), 3, "asked before its time, {left} s early");
    }
    entra.answers([Answer::token("u", 3600)]);
    pass(2).await;
    assert_eq!(proxy.token("none").await.secret(), "u");
}
