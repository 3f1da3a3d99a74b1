//! What the log says of how things stand: changes, each once.

use http::Method;

use crate::peers::{Answer, METADATA, Peer, TOKEN, TempFile, assertion, raw};
use crate::process::{command, free_port, identity, terminate, wait_for};

#[tokio::test]
async fn a_change_of_the_cause_is_told_and_no_repetition() {
    let entra = Peer::start([
        Answer::new(503, "busy"),
        Answer::new(502, "<html>"),
        Answer::denied(400, 90033),
        Answer::denied(400, 500_011),
    ])
    .await;
    let file = TempFile::new(&assertion("sa"));
    let port = free_port();
    let proxy = command(&identity(&port, &entra.url, &file))
        .spawn()
        .unwrap();
    wait_for(&port).await;
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    let target = format!("{TOKEN}?resource=r");
    for status in [503, 503, 503, 400, 400] {
        let reply = raw(address, &Method::GET, &target, METADATA).await;
        assert_eq!(reply.status, status, "{}", reply.text);
    }
    let output = terminate(proxy).await;
    let log = String::from_utf8(output.stderr).unwrap();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("no token"))
        .collect();
    assert_eq!(told.len(), 2, "{log}");
    for (line, cause) in told.iter().zip(["HTTP 503", "AADSTS500011"]) {
        assert!(line.contains(cause), "{cause} is not in {line}");
    }
}
