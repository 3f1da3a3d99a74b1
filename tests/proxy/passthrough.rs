//! The way to the node's IMDS.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use futures::StreamExt;
use futures::stream;
use http::Method;
use identity_injector::proxy::ImdsPassthrough;
use tokio::net::TcpListener;

use crate::peers::{Answer, Peer, install_provider};
use crate::running::{METADATA, Running, SECRET};

#[tokio::test]
async fn requests_and_answers_go_through() {
    let entra = Peer::start([]).await;
    let node = Peer::start([Answer::new(418, "body of the node")
        .header("content-type", "text/plain")
        .header("x-node", "1")
        .header("keep-alive", "timeout=5")])
    .await;
    let proxy = Running::start(&entra, |args| args.imds_url.clone_from(&node.url)).await;
    install_provider();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client
        .post(format!(
            "{}//metadata/instance/compute/?api-version=2021-02-01&format=text",
            proxy.url
        ))
        .header("Metadata", "true")
        .header("Connection", "close, x-private")
        .header("x-private", "1")
        .header("X-IDENTITY-HEADER", SECRET)
        .body("body of the pod")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers()["x-node"], "1");
    assert_eq!(response.headers()["content-type"], "text/plain");
    assert!(response.headers().get("keep-alive").is_none());
    assert_eq!(response.text().await.unwrap(), "body of the node");

    let seen = node.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].method, Method::POST);
    assert_eq!(
        seen[0].target,
        "/metadata/instance/compute/?api-version=2021-02-01&format=text"
    );
    assert_eq!(seen[0].body, "body of the pod");
    assert_eq!(seen[0].headers["metadata"], "true");
    assert_eq!(
        seen[0].headers["host"],
        node.url.trim_start_matches("http://")
    );
    for kept_back in ["x-private", "x-identity-header", "connection"] {
        assert!(!seen[0].headers.contains_key(kept_back), "{kept_back}");
    }
}

#[tokio::test]
async fn a_redirect_is_the_callers_to_follow() {
    let entra = Peer::start([]).await;
    let node =
        Peer::start([Answer::new(302, "").header("location", "/metadata/identity/oauth2/token")])
            .await;
    let proxy = Running::start(&entra, |args| args.imds_url.clone_from(&node.url)).await;
    let reply = proxy.get("/metadata/instance", METADATA).await;
    assert_eq!((reply.status, node.count()), (302, 1));
    assert_eq!(
        reply.header("location"),
        Some("/metadata/identity/oauth2/token")
    );
}

#[tokio::test]
async fn answers_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endless = || async {
        let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"first")) });
        Body::from_stream(first.chain(stream::pending()))
    };
    tokio::spawn(async move {
        axum::serve(
            listener,
            Router::new().route("/metadata/instance", get(endless)),
        )
        .await
    });
    let entra = Peer::start([]).await;
    let proxy = Running::start(&entra, |args| args.imds_url = format!("http://{address}")).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client
        .get(format!("{}/metadata/instance", proxy.url))
        .send();
    let mut response = tokio::time::timeout(Duration::from_secs(2), response)
        .await
        .expect("the answer is held back until its end")
        .unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "first");
}

#[tokio::test]
async fn no_answer_of_the_node() {
    let entra = Peer::start([]).await;
    let proxy = Running::start(&entra, |args| {
        args.imds_url = "http://127.0.0.1:1".to_owned();
    })
    .await;
    let started = Instant::now();
    let reply = proxy.get("/metadata/instance", METADATA).await;
    assert_eq!(reply.status, 504);
    assert!(started.elapsed() < Duration::from_secs(3));
    let text = reply.json()["error_description"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        text.contains("http://127.0.0.1:1") && text.contains("refused"),
        "{text}"
    );
}

#[tokio::test]
async fn its_own_request_is_not_sent_round_again() {
    let entra = Peer::start([]).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let proxy = Running::start(&entra, |args| {
        args.port = port;
        args.imds_url = format!("http://127.0.0.1:{port}");
    })
    .await;
    let reply = proxy.get("/metadata/instance", METADATA).await;
    assert_eq!(reply.status, 508);
    assert_eq!(reply.json()["error"], "loop_detected");
}

#[tokio::test]
async fn denied() {
    let entra = Peer::start([Answer::token("t", 3600)]).await;
    let node = Peer::start([Answer::new(200, "node")]).await;
    let proxy = Running::start(&entra, |args| {
        args.imds_url.clone_from(&node.url);
        args.imds_passthrough = ImdsPassthrough::Deny;
    })
    .await;
    for path in [
        "/metadata/instance",
        "/metadata/versions",
        "/latest/meta-data",
        "/",
    ] {
        let reply = proxy.get(path, METADATA).await;
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.json()["error"], "not_found", "{path}");
    }
    assert_eq!(proxy.token("r").await.secret(), "t");
    assert_eq!(node.count(), 0);
}

#[tokio::test]
async fn forwarded_requests_stop_here() {
    let entra = Peer::start([]).await;
    let node = Peer::start([Answer::new(200, "node")]).await;
    let proxy = Running::start(&entra, |args| args.imds_url.clone_from(&node.url)).await;
    let headers = [("Metadata", "true"), ("X-Forwarded-For", "10.0.0.1")];
    assert_eq!(proxy.get("/metadata/instance", &headers).await.status, 400);
    assert_eq!(node.count(), 0);
}
