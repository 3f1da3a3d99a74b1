//! A simulation, an OpenID Connect issuer that it trusts, and a client for both.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "shared by test crates that each use a part; a test may unwrap"
)]

pub mod act;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::routing::get;
use axum::{Json, Router};
use axum_server::tls_rustls::RustlsConfig;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use reqwest::{Certificate, Client, Method};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use simazure::jwt::{Jwks, SigningKey};
use simazure::{Options, Simulation};

/// Audience of every federated credential made here.
pub const AUDIENCE: &str = "api://AzureADTokenExchange";
/// Subject of every federated credential made here.
pub const SUBJECT: &str = "system:serviceaccount:ns:sa";

/// An issuer with one signing key, like a cluster's.
pub struct Issuer {
    /// Its URL, slash at the end as AKS writes it.
    pub url: String,
    pub ca_pem: String,
    pub key: SigningKey,
    /// What it publishes; a test may change it.
    pub published: Arc<Mutex<Jwks>>,
}

impl Issuer {
    /// Serves until the test's runtime ends.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!(
            "https://localhost:{}/",
            listener.local_addr().unwrap().port()
        );
        let key = SigningKey::generate().unwrap();
        let published = Arc::new(Mutex::new(key.jwks()));
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}keys")});
        let keys = Arc::clone(&published);
        let routes = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(async move || Json(discovery)),
            )
            .route(
                "/keys",
                get(async move || Json(keys.lock().unwrap().clone())),
            );
        let (ca_pem, tls) = tls();
        let server =
            axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(tls)).unwrap();
        tokio::spawn(server.serve(routes.into_make_service()));
        Self {
            url,
            ca_pem,
            key,
            published,
        }
    }

    /// A token that the scene's federated credential matches, good for an hour.
    pub fn claims(&self) -> Value {
        json!({
            "iss": self.url,
            "sub": SUBJECT,
            "aud": [AUDIENCE],
            "nbf": now() - 1,
            "exp": now() + 3600,
        })
    }
}

/// A fresh authority's certificate, and a server with a leaf of it for localhost.
fn tls() -> (String, Arc<ServerConfig>) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = leaf
        .signed_by(&leaf_key, &rcgen::Issuer::new(ca, ca_key))
        .unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (ca_pem, Arc::new(config))
}

/// Unix time in seconds.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// A simulation and a client that trusts it.
pub struct Scene {
    pub simulation: Simulation,
    pub client: Client,
}

impl Scene {
    pub fn start(options: Options) -> Self {
        // The second test of a process finds it installed.
        let _ = ring::default_provider().install_default();
        let simulation = simazure::start(options).unwrap();
        let ca = Certificate::from_pem(simulation.ca_pem.as_bytes()).unwrap();
        let client = Client::builder()
            .tls_certs_only([ca])
            .no_proxy()
            // An answer that a standing clock holds back fails its test rather than hangs it.
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        Self { simulation, client }
    }

    /// The subscription's path.
    pub fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.simulation.subscription)
    }

    /// Posts a form to the tenant's token endpoint: status and body.
    pub async fn token(&self, tenant: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.simulation.arm);
        let response = self.client.post(url).form(form).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// The administrator's token for a scope.
    pub async fn admin_token(&self, scope: &str) -> String {
        let (status, body) = self
            .token(
                self.simulation.tenant,
                &[
                    ("grant_type", "client_credentials"),
                    ("client_id", self.simulation.client_id),
                    ("client_secret", self.simulation.client_secret),
                    ("scope", scope),
                ],
            )
            .await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// One Resource Manager call: status and body, null when there is none.
    pub async fn arm(&self, token: &str, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}?api-version=2024-11-30", self.simulation.arm);
        let mut request = self.client.request(method, url).bearer_auth(token);
        if !body.is_null() {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        for header in ["x-ms-request-id", "x-ms-correlation-request-id"] {
            assert!(
                response.headers().contains_key(header),
                "{header} of {path}"
            );
        }
        let status = response.status().as_u16();
        let bytes = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// An identity in group `rg`: its path and client id.
    pub async fn identity(&self, token: &str, name: &str) -> (String, String) {
        let location = json!({"location": "westus2"});
        let group = format!("{}/resourceGroups/rg", self.subscription());
        self.arm(token, Method::PUT, &group, &location).await;
        let path =
            format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
        let (status, body) = self.arm(token, Method::PUT, &path, &location).await;
        assert_eq!(status, 201, "{body}");
        (
            path,
            body["properties"]["clientId"].as_str().unwrap().to_owned(),
        )
    }

    /// Adds a federated credential to the identity at the path.
    pub async fn credential(&self, token: &str, identity: &str, name: &str, issuer: &str) {
        let path = format!("{identity}/federatedIdentityCredentials/{name}");
        let body =
            json!({"properties": {"issuer": issuer, "subject": SUBJECT, "audiences": [AUDIENCE]}});
        let (status, body) = self.arm(token, Method::PUT, &path, &body).await;
        assert_eq!(status, 201, "{body}");
    }
}
