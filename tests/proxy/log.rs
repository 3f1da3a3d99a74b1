//! What the log says of how things stand: changes, each once.

use http::Method;

use crate::peers::{Answer, Peer};
use crate::process::{serving, terminate};
use crate::running::{METADATA, TOKEN, raw};

/// What the binary logs when each of the resources is asked for, in turn, with the answer's status beside it.
async fn log_of(entra: &Peer, asked: &[(&str, u16)]) -> String {
    let (proxy, address, _file) = serving(entra).await;
    for (resource, status) in asked {
        let target = format!("{TOKEN}?resource={resource}");
        let reply = raw(address, &Method::GET, &target, METADATA).await;
        assert_eq!(reply.status, *status, "{}", reply.text);
    }
    let output = terminate(proxy).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_change_of_the_cause_is_told_and_no_repetition() {
    let entra = Peer::start([
        Answer::new(503, "busy"),
        Answer::new(502, "<html>"),
        Answer::denied(400, 90033),
        Answer::denied(400, 500_011),
    ])
    .await;
    let asked = [503, 503, 503, 400, 400].map(|status| ("r", status));
    let log = log_of(&entra, &asked).await;
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("no token"))
        .collect();
    assert_eq!(told.len(), 2, "{log}");
    for (line, cause) in told.iter().zip(["HTTP 503", "AADSTS500011"]) {
        assert!(line.contains(cause), "{cause} is not in {line}");
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_and_that_it_is_right_again() {
    let right = || Answer::token("t", 3600);
    let past = || right().header("date", "Tue, 15 Nov 1994 12:45:26 GMT");
    let entra = Peer::start([right(), past(), past(), right()]).await;
    let log = log_of(
        &entra,
        &["a", "b", "c", "d"].map(|resource| (resource, 200)),
    )
    .await;
    for said in [" s ahead of Entra's.", "clock is right again"] {
        assert_eq!(log.matches(said).count(), 1, "{said}: {log}");
    }
}
