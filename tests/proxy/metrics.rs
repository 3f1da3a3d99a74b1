//! What is counted: exact names, one table of requests and the series each moves.

use http::Method;
use identity_injector::proxy::ImdsPassthrough;

use crate::peers::{Answer, Peer};
use crate::running::{METADATA, Running, SECRET, TOKEN, raw};
use crate::scrape::{Scrape, moved, series};

async fn running(entra: &Peer, node: &str, passthrough: ImdsPassthrough) -> Running {
    Running::start(entra, |args| {
        args.metrics = Some("127.0.0.1:0".parse().unwrap());
        args.imds_url = node.to_owned();
        args.imds_passthrough = passthrough;
    })
    .await
}

async fn scrape(proxy: &Running) -> Scrape {
    let reply = raw(proxy.metrics.unwrap(), &Method::GET, "/metrics", &[]).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    series(&reply.text)
}

fn requests(protocol: &str, outcome: &str) -> String {
    format!(r#"azwi_proxy_token_requests_total{{protocol="{protocol}",outcome="{outcome}"}}"#)
}

fn exchanges(outcome: &str) -> String {
    format!(r#"azwi_proxy_exchanges_total{{outcome="{outcome}"}}"#)
}

fn refusals(reason: &str) -> String {
    format!(r#"azwi_proxy_refusals_total{{reason="{reason}"}}"#)
}

fn passthrough(outcome: &str) -> String {
    format!(r#"azwi_proxy_passthrough_total{{outcome="{outcome}"}}"#)
}

#[tokio::test]
async fn each_token_request_moves_its_series_and_no_other() {
    let entra = Peer::start([]).await;
    let proxy = running(&entra, "http://127.0.0.1:1", ImdsPassthrough::Allow).await;
    let first = scrape(&proxy).await;
    let app_service: &[(&str, &str)] = &[("X-IDENTITY-HEADER", SECRET)];
    let of_2017: &[(&str, &str)] = &[("secret", SECRET)];
    // Resource, headers, Entra's answer; protocol, outcome, and whether Entra is asked.
    let table = [
        (
            "r",
            METADATA,
            Answer::token("t", 3600),
            "imds",
            "token",
            true,
        ),
        ("r", METADATA, Answer::new(500, ""), "imds", "token", false),
        (
            "r",
            app_service,
            Answer::new(500, ""),
            "app_service",
            "token",
            false,
        ),
        (
            "r",
            of_2017,
            Answer::new(500, ""),
            "app_service_2017",
            "token",
            false,
        ),
        (
            "a",
            METADATA,
            Answer::denied(400, 700_212),
            "imds",
            "permanent",
            true,
        ),
        (
            "a",
            app_service,
            Answer::new(500, ""),
            "app_service",
            "permanent",
            false,
        ),
        (
            "b",
            METADATA,
            Answer::denied(400, 500_011),
            "imds",
            "resource",
            true,
        ),
        (
            "c",
            METADATA,
            Answer::denied(400, 700_213),
            "imds",
            "spreading",
            true,
        ),
        (
            "d",
            METADATA,
            Answer::denied(400, 700_024),
            "imds",
            "settling",
            true,
        ),
        (
            "e",
            METADATA,
            Answer::new(503, ""),
            "imds",
            "transient",
            true,
        ),
        (
            "f",
            of_2017,
            Answer::new(429, ""),
            "app_service_2017",
            "throttled",
            true,
        ),
    ];
    let mut before = first.clone();
    for (resource, headers, answer, protocol, outcome, asked) in table {
        entra.answers([answer]);
        let target = format!("{TOKEN}?resource={resource}");
        proxy.get(&target, headers).await;
        let after = scrape(&proxy).await;
        let mut expected = vec![requests(protocol, outcome)];
        if asked {
            expected.insert(0, exchanges(outcome));
        }
        assert_eq!(moved(&before, &after), expected, "{resource} {outcome}");
        before = after;
    }
    assert!(
        first.keys().eq(before.keys()),
        "every series is there from the start"
    );
}

#[tokio::test]
async fn each_other_request_moves_its_series_and_no_other() {
    let entra = Peer::start([]).await;
    let node = Peer::start([Answer::new(500, "")]).await;
    let open = running(&entra, &node.url, ImdsPassthrough::Allow).await;
    let dead = running(&entra, "http://127.0.0.1:1", ImdsPassthrough::Allow).await;
    let closed = running(&entra, &node.url, ImdsPassthrough::Deny).await;
    let wrong: &[(&str, &str)] = &[("secret", "wrong")];
    let looped: &[(&str, &str)] = &[("x-identity-injector-forwarded", "1")];
    let elsewhere = "/metadata/instance";
    let token = format!("{TOKEN}?resource=r");
    let table = [
        (
            &open,
            Method::GET,
            elsewhere,
            METADATA,
            passthrough("answered"),
        ),
        (
            &open,
            Method::GET,
            "/metrics",
            METADATA,
            passthrough("answered"),
        ),
        (
            &dead,
            Method::GET,
            elsewhere,
            METADATA,
            passthrough("no_answer"),
        ),
        (&open, Method::GET, elsewhere, looped, passthrough("loop")),
        (
            &closed,
            Method::GET,
            elsewhere,
            METADATA,
            refusals("not_found"),
        ),
        (
            &closed,
            Method::GET,
            "/metadata/identity/x",
            METADATA,
            refusals("not_found"),
        ),
        (
            &open,
            Method::GET,
            TOKEN,
            METADATA,
            refusals("invalid_request"),
        ),
        (
            &open,
            Method::POST,
            &token,
            METADATA,
            refusals("method_not_allowed"),
        ),
        (&open, Method::GET, &token, wrong, refusals("unauthorized")),
    ];
    for (proxy, method, target, headers, expected) in table {
        let before = scrape(proxy).await;
        proxy.request(method.clone(), target, headers).await;
        let after = scrape(proxy).await;
        assert_eq!(moved(&before, &after), [expected], "{method} {target}");
    }
    for target in ["/metadata/identity/info", "/readyz"] {
        let before = scrape(&open).await;
        assert_eq!(open.get(target, METADATA).await.status, 200);
        let counted = moved(&before, &scrape(&open).await);
        assert!(counted.is_empty(), "{target}: {counted:?}");
    }
}

#[tokio::test]
async fn labels_name_nobody() {
    let entra = Peer::start([Answer::token("t", 3600)]).await;
    let proxy = running(&entra, "http://127.0.0.1:1", ImdsPassthrough::Deny).await;
    let target = format!("{TOKEN}?resource=of-somebody&client_id=somebody");
    assert_eq!(proxy.get(&target, METADATA).await.status, 200);
    proxy.get("/somewhere", METADATA).await;
    // By the path, and by the format asked for.
    let accept = [("Accept", "application/openmetrics-text")];
    for (headers, kind) in [
        (&[][..], "text/plain"),
        (&accept[..], "application/openmetrics-text"),
    ] {
        let reply = raw(proxy.metrics.unwrap(), &Method::GET, "/metrics", headers).await;
        assert!(reply.header("content-type").unwrap().starts_with(kind));
        assert!(reply.text.contains("azwi_build_info{version=\""));
        for named in ["somebody", "somewhere", "default-client", "tenant", SECRET] {
            assert!(!reply.text.contains(named), "{named}: {}", reply.text);
        }
    }
    let reply = raw(proxy.metrics.unwrap(), &Method::GET, &target, METADATA).await;
    assert_eq!(reply.status, 404, "tokens are not given there");
}

#[tokio::test]
async fn are_served_only_where_asked_for() {
    let entra = Peer::start([]).await;
    let silent = Running::start(&entra, |_| ()).await;
    assert_eq!(silent.metrics, None);
    let proxy = running(&entra, "http://127.0.0.1:1", ImdsPassthrough::Deny).await;
    let taken = proxy.metrics.unwrap();
    let start = tokio::time::Instant::now();
    let other = crate::running::arguments().proxy(std::time::Duration::ZERO, start);
    let error = other.unwrap().bind(0, Some(taken)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("can't listen on {taken}")),
        "{error}"
    );
}
