//! What is served, and in which words the rest is not.

use std::time::{Duration, Instant};

use http::Method;

use crate::peers::{Answer, Peer, form};
use crate::running::{Headers, METADATA, Running, SECRET, TOKEN, assertion, raw};

#[tokio::test]
async fn served_token_requests() {
    let table: [(&str, Headers<'_>, &str, &str); 9] = [
        (
            "IMDS",
            METADATA,
            "?api-version=2018-02-01&resource=https://vault.azure.net",
            "default-client",
        ),
        (
            "IMDS, named client",
            METADATA,
            "?resource=https://vault.azure.net&client_id=named",
            "named",
        ),
        (
            "App Service 2019-08-01",
            &[("X-IDENTITY-HEADER", SECRET)],
            "?api-version=2019-08-01&resource=https://vault.azure.net",
            "default-client",
        ),
        (
            "App Service 2019-08-01 with the app's own value, as Python sends it",
            &[("X-IDENTITY-HEADER", "true"), ("Metadata", "true")],
            "?api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net",
            "default-client",
        ),
        (
            "App Service 2017-09-01",
            &[("secret", "other")],
            "?api-version=2017-09-01&resource=https://vault.azure.net&clientid=named",
            "named",
        ),
        (
            "JavaScript's slash at the end",
            METADATA,
            "/?resource=https://vault.azure.net",
            "default-client",
        ),
        (
            "by resource id",
            METADATA,
            "?resource=https://vault.azure.net&mi_res_id=/Subscriptions/S/X",
            "mapped",
        ),
        (
            "by object id",
            METADATA,
            "?resource=https://vault.azure.net&object_id=OBJECT",
            "mapped",
        ),
        (
            "by principal id",
            METADATA,
            "?resource=https://vault.azure.net&principal_id=object",
            "mapped",
        ),
    ];
    for (name, headers, query, client_id) in table {
        let entra = Peer::start([Answer::token("the-token", 86399)]).await;
        let proxy = Running::start(&entra, |args| {
            args.resource_ids =
                Some(r#"{"/subscriptions/s/x": "mapped", "object": "mapped"}"#.to_owned());
        })
        .await;
        let reply = proxy.get(&format!("{TOKEN}{query}"), headers).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text);
        assert_eq!(
            reply.header("content-type"),
            Some("application/json; charset=utf-8"),
            "{name}"
        );
        let length = reply.text.len().to_string();
        assert_eq!(
            reply.header("content-length"),
            Some(length.as_str()),
            "{name}"
        );

        let body = reply.json();
        assert_eq!(body["access_token"], "the-token", "{name}");
        assert_eq!(body["client_id"], client_id, "{name}");
        assert_eq!(body["resource"], "https://vault.azure.net", "{name}");
        let names: Vec<_> = body
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let order = [
            "access_token",
            "refresh_token",
            "client_id",
            "expires_in",
            "ext_expires_in",
            "not_before",
            "expires_on",
            "resource",
            "token_type",
        ];
        assert_eq!(names, order, "{name}");
        assert!(
            body.as_object()
                .unwrap()
                .values()
                .all(serde_json::Value::is_string),
            "{name}"
        );
        let number = |field: &str| body[field].as_str().unwrap().parse::<i64>().unwrap();
        assert!((86390..=86399).contains(&number("expires_in")), "{name}");
        assert_eq!(number("expires_on") - number("not_before"), 86399, "{name}");

        let seen = entra.seen();
        assert_eq!(seen.len(), 1, "{name}");
        assert_eq!(
            (&seen[0].method, seen[0].target.as_str()),
            (&Method::POST, "/tenant/oauth2/v2.0/token")
        );
        let sent = form(&seen[0].body);
        let expected = [
            ("client_assertion", assertion("sa")),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
            ),
            ("client_id", client_id.to_owned()),
            ("grant_type", "client_credentials".to_owned()),
            ("scope", "https://vault.azure.net/.default".to_owned()),
        ];
        let sent: Vec<_> = sent
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        assert_eq!(sent, expected, "{name}");
    }
}

