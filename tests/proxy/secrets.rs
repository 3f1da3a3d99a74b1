//! What must never be read in a log, whatever happens and at whatever level.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::peers::{Answer, Peer, TempFile};
use crate::process::{Pairs, command, free_port, terminate, wait_for};
use crate::running::{METADATA, SECRET, TOKEN, assertion, raw};

/// As long as a real one's signature, and in three parts.
const ACCESS_TOKEN: &str = "YWNjZXNz.dG9rZW4tcGF5bG9hZA.c2lnbmF0dXJlLW9mLWVudHJh";
const OUTBOUND_PASSWORD: &str = "password-of-the-outbound-proxy";
/// In a token file that holds no token.
const NO_ASSERTION: &str = "half-a-token-that-was-cut";

/// Values that stand in the pod's variables, headers and bodies.
const VALUES: [&str; 8] = [
    SECRET,
    "first-value",
    "second-value",
    "guess-of-a-secret",
    "bearer-of-the-app",
    "body-of-the-app",
    OUTBOUND_PASSWORD,
    NO_ASSERTION,
];

/// A proxy that logs everything to a file.
struct Logging {
    child: Child,
    address: SocketAddr,
    token_file: TempFile,
    log: TempFile,
}

impl Logging {
    async fn start(environment: Pairs<'_>) -> Self {
        let token_file = TempFile::new(&assertion("sa"));
        // A file, as the log at this level is more than a pipe holds.
        let log = TempFile::new("");
        let port = free_port();
        let own = [
            ("PROXY_PORT", port.as_str()),
            ("AZURE_CLIENT_ID", "client"),
            ("AZURE_TENANT_ID", "tenant"),
            ("AZURE_FEDERATED_TOKEN_FILE", token_file.0.to_str().unwrap()),
            ("IDENTITY_HEADER", SECRET),
            (
                "IDENTITY_INJECTOR_ACCEPTED_HEADERS",
                "first-value\nsecond-value",
            ),
            ("CREDENTIAL_WAIT", "2"),
            ("LOG_LEVEL", "trace"),
        ];
        let child = command(&[own.as_slice(), environment].concat())
            .stderr(std::fs::File::create(&log.0).unwrap())
            .spawn()
            .unwrap();
        wait_for(&port).await;
        Self {
            child,
            address: format!("127.0.0.1:{port}").parse().unwrap(),
            token_file,
            log,
        }
    }

    async fn token(&self, query: &str, headers: Pairs<'_>) -> u16 {
        let target = format!("{TOKEN}?{query}");
        raw(self.address, &Method::GET, &target, headers)
            .await
            .status
    }

    /// Bytes that an HTTP client would not send.
    async fn send(&self, text: &str) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }

    /// What it printed, in the end.
    async fn printed(self) -> String {
        let output = terminate(self.child).await;
        assert!(output.status.success(), "{output:?}");
        let log = std::fs::read_to_string(&self.log.0).unwrap();
        log + &String::from_utf8(output.stdout).unwrap()
    }
}

/// Every kind of answer of Entra, and what the application reads of it.
fn answers() -> Vec<(u16, Answer)> {
    let echo = |status: u16| {
        let words = format!("AADSTS50013: client_assertion={}&x", assertion("sa"));
        Answer::new(status, json!({"error_description": words}).to_string())
    };
    let half = json!({"access_token": ACCESS_TOKEN}).to_string();
    let location = format!("https://elsewhere.example/#{ACCESS_TOKEN}");
    vec![
        // While the identity has no token, this one is waited for.
        (400, Answer::denied(400, 700_213)),
        (200, Answer::token(ACCESS_TOKEN, 3600)),
        (400, Answer::denied(401, 700_024)),
        (400, Answer::denied(401, 700_212)),
        (400, Answer::denied(400, 500_011)),
        (503, Answer::denied(400, 90033)),
        (429, Answer::denied(429, 90055)),
        (400, echo(400)),
        (503, echo(500)),
        (503, Answer::new(200, half)),
        (503, Answer::new(502, format!("<html>{}", assertion("sa")))),
        (400, Answer::new(302, "").header("location", location)),
    ]
}

