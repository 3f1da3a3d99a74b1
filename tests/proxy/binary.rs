//! The binary itself: environment, trust roots, outbound proxies, logs, signals, exit codes.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use http::Method;

use crate::peers::{Answer, Peer, TempFile};
use crate::process::{Pairs, command, free_port, identity, terminate, wait_for};
use crate::running::{METADATA, SECRET, TOKEN, assertion, raw};

#[tokio::test]
async fn serves_by_environment() {
    let (entra, ca) =
        Peer::start_tls([Answer::token("t", 3600), Answer::denied(400, 700_213)]).await;
    let file = TempFile::new(&assertion("sa"));
    let port = free_port();
    let authority = format!("{}/", entra.url);
    let proxy = command(&identity(&port, &authority, &file))
        .envs([
            ("IDENTITY_HEADER", SECRET),
            (
                "IDENTITY_INJECTOR_ACCEPTED_HEADERS",
                "first-value\nsecond-value",
            ),
            ("IMDS_PASSTHROUGH", "deny"),
            ("SSL_CERT_FILE", ca.0.to_str().unwrap()),
        ])
        .spawn()
        .unwrap();
    wait_for(&port).await;
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    let get = async |query: &str, headers: Pairs<'_>| {
        raw(address, &Method::GET, &format!("{TOKEN}?{query}"), headers).await
    };
    let reply = get("resource=r", &[("X-IDENTITY-HEADER", "second-value")]).await;
    assert_eq!(reply.secret(), "t");
    assert_eq!(
        get("resource=r", &[("X-IDENTITY-HEADER", SECRET)])
            .await
            .status,
        200
    );
    assert_eq!(
        get("resource=r", &[("X-IDENTITY-HEADER", "another-value")])
            .await
            .status,
        401
    );
    assert_eq!(get("resource=a%0aforged", METADATA).await.status, 400);
    let forged = get("resource=r&client_id=a%0aforged", METADATA).await;
    assert_eq!(forged.status, 400);

    let started = Instant::now();
    let output = terminate(proxy).await;
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(output.status.success(), "{output:?}");
    let log = String::from_utf8(output.stderr).unwrap();
    for said in [
        "proxy serves",
        "tenant",
        "token obtained",
        "AADSTS700213",
        "system:serviceaccount:ns:sa",
    ] {
        assert!(log.contains(said), "{said} is not in {log}");
    }
    assert!(!log.lines().any(|line| line.starts_with("forged")), "{log}");
}

#[tokio::test]
async fn outbound_proxies_are_for_entra_only() {
    let outbound = Peer::start([Answer::token("through-the-proxy", 3600)]).await;
    let node = Peer::start([Answer::new(200, "straight from the node")]).await;
    let file = TempFile::new(&assertion("sa"));
    let port = free_port();
    let proxy = command(&identity(&port, "http://127.0.0.1:1/", &file))
        .envs([("IMDS_URL", &node.url), ("http_proxy", &outbound.url)])
        .spawn()
        .unwrap();
    wait_for(&port).await;
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    let token = raw(
        address,
        &Method::GET,
        &format!("{TOKEN}?resource=r"),
        METADATA,
    )
    .await;
    assert_eq!(token.secret(), "through-the-proxy");
    assert_eq!(
        outbound.seen()[0].target,
        "http://127.0.0.1:1/tenant/oauth2/v2.0/token"
    );
    let instance = raw(address, &Method::GET, "/metadata/instance", METADATA).await;
    assert_eq!(instance.text, "straight from the node");
    assert_eq!((outbound.count(), node.count()), (1, 1));
    terminate(proxy).await;
}