#[tokio::test]
async fn refused_requests() {
    let entra = Peer::start([Answer::token("t", 3600)]).await;
    let node = Peer::start([Answer::new(200, "node")]).await;
    let proxy = Running::start(&entra, |args| args.imds_url.clone_from(&node.url)).await;
    let asked = format!("{TOKEN}?resource=r");
    let get = Method::GET;
    let table: [(&str, Method, String, Headers<'_>, u16, &str, &str); 14] = [
        (
            "no header",
            get.clone(),
            asked.clone(),
            &[],
            400,
            "invalid_request",
            "Required metadata header not specified",
        ),
        (
            "no header, no query",
            get.clone(),
            TOKEN.to_owned(),
            &[],
            400,
            "invalid_request",
            "Required metadata header",
        ),
        (
            "wrong header",
            get.clone(),
            asked.clone(),
            &[("X-IDENTITY-HEADER", "no")],
            401,
            "unauthorized",
            "IDENTITY_HEADER",
        ),
        (
            "wrong secret",
            get.clone(),
            asked.clone(),
            &[("secret", "no")],
            401,
            "unauthorized",
            "IDENTITY_HEADER",
        ),
        (
            "forwarded",
            get.clone(),
            asked.clone(),
            &[("Metadata", "true"), ("X-Forwarded-For", "1.2.3.4")],
            400,
            "invalid_request",
            "X-Forwarded-For",
        ),
        (
            "POST",
            Method::POST,
            asked.clone(),
            METADATA,
            405,
            "method_not_allowed",
            "GET",
        ),
        (
            "no resource",
            get.clone(),
            TOKEN.to_owned(),
            METADATA,
            400,
            "invalid_request",
            "resource parameter is required",
        ),
        (
            "unknown object id",
            get.clone(),
            format!("{asked}&object_id=o"),
            METADATA,
            400,
            "invalid_request",
            "Identity not found",
        ),
        (
            "two selectors",
            get.clone(),
            format!("{asked}&client_id=c&mi_res_id=m"),
            METADATA,
            400,
            "invalid_request",
            "client_id and mi_res_id",
        ),
        (
            "platform metadata",
            get.clone(),
            "/metadata/identity/getplatformmetadata".to_owned(),
            &[],
            404,
            "not_found",
            "not served",
        ),
        (
            "issue credential",
            Method::POST,
            "/metadata/identity/issuecredential".to_owned(),
            &[],
            404,
            "not_found",
            "not served",
        ),
        (
            "credential",
            Method::POST,
            "/metadata/identity/credential".to_owned(),
            METADATA,
            404,
            "not_found",
            "not served",
        ),
        (
            "tokenX",
            get.clone(),
            format!("{TOKEN}X?resource=r"),
            METADATA,
            404,
            "not_found",
            "not served",
        ),
        (
            "the family itself",
            get,
            "/metadata/identity".to_owned(),
            METADATA,
            404,
            "not_found",
            "not served",
        ),
    ];
    for (name, method, target, headers, status, error, text) in table {
        let reply = proxy.request(method, &target, headers).await;
        assert_eq!(reply.status, status, "{name}: {}", reply.text);
        assert_eq!(
            reply.header("content-type"),
            Some("application/json; charset=utf-8"),
            "{name}"
        );
        let body = reply.json();
        assert_eq!(body["error"], error, "{name}");
        assert!(
            body["error_description"].as_str().unwrap().contains(text),
            "{name}: {body}"
        );
        assert_eq!(body["message"], body["error_description"], "{name}");
        assert_eq!(body["statusCode"], status, "{name}");
        assert!(body["correlationId"].is_string(), "{name}");
    }
    assert_eq!((entra.count(), node.count()), (0, 0));
}

#[tokio::test]
async fn no_default_client() {
    let entra = Peer::start([Answer::token("t", 3600)]).await;
    let proxy = Running::start(&entra, |args| args.client_id = Some(String::new())).await;
    let reply = proxy.token("r").await;
    assert_eq!(reply.status, 400);
    assert!(
        reply
            .text
            .contains("client_id parameter or AZURE_CLIENT_ID"),
        "{}",
        reply.text
    );
    let named = format!("{TOKEN}?resource=r&client_id=named");
    assert_eq!(
        proxy.get(&named, METADATA).await.json()["client_id"],
        "named"
    );
}

#[tokio::test]
async fn probes_without_header_do_not_wait_for_anyone() {
    let entra = Peer::start([Answer::token("t", 3600).after(Duration::from_secs(30))]).await;
    let proxy = Running::start(&entra, |args| args.imds_url.clone_from(&entra.url)).await;
    let started = Instant::now();
    assert_eq!(proxy.get(TOKEN, &[]).await.status, 400);
    assert!(started.elapsed() < Duration::from_millis(300));
}

#[tokio::test]
async fn both_listeners_info_and_readiness() {
    let entra = Peer::start([Answer::token("t", 3600)]).await;
    let proxy = Running::start(&entra, |_| ()).await;
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    assert_eq!(proxy.addresses.len(), if has_ipv6 { 2 } else { 1 });
    assert!(
        proxy
            .addresses
            .iter()
            .all(|address| address.port() == proxy.addresses[0].port())
    );
    for address in &proxy.addresses {
        let ready = raw(*address, &Method::GET, "/readyz", &[]).await;
        assert_eq!(
            (ready.status, ready.text.as_str()),
            (200, "ok"),
            "{address}"
        );
        let info = raw(
            *address,
            &Method::GET,
            "/metadata/identity/info?api-version=2018-02-01",
            METADATA,
        )
        .await;
        assert_eq!(
            (info.status, info.text.as_str()),
            (200, r#"{"tenantId":"tenant"}"#),
            "{address}"
        );
    }
}