/// Headers that admit a request, and ones that do not.
fn headers() -> [(u16, Pairs<'static>); 8] {
    [
        (200, METADATA),
        (200, &[("X-IDENTITY-HEADER", SECRET)]),
        (200, &[("X-IDENTITY-HEADER", "first-value")]),
        (200, &[("secret", "second-value")]),
        (401, &[("X-IDENTITY-HEADER", "guess-of-a-secret")]),
        (
            401,
            &[("secret", "guess-of-a-secret"), ("Metadata", "true")],
        ),
        (
            400,
            &[
                ("X-IDENTITY-HEADER", SECRET),
                ("X-Forwarded-For", "10.0.0.1"),
            ],
        ),
        (400, &[("Authorization", "Bearer bearer-of-the-app")]),
    ]
}

async fn ask_for_everything(proxy: &Logging, entra: &Peer) {
    for (number, (status, answer)) in answers().into_iter().enumerate() {
        entra.answers([answer.clone()]);
        let got = proxy.token(&format!("resource={number}"), METADATA).await;
        assert_eq!(got, status, "{answer:?}");
    }
    entra.answers([Answer::token(ACCESS_TOKEN, 3600)]);
    for (status, headers) in headers() {
        assert_eq!(
            proxy.token("resource=r", headers).await,
            status,
            "{headers:?}"
        );
    }
    let other = "resource=r&client_id=other&bypass_cache=true";
    assert_eq!(proxy.token(other, METADATA).await, 200);
}

async fn rotate(proxy: &Logging) {
    std::fs::write(&proxy.token_file.0, assertion("rotated")).unwrap();
    assert_eq!(proxy.token("resource=after", METADATA).await, 200);
    std::fs::write(&proxy.token_file.0, NO_ASSERTION).unwrap();
    assert_eq!(proxy.token("resource=none", METADATA).await, 400);
}

async fn misuse(proxy: &Logging) {
    let asking =
        format!("GET {TOKEN}?resource=r HTTP/1.1\r\nHost: h\r\nX-IDENTITY-HEADER: {SECRET}");
    proxy.send(&format!("{asking}\u{1}\r\n\r\n")).await;
    let long = "first-value".repeat(8192);
    proxy
        .send(&format!("{asking}\r\nsecret: {long}\r\n\r\n"))
        .await;
    let posted = "Connection: close\r\nContent-Length: 15\r\n\r\nbody-of-the-app";
    let posting = asking.replacen("GET", "POST", 1);
    proxy.send(&format!("{posting}\r\n{posted}")).await;
}

/// Past the token paths, with all that an application may send there.
async fn pass_through(proxy: &Logging, status: u16) {
    let headers = [
        ("X-IDENTITY-HEADER", SECRET),
        ("Authorization", "Bearer bearer-of-the-app"),
    ];
    let target = "/metadata/instance?api-version=2021-02-01";
    let reply = raw(proxy.address, &Method::GET, target, &headers).await;
    assert_eq!(reply.status, status);
}

fn assert_silent(log: &str) {
    let assertions = [assertion("sa"), assertion("rotated")];
    let of_assertions = assertions.iter().flat_map(|it| it.split('.'));
    let sent = azure_core::base64::encode(format!("user:{OUTBOUND_PASSWORD}"));
    let secrets: BTreeSet<&str> = of_assertions
        .chain([&*sent])
        .chain(ACCESS_TOKEN.split('.'))
        .chain(VALUES)
        .collect();
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
}

#[tokio::test]
async fn are_not_in_the_log_of_a_proxy_that_met_everything() {
    let (entra, ca) = Peer::start_tls([]).await;
    let node = Peer::start([Answer::new(200, "body-of-the-app")]).await;
    let proxy = Logging::start(&[
        ("AZURE_AUTHORITY_HOST", &entra.url),
        ("IMDS_URL", &node.url),
        ("SSL_CERT_FILE", ca.0.to_str().unwrap()),
        ("LOG_FORMAT", "json"),
    ])
    .await;
    ask_for_everything(&proxy, &entra).await;
    rotate(&proxy).await;
    misuse(&proxy).await;
    pass_through(&proxy, 200).await;
    let log = proxy.printed().await;
    assert_silent(&log);

    // The silence above means something: all of it was told, by us and by the libraries.
    let lines = log.lines();
    let lines: Vec<Value> = lines.map(|it| serde_json::from_str(it).unwrap()).collect();
    for target in [
        "h2::frame::headers",
        "hyper_util::client",
        "identity_injector::proxy",
    ] {
        let mut targets = lines.iter().filter_map(|line| line["target"].as_str());
        assert!(
            targets.any(|it| it.starts_with(target)),
            "{target} is silent"
        );
    }
    let told = [
        "waiting for an identity",
        "token obtained",
        "no token",
        "system:serviceaccount:ns:sa",
        "[assertion]",
        "request refused",
    ];
    for said in told {
        assert!(log.contains(said), "{said} is not in the log");
    }
}

#[tokio::test]
async fn are_not_in_the_log_where_the_way_out_has_a_password() {
    let outbound = Peer::start([]).await;
    let address = outbound.url.trim_start_matches("http://");
    let dead = "127.0.0.1:1";
    for address in [address, dead] {
        let way_out = format!("http://user:{OUTBOUND_PASSWORD}@{address}");
        let proxy = Logging::start(&[
            ("AZURE_AUTHORITY_HOST", "http://127.0.0.1:2"),
            ("http_proxy", &way_out),
            ("IMDS_URL", "http://127.0.0.1:1"),
        ])
        .await;
        if address == dead {
            assert_eq!(proxy.token("resource=r", METADATA).await, 503);
        } else {
            ask_for_everything(&proxy, &outbound).await;
            rotate(&proxy).await;
        }
        pass_through(&proxy, 504).await;
        assert_silent(&proxy.printed().await);
    }
    let sent = outbound.seen();
    assert!(
        sent.iter()
            .all(|it| it.headers.contains_key("proxy-authorization"))
    );
}
