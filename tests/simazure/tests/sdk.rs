//! The Azure SDK for Rust signs in against the simulation.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod scene;

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::Headers;
use azure_core::http::{
    AsyncRawResponse, ClientOptions, HttpClient, Request, StatusCode, Transport,
};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use reqwest::Method;
use scene::Scene;
use serde_json::Value;
use simazure::{Options, Simulation, UNKNOWN_RESOURCE};

/// The SDK is built without its own HTTP client; this hands its requests to ours.
#[derive(Debug)]
struct Client(reqwest::Client);

#[async_trait]
impl HttpClient for Client {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let failed = |error: reqwest::Error| Error::new(ErrorKind::Io, error);
        let method: Method = request.method().as_str().parse().unwrap();
        let mut sent = self.0.request(method, request.url().clone());
        for (name, value) in request.headers().iter() {
            sent = sent.header(name.as_str(), value.as_str());
        }
        let body = azure_core::Bytes::from(request.body());
        let response = sent.body(body).send().await.map_err(failed)?;
        let status = StatusCode::from(response.status().as_u16());
        let bytes = response.bytes().await.map_err(failed)?;
        Ok(AsyncRawResponse::from_bytes(status, Headers::new(), bytes))
    }
}

fn credential(
    simulation: &Simulation,
    client: &reqwest::Client,
    secret: &str,
) -> Arc<ClientSecretCredential> {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host.clone_from(&simulation.authority);
    let client_options = ClientOptions {
        cloud: Some(Arc::new(cloud.into())),
        transport: Some(Transport::new(Arc::new(Client(client.clone())))),
        ..ClientOptions::default()
    };
    ClientSecretCredential::new(
        simulation.tenant,
        simulation.client_id.to_owned(),
        Secret::new(secret.to_owned()),
        Some(ClientSecretCredentialOptions { client_options }),
    )
    .unwrap()
}

#[tokio::test]
async fn signs_in_and_reads() {
    let scene = Scene::start(Options::default());
    let secret = scene.simulation.client_secret;
    let token = credential(&scene.simulation, &scene.client, secret)
        .get_token(&["https://management.azure.com/.default"], None)
        .await
        .unwrap();
    let (status, body) = scene
        .arm(
            token.token.secret(),
            Method::GET,
            "/subscriptions",
            &Value::Null,
        )
        .await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn refusals_reach_the_caller() {
    let scene = Scene::start(Options::default());
    let table = [
        (
            "wrong",
            "https://management.azure.com/.default".to_owned(),
            "AADSTS7000215",
        ),
        (
            scene.simulation.client_secret,
            format!("{UNKNOWN_RESOURCE}/.default"),
            "AADSTS500011",
        ),
    ];
    for (secret, scope, code) in table {
        let error = credential(&scene.simulation, &scene.client, secret)
            .get_token(&[&scope], None)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(code), "{error}");
    }
}
