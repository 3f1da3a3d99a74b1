//! A scripted HTTP peer, the proxy under test, and a client without opinions about URLs.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use clap::Parser;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use identity_injector::azure::cache::REFRESH_PAUSE;
use identity_injector::cli::{Cli, Command};
use identity_injector::proxy::{Args, server};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub const TOKEN: &str = "/metadata/identity/oauth2/token";
pub const SECRET: &str = "pod-uid-as-secret";
/// Header names and values.
pub type Headers<'a> = &'a [(&'a str, &'a str)];

pub const METADATA: Headers<'static> = &[("Metadata", "true")];

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

/// A proxy on free ports.
pub struct Running {
    pub addresses: Vec<SocketAddr>,
    pub metrics: Option<SocketAddr>,
    pub url: String,
    pub stop: CancellationToken,
    pub task: JoinHandle<std::io::Result<()>>,
    pub token_file: TempFile,
}

/// A file that goes with its value.
pub struct TempFile(pub PathBuf);

pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

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

impl Running {
    /// A proxy in front of `entra`, after `change` of its arguments; settling errors are not retried.
    pub async fn start(entra: &Peer, change: impl FnOnce(&mut Args)) -> Self {
        Self::start_settling(entra, Duration::ZERO, change).await
    }

    pub async fn start_settling(
        entra: &Peer,
        window: Duration,
        change: impl FnOnce(&mut Args),
    ) -> Self {
        Self::start_paced(entra, window, REFRESH_PAUSE, change).await
    }

    /// The same, where Entra is left alone for `pause` between two exchanges of a token.
    pub async fn start_paced(
        entra: &Peer,
        window: Duration,
        pause: Duration,
        change: impl FnOnce(&mut Args),
    ) -> Self {
        install_provider();
        let token_file = TempFile::new(&assertion("sa"));
        let mut args = arguments();
        args.authority_host.clone_from(&entra.url);
        args.federated_token_file.clone_from(&token_file.0);
        change(&mut args);
        let mut proxy = args.proxy(window, Instant::now()).unwrap();
        proxy.cache.refresh_pause = pause;
        let bound = proxy.bind(args.port, args.metrics).await.unwrap();
        let addresses = bound.addresses().to_vec();
        let metrics = bound.metrics();
        let stop = CancellationToken::new();
        Self {
            url: format!("http://{}", addresses[0]),
            addresses,
            metrics,
            task: tokio::spawn(server::Bound::run(bound, stop.clone())),
            stop,
            token_file,
        }
    }

    pub async fn get(&self, target: &str, headers: Headers<'_>) -> Reply {
        self.request(Method::GET, target, headers).await
    }

    /// A token as IMDS gives it.
    pub async fn token(&self, resource: &str) -> Reply {
        self.get(
            &format!("{TOKEN}?api-version=2018-02-01&resource={resource}"),
            METADATA,
        )
        .await
    }

    pub async fn request(&self, method: Method, target: &str, headers: Headers<'_>) -> Reply {
        raw(self.addresses[0], &method, target, headers).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn secret(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
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

/// A request whose target is sent as it stands; the HTTP clients' own would tidy it up.
pub async fn raw(
    address: SocketAddr,
    method: &Method,
    target: &str,
    headers: Headers<'_>,
) -> Reply {
    let mut text =
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let answer = String::from_utf8(bytes).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                value.parse::<HeaderValue>().unwrap(),
            )
        })
        .collect();
    Reply {
        status,
        headers,
        text: body.to_owned(),
    }
}

pub fn arguments() -> Args {
    let flags = [
        "identity-injector",
        "proxy",
        "--port=0",
        "--tenant-id=tenant",
        "--client-id=default-client",
        "--credential-wait=0",
        "--identity-header",
        SECRET,
        "--accepted-identity-headers=true\nother",
    ];
    match Cli::try_parse_from(flags).unwrap().command {
        Command::Proxy(args) => args,
        other => panic!("{other:?}"),
    }
}

/// A token as the API server makes it for ServiceAccount `name`; the signature is of no interest here.
pub fn assertion(name: &str) -> String {
    let payload = json!({
        "iss": "https://issuer.example/",
        "sub": format!("system:serviceaccount:ns:{name}"),
        "aud": ["api://AzureADTokenExchange"],
    });
    let payload = azure_core::base64::encode_url_safe(payload.to_string());
    format!("eyJhbGciOiJSUzI1NiJ9.{payload}.signature-of-{name}")
}

/// The fields of a form.
pub fn form(body: &Bytes) -> std::collections::BTreeMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

pub fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
