//! The exchange at Entra: what is tried again, and what is sent.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use identity_injector::azure::settling::SETTLING_WINDOW;

use crate::peers::{Answer, Peer, form};
use crate::running::{Running, assertion};

#[tokio::test]
async fn a_wrong_credential_fails_in_under_two_seconds() {
    let entra = Peer::start([Answer::denied(400, 700_213)]).await;
    let proxy = Running::start_settling(&entra, SETTLING_WINDOW, |_| ()).await;
    let started = Instant::now();
    assert_eq!(proxy.token("r").await.status, 400);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert!(entra.count() > 1, "not tried again");
}

#[tokio::test]
async fn a_credential_that_settles_is_not_seen_by_the_app() {
    for code in [70021, 700_211, 700_213, 70025, 700_016] {
        let entra = Peer::start([
            Answer::denied(400, code),
            Answer::denied(401, code),
            Answer::token("t", 3600),
        ])
        .await;
        let proxy = Running::start_settling(&entra, Duration::from_secs(10), |_| ()).await;
        assert_eq!(proxy.token("r").await.secret(), "t", "{code}");
        assert_eq!(entra.count(), 3, "{code}");
    }
}

#[tokio::test]
async fn what_stays_or_passes_by_itself_is_not_tried_again_inside_a_request() {
    for answer in [
        Answer::denied(400, 700_212),
        Answer::denied(400, 500_011),
        Answer::new(503, ""),
    ] {
        let entra = Peer::start([answer.clone()]).await;
        let proxy = Running::start_settling(&entra, Duration::from_secs(10), |_| ()).await;
        assert_ne!(proxy.token("r").await.status, 200);
        assert_eq!(entra.count(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_said() {
    let answer = Answer::denied(401, 700_024).header("date", "Tue, 24 Nov 2020 10:00:00 GMT");
    let entra = Peer::start([answer]).await;
    let proxy = Running::start(&entra, |_| ()).await;
    let reply = proxy.token("r").await;
    let said = reply.json()["error_description"].to_string();
    assert!(said.contains("This node's clock is "), "{said}");
    assert!(said.contains(" s ahead of Entra's. Entra: "), "{said}");
}

#[tokio::test]
async fn nobody_at_the_authority() {
    let entra = Peer::start([]).await;
    let proxy = Running::start(&entra, |args| {
        args.authority_host = "http://127.0.0.1:1".to_owned();
    })
    .await;
    let reply = proxy.token("r").await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("1"))
    );
    assert!(
        reply.text.contains("http://127.0.0.1:1 did not answer"),
        "{}",
        reply.text
    );
    assert!(
        reply.text.contains("refused"),
        "the root cause is missing: {}",
        reply.text
    );
}

#[tokio::test]
async fn nothing_from_the_authority() {
    let entra = Peer::start([Answer::token("t", 3600).after(Duration::from_secs(60))]).await;
    let proxy = Running::start(&entra, |_| ()).await;
    let started = tokio::time::Instant::now();
    // Simulated from here: it jumps to the next limit whenever nothing happens.
    tokio::time::pause();
    let reply = proxy.token("r").await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("1"))
    );
    assert!(reply.text.contains("did not answer"), "{}", reply.text);
    assert!(reply.text.contains("timed out"), "{}", reply.text);
    assert!(
        started.elapsed() < Duration::from_secs(11),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn the_token_file_is_read_at_each_exchange() {
    let entra = Peer::start([Answer::token("t", 3600)]).await;
    let proxy = Running::start(&entra, |_| ()).await;
    assert_eq!(proxy.token("one").await.status, 200);
    std::fs::write(&proxy.token_file.0, format!("{}\n", assertion("rotated"))).unwrap();
    assert_eq!(proxy.token("two").await.status, 200);
    let sent: Vec<_> = entra
        .seen()
        .iter()
        .map(|seen| form(&seen.body)["client_assertion"].clone())
        .collect();
    assert_eq!(sent, [assertion("sa"), assertion("rotated")]);

    let table: [(&str, Option<&[u8]>, &str); 5] = [
        ("empty", Some(b""), "the file holds no JSON Web Token"),
        (
            "no token",
            Some(b"hello"),
            "the file holds no JSON Web Token",
        ),
        (
            "two parts",
            Some(b"a.b"),
            "the file holds no JSON Web Token",
        ),
        (
            "no text",
            Some(b"\xff\xfe"),
            "the file holds no JSON Web Token",
        ),
        (
            "absent",
            None,
            "No such file or directory (os error 2); is the token volume mounted there?",
        ),
    ];
    for (name, change, said) in table {
        match change {
            Some(bytes) => std::fs::write(&proxy.token_file.0, bytes).unwrap(),
            None => std::fs::remove_file(&proxy.token_file.0).unwrap(),
        }
        let reply = proxy.token(&name.replace(' ', "-")).await;
        assert!(reply.text.contains(said), "{name}: {}", reply.text);
        assert_eq!(reply.status, 400, "{name}");
        assert!(
            reply.text.contains("AZURE_FEDERATED_TOKEN_FILE"),
            "{name}: {}",
            reply.text
        );
    }
    assert_eq!(entra.count(), 2, "what is no token is not sent to Entra");
}

/// As kubelet does it: the file is a link through `..data`, which is renamed onto another folder.
#[tokio::test]
async fn the_token_file_may_change_by_a_swapped_link() {
    let volume = tempfile::tempdir().unwrap();
    let path = |name: &str| volume.path().join(name);
    for name in ["sa", "rotated"] {
        std::fs::create_dir(path(name)).unwrap();
        std::fs::write(path(name).join("token"), assertion(name)).unwrap();
    }
    symlink("sa", path("..data")).unwrap();
    symlink("..data/token", path("token")).unwrap();
    let entra = Peer::start([Answer::token("t", 3600)]).await;
    let proxy = Running::start(&entra, |args| args.federated_token_file = path("token")).await;
    for name in ["sa", "rotated"] {
        symlink(name, path("..data_tmp")).unwrap();
        std::fs::rename(path("..data_tmp"), path("..data")).unwrap();
        assert_eq!(proxy.token(name).await.secret(), "t");
        let sent = entra.seen().pop().unwrap();
        assert_eq!(form(&sent.body)["client_assertion"], assertion(name));
    }
}