#[tokio::test]
async fn starts_that_fail() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port().to_string();
    let listen = format!(
        "identity-injector: can't listen on {address}: Address already in use (os error 98)"
    );
    let table: [(&str, Pairs<'_>, i32, &str); 12] = [
        (
            "no tenant",
            &[("PROXY_PORT", "0")],
            64,
            "identity-injector: AZURE_TENANT_ID not set: give --tenant-id, or annotate the ServiceAccount with \
             azure.workload.identity/tenant-id",
        ),
        (
            "address taken",
            &[("PROXY_PORT", &port), ("AZURE_TENANT_ID", "t")],
            1,
            &listen,
        ),
        (
            "no such file",
            &[("AZURE_TENANT_ID", "t"), ("SSL_CERT_FILE", "/absent.pem")],
            1,
            "identity-injector: SSL_CERT_FILE /absent.pem: I/O error: No such file or directory (os error 2)",
        ),
        (
            "any tenant",
            &[("AZURE_TENANT_ID", "common")],
            64,
            "identity-injector: --tenant-id (AZURE_TENANT_ID) \"common\": the GUID or a domain name of one tenant is \
             expected",
        ),
        (
            "authority with a password",
            &[
                ("AZURE_TENANT_ID", "t"),
                ("AZURE_AUTHORITY_HOST", "https://u:pw@h/"),
            ],
            64,
            "identity-injector: --authority-host (AZURE_AUTHORITY_HOST) \"...@h/\": must have neither user, query nor \
             fragment",
        ),
        (
            "node with a password",
            &[("AZURE_TENANT_ID", "t"), ("IMDS_URL", "http://u:pw@h/")],
            64,
            "identity-injector: --imds-url (IMDS_URL) \"...@h/\": an address as in http://169.254.169.254 is expected",
        ),
        (
            "node with a fragment",
            &[("AZURE_TENANT_ID", "t"), ("IMDS_URL", "http://h/#f")],
            64,
            "identity-injector: --imds-url (IMDS_URL) \"http://h/...\": an address as in http://169.254.169.254 is \
             expected",
        ),
        (
            "no map",
            &[
                ("AZURE_TENANT_ID", "t"),
                ("IDENTITY_INJECTOR_RESOURCE_IDS", "[]"),
            ],
            64,
            "identity-injector: --resource-ids (IDENTITY_INJECTOR_RESOURCE_IDS): invalid type: sequence, expected a map \
             at line 1 column 0; expected is a JSON object of resource id or object id to client id",
        ),
        (
            "no level",
            &[("LOG_LEVEL", "nonsense")],
            64,
            "error: invalid value 'nonsense' for '--log-level <LOG_LEVEL>': use error, warn, info, debug, trace or off, \
             or ROOM=LEVEL, separated by commas",
        ),
        (
            "no such answer",
            &[("IMDS_PASSTHROUGH", "maybe")],
            64,
            "  [possible values: allow, deny]",
        ),
        (
            "no port",
            &[("PROXY_PORT", "70000")],
            64,
            "error: invalid value '70000' for '--port <PORT>': 70000 is not in 0..=65535",
        ),
        (
            "empty variables are unset",
            &[
                ("AZURE_CLIENT_ID", ""),
                ("AZURE_AUTHORITY_HOST", ""),
                ("IDENTITY_HEADER", ""),
                ("IMDS_PASSTHROUGH", ""),
                ("IMDS_URL", ""),
                ("LOG_FORMAT", ""),
                ("LOG_LEVEL", ""),
                ("PROXY_WAIT", ""),
                ("AZURE_TENANT_ID", "t"),
                ("PROXY_PORT", &port),
            ],
            1,
            &listen,
        ),
    ];
    for (name, environment, code, line) in table {
        let output = command(environment).output().await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}: {text}");
        assert!(text.lines().any(|said| said == line), "{name}: {text}");
        assert!(!text.contains("pw"), "{name}: {text}");
    }
}

#[tokio::test]
async fn help_hides_secrets() {
    let output = command(&[
        ("IDENTITY_HEADER", SECRET),
        ("IDENTITY_INJECTOR_ACCEPTED_HEADERS", SECRET),
    ])
    .arg("--help")
    .output()
    .await
    .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(
        help.contains("IDENTITY_HEADER") && !help.contains(SECRET),
        "{help}"
    );
}
