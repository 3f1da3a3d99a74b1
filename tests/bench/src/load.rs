//! The load: requests all alike, each answer compared to the first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The timer's grain; the rest of a wait is spun, since a late request would count as a slow one.
const GRAIN: Duration = Duration::from_millis(2);

/// Where requests go, and how.
#[derive(Clone)]
pub struct Target {
    /// The server.
    pub address: SocketAddr,
    /// TLS with HTTP/2, else plain HTTP/1.1.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The request.
    pub request: Request<Full<Bytes>>,
}

/// A connection. HTTP/2 is one for many requests, and so is its clone.
pub enum Connection {
    /// One request at a time.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// Many.
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Target {
    /// Connects.
    ///
    /// # Errors
    /// When the server does not answer as expected.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            return Ok(Connection::Http1(sender));
        };
        let name = ServerName::from(self.address.ip());
        let stream = TlsConnector::from(Arc::clone(tls))
            .connect(name, stream)
            .await?;
        let (_, session) = stream.get_ref();
        ensure!(session.alpn_protocol() == Some(b"h2"), "no h2");
        ensure!(
            session.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3),
            "no TLS 1.3"
        );
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection::Http2(sender))
    }

    /// As many connections as `streams` requests at a time need.
    async fn connections(&self, streams: usize) -> anyhow::Result<Vec<Connection>> {
        let mut connections = vec![self.connect().await?];
        while connections.len() < streams {
            let next = match &connections[0] {
                Connection::Http2(sender) => Connection::Http2(sender.clone()),
                Connection::Http1(_) => self.connect().await?,
            };
            connections.push(next);
        }
        Ok(connections)
    }
}

impl Connection {
    /// Asks and reads the whole answer.
    ///
    /// # Errors
    /// When the answer is not a 200.
    pub async fn ask(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Bytes> {
        let response = match self {
            Connection::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Connection::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        ensure!(response.status() == StatusCode::OK, "{}", response.status());
        Ok(response.into_body().collect().await?.to_bytes())
    }
}

/// `count` requests, `streams` at a time, the next sent when one is answered. Gives back the time they took.
///
/// # Errors
/// When an answer is another than `expected`.
pub async fn closed_loop(
    target: &Target,
    streams: usize,
    count: usize,
    expected: &Expected,
) -> anyhow::Result<Duration> {
    let connections = target.connections(streams).await?;
    let start = Instant::now();
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            let (request, expected) = (target.request.clone(), expected.clone());
            tokio::spawn(async move {
                for _ in 0..count / streams {
                    expected.check(&connection.ask(request.clone()).await?)?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(start.elapsed())
}

/// `count` requests at a steady `rate` a second, whether or not earlier ones are answered. A latency counts from the
/// moment the request was due, so that a stalled server is charged for every request it held up.
///
/// # Errors
/// As [`closed_loop`].
pub async fn open_loop(
    target: &Target,
    rate: u32,
    count: u32,
    expected: &Expected,
) -> anyhow::Result<Vec<Duration>> {
    let connections = target.connections(1).await?;
    let Some(Connection::Http2(sender)) = connections.first() else {
        anyhow::bail!("the open loop needs HTTP/2");
    };
    let start = Instant::now() + Duration::from_millis(50);
    let mut tasks = Vec::new();
    for number in 0..count {
        let due = start + Duration::from_secs(1) * number / rate;
        tokio::time::sleep_until((due - GRAIN).into()).await;
        while Instant::now() < due {
            tokio::task::yield_now().await;
        }
        let mut connection = Connection::Http2(sender.clone());
        let (request, expected) = (target.request.clone(), expected.clone());
        tasks.push(tokio::spawn(async move {
            let answer = connection.ask(request).await?;
            let latency = due.elapsed();
            expected.check(&answer)?;
            anyhow::Ok(latency)
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.push(task.await.context("load")??);
    }
    Ok(latencies)
}

/// `count` connections one after the other, each for one request: how long each took, handshakes and all.
///
/// # Errors
/// As [`closed_loop`].
pub async fn first_requests(
    target: &Target,
    count: usize,
    expected: &Expected,
) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        let answer = target.connect().await?.ask(target.request.clone()).await?;
        latencies.push(start.elapsed());
        expected.check(&answer)?;
    }
    Ok(latencies)
}

/// What each answer must be.
#[derive(Clone)]
pub struct Expected {
    /// The first answer, looked at closely.
    pub answer: Bytes,
    /// Where a number in it may change from one answer to the next, so that only the length counts.
    pub length_only: bool,
}

impl Expected {
    /// Compares.
    ///
    /// # Errors
    /// When `answer` is another.
    pub fn check(&self, answer: &Bytes) -> anyhow::Result<()> {
        let same = if self.length_only {
            answer.len() == self.answer.len()
        } else {
            *answer == self.answer
        };
        ensure!(
            same,
            "another answer than the first: {}",
            String::from_utf8_lossy(answer)
        );
        Ok(())
    }
}
