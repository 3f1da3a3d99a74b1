//! A scripted HTTP peer, plain or over TLS.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;

/// A peer that gives the scripted answers in turn, and the last one for ever.
pub struct Peer {
    pub url: String,
    script: Arc<Script>,
}

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<Seen>>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub delay: Duration,
}

/// A request as a peer got it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A file that goes with its value.
pub struct TempFile(pub PathBuf);

impl Answer {
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            delay: Duration::ZERO,
        }
    }

    pub fn token(secret: &str, expires_in: u64) -> Self {
        Self::new(
            200,
            json!({"token_type": "Bearer", "expires_in": expires_in, "access_token": secret})
                .to_string(),
        )
    }

    /// A token that is due for refresh from the start.
    pub fn due(secret: &str) -> Self {
        Self::new(
            200,
            json!({"access_token": secret, "expires_in": 3600, "refresh_in": 0}).to_string(),
        )
    }

    pub fn denied(status: u16, code: u32) -> Self {
        let body = json!({
            "error": "invalid_request",
            "error_description": format!("AADSTS{code}: words of Entra. Trace ID: 1"),
            "error_codes": [code],
            "correlation_id": "id-of-entra",
        });
        Self::new(status, body.to_string())
    }

    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Peer {
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Script::default());
        let router = Self::router(&script);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let peer = Self { url, script };
        peer.answers(answers);
        peer
    }

    /// The same over TLS, trusted by whoever trusts the certificate in the returned file.
    pub async fn start_tls(answers: impl IntoIterator<Item = Answer>) -> (Self, TempFile) {
        install_provider();
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let script = Arc::new(Script::default());
        let router = Self::router(&script);
        let config = axum_server::tls_rustls::RustlsConfig::from_pem(
            key.cert.pem().into(),
            key.signing_key.serialize_pem().into(),
        )
        .await
        .unwrap();
        let server = axum_server::from_tcp_rustls(listener, config).unwrap();
        tokio::spawn(server.serve(router.into_make_service()));
        let peer = Self { url, script };
        peer.answers(answers);
        (peer, TempFile::new(&key.cert.pem()))
    }

    fn router(script: &Arc<Script>) -> Router {
        Router::new().fallback(play).with_state(Arc::clone(script))
    }

    /// Replaces the script.
    pub fn answers(&self, answers: impl IntoIterator<Item = Answer>) {
        *self.script.answers.lock().unwrap() = answers.into_iter().collect();
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.script.seen.lock().unwrap().len()
    }

    /// Waits until the peer was asked `count` times.
    pub async fn asked(&self, count: usize) {
        let waited = tokio::time::timeout(Duration::from_secs(5), async {
            while self.count() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "asked {} times, not {count}",
            self.count()
        );
    }
}

async fn play(State(script): State<Arc<Script>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let seen = Seen {
        method: parts.method,
        target: parts.uri.to_string(),
        headers: parts.headers,
        body: to_bytes(body, usize::MAX).await.unwrap(),
    };
    script.seen.lock().unwrap().push(seen);
    let answer = {
        let mut answers = script.answers.lock().unwrap();
        if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        }
    }
    .unwrap_or_else(|| Answer::new(500, "no answer scripted"));
    tokio::time::sleep(answer.delay).await;
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap();
    for (name, value) in answer.headers {
        response
            .headers_mut()
            .insert(HeaderName::from_static(name), value.parse().unwrap());
    }
    response
}

impl TempFile {
    pub fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("proxy-test-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The fields of a form.
pub fn form(body: &Bytes) -> std::collections::BTreeMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

pub fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
