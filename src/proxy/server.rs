//! The listeners on loopback and the one handler behind them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum_server::Server;
use axum_server::{Control, Handle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::azure::cache::Cache;
use crate::azure::token::unix_seconds;
use crate::exposition;
use crate::proxy::imds::{self, Route, Rules, TokenRequest};
use crate::proxy::metrics::Metrics;
use crate::proxy::passthrough::{Passthrough, Unanswered};
use crate::proxy::refusal::Refusal;
use crate::proxy::reply;

/// How long requests under way may take once the process is asked to end.
const DRAIN: Duration = Duration::from_secs(4);
/// How long a connection may be silent before its next request.
const SILENCE: Duration = Duration::from_secs(120);
/// How many bytes of a request's head are buffered; where it falls, one somewhat longer still passes.
const HEAD: usize = 32 * 1024;

/// Everything the handler works with.
#[derive(Debug)]
pub struct Proxy {
    /// Whom it serves.
    pub rules: Rules,
    /// The tokens.
    pub cache: Cache,
    /// The way to the node's IMDS; None when denied.
    pub passthrough: Option<Passthrough>,
    /// What is counted.
    pub metrics: Metrics,
}

/// A proxy that listens and does not answer yet.
#[derive(Debug)]
pub struct Bound {
    proxy: Arc<Proxy>,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    metrics: Option<(TcpListener, SocketAddr)>,
}

/// An address that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {source}")]
pub struct CannotListen {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

impl Proxy {
    /// Listens on `port` of 127.0.0.1 and \[::1\], as `localhost` may mean either; port 0 takes any free one for both.
    /// A pod without IPv6 is served on 127.0.0.1 alone. Metrics are served at `metrics`, if anywhere.
    ///
    /// # Errors
    /// When one of the addresses can't be listened on.
    pub async fn bind(self, port: u16, metrics: Option<SocketAddr>) -> Result<Bound, CannotListen> {
        let (first, address) = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let mut listeners = vec![first];
        let mut addresses = vec![address];
        match listen(SocketAddr::from((Ipv6Addr::LOCALHOST, address.port()))).await {
            Ok((second, address)) => {
                listeners.push(second);
                addresses.push(address);
            }
            Err(error) if lacks_address_family(&error.source) => {
                info!("no IPv6 here: serving 127.0.0.1 only");
            }
            Err(error) => return Err(error),
        }
        let metrics = match metrics {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        Ok(Bound {
            proxy: Arc::new(self),
            listeners,
            addresses,
            metrics,
        })
    }
}

impl Bound {
    /// The addresses listened on.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address of the metrics.
    #[must_use]
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address)| *address)
    }

    /// Serves until `shutdown`; requests under way then have 4 s to end.
    ///
    /// # Errors
    /// When a listener fails.
    pub async fn run(self, shutdown: CancellationToken) -> io::Result<()> {
        let metrics = exposition::routes(Arc::clone(&self.proxy.metrics.registry));
        let requests = Router::new().fallback(answer).with_state(self.proxy);
        let listeners = self.listeners.into_iter();
        let served = listeners
            .map(|listener| (listener, requests.clone()))
            .chain(self.metrics.map(|(listener, _)| (listener, metrics)));
        let control = Control::new();
        let servers = served.map(|(listener, router)| {
            let mut server = Server::<SocketAddr>::from_listener(listener)
                .handle(Handle::with_control(control.clone()))
                .http1_only();
            server
                .http_builder()
                .http1()
                .header_read_timeout(SILENCE)
                .max_buf_size(HEAD);
            server.serve(router.into_make_service())
        });
        let servers = futures::future::try_join_all(servers);
        tokio::pin!(servers);
        tokio::select! {
            ended = &mut servers => return ended.map(|_| ()),
            () = shutdown.cancelled() => control.graceful_shutdown(Some(DRAIN)),
        }
        servers.await.map(|_| ())
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), CannotListen> {
    let listened = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listened
        .await
        .map_err(|source| CannotListen { address, source })
}

/// Whether the pod has no IPv6 at all: no such address, or no such address family (EAFNOSUPPORT).
fn lacks_address_family(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

async fn answer(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    match imds::route(
        request.method(),
        request.uri(),
        request.headers(),
        &proxy.rules,
    ) {
        Route::Token(asked) => token(&proxy, asked).await,
        Route::Info => reply::info(&proxy.rules.tenant_id),
        Route::Ready => reply::ready(),
        Route::Passthrough => match &proxy.passthrough {
            Some(passthrough) => pass(&proxy.metrics, passthrough, request).await,
            None => refuse(&proxy.metrics, &Refusal::PassthroughDenied),
        },
        Route::Refuse(refusal) => refuse(&proxy.metrics, &refusal),
    }
}

async fn token(proxy: &Proxy, asked: TokenRequest) -> Response {
    let TokenRequest {
        wanted,
        bypass_cache,
        protocol,
    } = asked;
    debug!(
        ?protocol,
        client_id = &*wanted.client_id,
        resource = wanted.resource,
        bypass_cache,
        "token request"
    );
    let outcome = proxy.cache.token(&wanted, bypass_cache).await;
    let failure = outcome.as_ref().err().map(|refusal| refusal.error.class());
    proxy.metrics.asked(protocol, failure);
    match outcome {
        Ok(token) => reply::token(&token, &wanted, unix_seconds(SystemTime::now())),
        Err(refusal) => reply::no_token(&refusal),
    }
}

async fn pass(metrics: &Metrics, passthrough: &Passthrough, request: Request) -> Response {
    let outcome = passthrough.forward(request).await;
    metrics.passed(outcome.as_ref().err());
    match outcome {
        Ok(answer) => answer,
        Err(Unanswered::Loop) => reply::refused(&Refusal::Loop),
        Err(Unanswered::NoAnswer(reason)) => reply::no_passthrough(&reason),
    }
}

fn refuse(metrics: &Metrics, refusal: &Refusal) -> Response {
    debug!(%refusal, "request refused");
    metrics.refused(refusal);
    reply::refused(refusal)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::lacks_address_family;

    #[test]
    fn what_counts_as_no_ipv6() {
        let table = [
            (io::Error::from_raw_os_error(97), true),
            (io::Error::from(io::ErrorKind::AddrNotAvailable), true),
            (io::Error::from(io::ErrorKind::AddrInUse), false),
            (io::Error::from(io::ErrorKind::PermissionDenied), false),
        ];
        for (error, expected) in table {
            assert_eq!(lacks_address_family(&error), expected, "{error}");
        }
    }
}
