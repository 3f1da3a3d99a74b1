//! Azure Resource Manager and the API server in process: any function from a call to a reply.

use std::pin::Pin;
use std::sync::Arc;

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request};
use azure_core::time::{Duration, OffsetDateTime};
use identity_injector::azure::arm;
use identity_injector::setup::cluster::Cluster;
use serde_json::{Value, json};

/// A call as a peer sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `arm GET /path?query` or `k8s PATCH /path?query`.
    pub line: String,
    /// The JSON body; null if there is none.
    pub body: Value,
}

/// What a peer answers.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Value,
}

/// A peer that plays both parts.
pub trait Peer: std::fmt::Debug + Send + Sync + 'static {
    /// Answers, or `None` to never answer.
    fn answer(&self, call: Call) -> Option<Reply>;
}

/// Clients whose calls all end at `peer`.
pub fn clients(peer: Arc<impl Peer>) -> (arm::Client, Cluster) {
    let endpoint = "https://management.azure.com".parse().unwrap();
    let audience = "https://management.azure.com";
    let arm_peer = Arc::new(ArmPeer(peer.clone()));
    let arm = arm::Client::new(endpoint, audience, Arc::new(FixedToken), arm_peer);
    let service = tower::service_fn(move |request| answer_kube(peer.clone(), request));
    let client = kube::Client::new(service, "default");
    let cluster = Cluster {
        client,
        address: "https://cluster.test".to_owned(),
        ledger_namespace: "system".to_owned(),
    };
    (arm, cluster)
}

pub fn reply(status: u16, body: Value) -> Reply {
    let headers = Vec::new();
    Reply {
        status,
        headers,
        body,
    }
}

/// An error as ARM words it.
pub fn arm_error(status: u16, code: &str, message: &str) -> Reply {
    let error = json!({"error": {"code": code, "message": message}});
    Reply {
        headers: vec![("x-ms-correlation-request-id", "correlation-1")],
        ..reply(status, error)
    }
}

/// An error as the API server words it.
pub fn kube_error(status: u16, reason: &str, message: &str) -> Reply {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": reason, "message": message, "code": status});
    reply(status, body)
}

async fn answer_kube(
    peer: Arc<impl Peer>,
    request: http::Request<kube::client::Body>,
) -> Result<http::Response<kube::client::Body>, http::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect_bytes().await.unwrap();
    let target = parts
        .uri
        .path_and_query()
        .unwrap()
        .as_str()
        .replace("?&", "?");
    let call = Call {
        line: format!("k8s {} {}", parts.method, target.trim_end_matches('?')),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let Some(reply) = peer.answer(call) else {
        return std::future::pending().await;
    };
    let body = reply.body.to_string().into_bytes();
    http::Response::builder()
        .status(reply.status)
        .body(kube::client::Body::from(body))
}

#[derive(Debug)]
pub struct FixedToken;

#[derive(Debug)]
struct ArmPeer<P>(Arc<P>);

type Boxed<'a, T> = Pin<Box<dyn Future<Output = azure_core::Result<T>> + Send + 'a>>;

impl TokenCredential for FixedToken {
    fn get_token<'a, 'b, 'c, 'd, 'e>(
        &'a self,
        scopes: &'b [&'c str],
        _: Option<TokenRequestOptions<'d>>,
    ) -> Boxed<'e, AccessToken>
    where
        'a: 'e,
        'b: 'e,
        'c: 'e,
        'd: 'e,
        Self: 'e,
    {
        assert_eq!(scopes, ["https://management.azure.com/.default"]);
        let end = OffsetDateTime::now_utc() + Duration::hours(1);
        Box::pin(async move { Ok(AccessToken::new("the-token", end)) })
    }
}

impl<P: Peer> HttpClient for ArmPeer<P> {
    fn execute_request<'a, 'b, 'c>(&'a self, request: &'b Request) -> Boxed<'c, AsyncRawResponse>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let header = |name| {
                request
                    .headers()
                    .get_optional_str(&HeaderName::from_static(name))
            };
            assert_eq!(header("authorization"), Some("Bearer the-token"));
            assert!(header("x-ms-client-request-id").is_some());
            let Body::Bytes(body) = request.body() else {
                panic!("a stream to ARM");
            };
            let call = Call {
                line: format!(
                    "arm {} {}",
                    request.method().as_str(),
                    request.path_and_query()
                ),
                body: serde_json::from_slice(body).unwrap_or_default(),
            };
            let Some(reply) = self.0.answer(call) else {
                return std::future::pending().await;
            };
            let mut headers = Headers::new();
            for (name, value) in reply.headers {
                headers.insert(name, value);
            }
            let body = reply.body.to_string();
            Ok(AsyncRawResponse::from_bytes(
                reply.status.into(),
                headers,
                body,
            ))
        })
    }
}
