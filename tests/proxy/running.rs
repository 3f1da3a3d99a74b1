//! The proxy under test, and a client without opinions about URLs.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use identity_injector::azure::cache::REFRESH_PAUSE;
use identity_injector::cli::{Cli, Command};
use identity_injector::proxy::{Args, server};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::peers::{Peer, TempFile, install_provider};

pub const TOKEN: &str = "/metadata/identity/oauth2/token";
pub const SECRET: &str = "pod-uid-as-secret";
/// Header names and values.
pub type Headers<'a> = &'a [(&'a str, &'a str)];

pub const METADATA: Headers<'static> = &[("Metadata", "true")];

/// A proxy on free ports.
pub struct Running {
    pub addresses: Vec<SocketAddr>,
    pub metrics: Option<SocketAddr>,
    pub url: String,
    pub stop: CancellationToken,
    pub task: JoinHandle<std::io::Result<()>>,
    pub token_file: TempFile,
}

pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
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
