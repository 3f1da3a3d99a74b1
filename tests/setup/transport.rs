//! The ARM client over a real socket, on our HTTP client.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use identity_injector::azure::arm::{self, ArmError, GroupId, Transport, request};
use identity_injector::azure::http;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::peers::FixedToken;

async fn answer(
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, [(&'static str, &'static str); 2], String) {
    let told = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let path = "/base/subscriptions/00000000-0000-0000-0000-000000000000/resourcegroups/a%20(b)?api-version=2021-04-01";
    let right = method == Method::PUT
        && uri == path
        && told("authorization") == "Bearer the-token"
        && told("content-type") == "application/json"
        && told("x-ms-client-request-id").parse::<Uuid>().is_ok()
        && body == r#"{"location":"westus2"}"#;
    let status = if right {
        StatusCode::CREATED
    } else {
        StatusCode::TOO_MANY_REQUESTS
    };
    let body = r#"{"name":"a (b)","location":"westus2"}"#;
    (
        status,
        [("x-ms-correlation-request-id", "c-1"), ("retry-after", "7")],
        body.to_owned(),
    )
}

#[tokio::test]
async fn over_a_socket() {
    // Another test of this process may have set it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server =
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });

    let endpoint = format!("http://{address}/base/").parse().unwrap();
    let transport = Arc::new(Transport::new(http::client().unwrap()));
    let audience = "https://management.azure.com";
    let arm = arm::Client::new(endpoint, audience, Arc::new(FixedToken), transport);
    let group = GroupId {
        subscription: Uuid::nil(),
        name: "a (b)".to_owned(),
    };
    let made = arm
        .send(&request::put_group(&group, "westus2"))
        .await
        .unwrap();
    assert_eq!(
        (made.value.location.as_str(), made.correlation_id.as_str()),
        ("westus2", "c-1")
    );

    match arm.send(&request::get_group(&group)).await {
        Err(ArmError::Refused(failure)) => {
            assert_eq!(failure.retry_after.map(|wait| wait.as_secs()), Some(7));
        }
        outcome => panic!("{outcome:?}"),
    }

    server.abort();
    let _ = server.await;
    let error = arm.send(&request::get_group(&group)).await.unwrap_err();
    assert!(matches!(error, ArmError::NoAnswer { .. }), "{error}");
}
