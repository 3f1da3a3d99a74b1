//! Entra's errors as the SDKs get to see them.

use std::time::{Duration, Instant};

use identity_injector::azure::settling::SETTLING_WINDOW;

use crate::peers::{Answer, Peer, Running, assertion, form};

#[tokio::test]
async fn errors_of_entra() {
    let claims = r#"issuer "https://issuer.example/", subject "system:serviceaccount:ns:sa", audience "api://AzureADTokenExchange""#;
    let table = [
        (
            "no match of the subject",
            Answer::denied(400, 700_213),
            400,
            "invalid_request",
            None,
            vec!["AADSTS700213", claims],
        ),
        (
            "the audience",
            Answer::denied(401, 700_212),
            400,
            "invalid_request",
            None,
            vec!["AADSTS700212", claims],
        ),
        (
            "but for the case",
            Answer::denied(401, 7_002_138),
            400,
            "invalid_request",
            None,
            vec!["AADSTS7002138", claims],
        ),
        (
            "no credential",
            Answer::denied(401, 70025),
            400,
            "invalid_request",
            None,
            vec!["AADSTS70025", claims],
        ),
        (
            "no application",
            Answer::denied(400, 700_016),
            400,
            "invalid_request",
            None,
            vec!["AADSTS700016", claims],
        ),
        (
            "the clock",
            Answer::denied(401, 700_024),
            400,
            "invalid_request",
            None,
            vec!["AADSTS700024", "clock"],
        ),
        (
            "the resource",
            Answer::denied(400, 500_011),
            400,
            "invalid_resource",
            None,
            vec!["AADSTS500011"],
        ),
        (
            "the tenant",
            Answer::denied(400, 90002),
            400,
            "invalid_request",
            None,
            vec!["AZURE_TENANT_ID"],
        ),
        (
            "a policy",
            Answer::denied(400, 53003),
            400,
            "invalid_request",
            None,
            vec!["policy"],
        ),
        (
            "an unknown code",
            Answer::denied(400, 99),
            400,
            "invalid_request",
            None,
            vec!["AADSTS99", "words of Entra"],
        ),
        (
            "busy",
            Answer::denied(400, 90033),
            503,
            "temporarily_unavailable",
            Some("1"),
            vec!["AADSTS90033"],
        ),
        (
            "throttled",
            Answer::denied(429, 90055).header("retry-after", "7"),
            429,
            "too_many_requests",
            Some("7"),
            vec!["AADSTS90055"],
        ),
        (
            "throttled, no wait named",
            Answer::new(429, ""),
            429,
            "too_many_requests",
            Some("5"),
            vec!["429"],
        ),
        (
            "down",
            Answer::new(503, "<html>").header("retry-after", "3"),
            503,
            "temporarily_unavailable",
            Some("3"),
            vec!["HTTP 503"],
        ),
        (
            "a firewall",
            Answer::new(403, "<html>blocked"),
            400,
            "invalid_request",
            None,
            vec!["HTTP 403", "firewall"],
        ),
        (
            "codes that are null",
            Answer::new(
                400,
                r#"{"error_codes":null,"error_description":"AADSTS700213: words","correlation_id":"id-of-entra"}"#,
            ),
            400,
            "invalid_request",
            None,
            vec!["AADSTS700213", claims],
        ),
        (
            "codes as text",
            Answer::new(
                401,
                r#"{"error_codes":["700212"],"correlation_id":"id-of-entra"}"#,
            ),
            400,
            "invalid_request",
            None,
            vec!["AADSTS700212", claims],
        ),
        (
            "unavailable without a code",
            Answer::new(400, r#"{"error":"temporarily_unavailable"}"#).header("retry-after", "9"),
            503,
            "temporarily_unavailable",
            Some("9"),
            vec!["temporarily_unavailable"],
        ),
        (
            "an empty token",
            Answer::token("", 3600),
            503,
            "temporarily_unavailable",
            Some("1"),
            vec!["no token"],
        ),
        (
            "a dead token",
            Answer::token("t", 0),
            503,
            "temporarily_unavailable",
            Some("1"),
            vec!["no token"],
        ),
        (
            "a reply without end",
            Answer::new(
                200,
                format!(
                    r#"{{"access_token":"{}","expires_in":60}}"#,
                    "x".repeat(2 << 20)
                ),
            ),
            503,
            "temporarily_unavailable",
            Some("1"),
            vec!["no token"],
        ),
        (
            "no token in it",
            Answer::new(200, "{}"),
            503,
            "temporarily_unavailable",
            Some("1"),
            vec!["no token"],
        ),
    ];
    for (name, answer, status, error, retry_after, parts) in table {
        let entra = Peer::start([answer]).await;
        let proxy = Running::start(&entra, |_| ()).await;
        let reply = proxy.token("r").await;
        assert_eq!(reply.status, status, "{name}: {}", reply.text);
        assert_eq!(reply.header("retry-after"), retry_after, "{name}");
        let body = reply.json();
        assert_eq!(body["error"], error, "{name}");
        for part in parts {
            assert!(
                body["error_description"].as_str().unwrap().contains(part),
                "{name}: {body}"
            );
        }
        assert!(!reply.text.contains(&assertion("sa")), "{name}");
        if reply.text.contains("AADSTS") {
            assert_eq!(body["correlationId"], "id-of-entra", "{name}");
        }
    }
}

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
