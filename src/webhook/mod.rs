//! The admission webhook: `bind` -> [`Bound`] -> `run`.

mod api_server;
mod certificate;
mod directory;
mod handler;
mod health;
mod metrics;
mod neighbour;
mod outcome;
mod ready;
mod record;
pub mod review;
mod workload;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::RustlsConfig;
use clap::Args as ClapArgs;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::api_server::ApiServer;
use self::certificate::Certificate;
use self::directory::Directory;
use self::handler::Webhook;
use self::metrics::Metrics;
use self::ready::Readiness;
use crate::exit::{Exit, Failure};
use crate::inject::Flags;
use crate::kubernetes;

/// How long requests under way may take after the drain.
const GRACE: Duration = Duration::from_secs(20);

/// How long a connection may take to say what it wants.
const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection that was used may be idle. API servers close theirs after 90 s (client-go's transport), and it
/// has to be them: what is sent into a connection at the moment we close it fails an admission.
const IDLE_LIMIT: Duration = Duration::from_secs(150);

/// Arguments of `webhook`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Where AdmissionReviews are answered, over TLS
    #[arg(long, env = "WEBHOOK_BIND", default_value = "0.0.0.0:9443")]
    bind: SocketAddr,
    /// Where /healthz, /readyz (/readyz?verbose lists the parts) and /metrics are answered, over plain HTTP
    #[arg(long, env = "WEBHOOK_HEALTH", default_value = "0.0.0.0:9440")]
    health: SocketAddr,
    #[command(flatten)]
    certificate: certificate::Args,
    /// Seconds to go on serving after SIGTERM, while the API server learns that this replica leaves
    #[arg(
        long,
        env = "WEBHOOK_DRAIN_DELAY",
        value_name = "SECONDS",
        default_value_t = 5
    )]
    drain_delay: u64,
    /// Kubeconfig, where not that of the pod or of KUBECONFIG
    #[arg(long, env = "WEBHOOK_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

/// A webhook that listens, and serves once [`Bound::run`] is called.
pub struct Bound {
    /// Where reviews are answered.
    pub reviews: SocketAddr,
    /// Where health is answered.
    pub health: SocketAddr,
    review_listener: TcpListener,
    health_listener: TcpListener,
    certificate: Certificate,
    client: kube::Client,
    flags: Flags,
    drain_delay: Duration,
}

/// Tasks that end with the one that holds them.
#[derive(Default)]
struct Background(Vec<JoinHandle<()>>);

/// Runs the webhook until `shutdown`.
///
/// # Errors
/// When flags contradict each other, a port is taken, the certificate is not usable or no API server is known.
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<Exit, Failure> {
    if let Some(error) = args.certificate.contradiction() {
        let exit = Exit::Usage;
        return Err(Failure { exit, error });
    }
    let client = kubernetes::connect(args.kubeconfig.as_deref()).await;
    let client = client.map_err(|error| Failure {
        exit: Exit::CouldNotCheck,
        error: error.into(),
    })?;
    Ok(bind(args, client).await?.run(shutdown).await?)
}

/// Binds both ports and reads the certificate; nothing is served yet.
///
/// # Errors
/// When a port is taken or the certificate is not usable.
pub async fn bind(args: Args, client: kube::Client) -> anyhow::Result<Bound> {
    let certificate = certificate::read(args.certificate).await?;
    let review_listener = listen(args.bind).context("--bind")?;
    let health_listener = listen(args.health).context("--health")?;
    Ok(Bound {
        reviews: review_listener.local_addr()?,
        health: health_listener.local_addr()?,
        review_listener,
        health_listener,
        certificate,
        client,
        flags: args.flags,
        drain_delay: Duration::from_secs(args.drain_delay),
    })
}

impl Bound {
    /// Serves until `shutdown`: then not ready at once, serving on for the drain delay, then finishing.
    ///
    /// # Errors
    /// When the certificate is not usable or a listener fails.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<Exit> {
        let readiness = Readiness::default();
        let metrics = Arc::new(Metrics::default());
        let directory = Directory::new(self.client.clone(), metrics.lookups.clone());
        let api_server = ApiServer::default();
        let mut background = Background::default();
        background.spawn(directory.clone().watch(
            readiness.pending("serviceaccounts"),
            readiness.pending("namespaces"),
        ));
        let tls = RustlsConfig::from_config(self.certificate.server_config()?);
        let gauges = metrics.certificate.clone();
        let client = self.client.clone();
        for task in self
            .certificate
            .tasks(client, &readiness, gauges, &shutdown)
        {
            background.0.push(tokio::spawn(task));
        }
        let installed = metrics.reference_installed.clone();
        background.spawn(neighbour::watch(self.client.clone(), installed));
        if self.flags.asks_the_api_server() {
            let pending = readiness.pending("apiserver-version");
            background.spawn(api_server.clone().follow(self.client, pending));
        }
        let webhook = Webhook {
            flags: self.flags,
            directory,
            api_server,
            metrics: metrics.clone(),
        };
        let handle = Handle::new();
        let reviews = handler::reviews(webhook).layer(from_fn_with_state(shutdown.clone(), let_go));
        let reviews = serve(self.review_listener, tls, reviews, handle.clone())?;
        let health = axum_server::from_tcp(self.health_listener)?
            .handle(handle.clone())
            .serve(health::routes(readiness.clone(), metrics.registry.clone()).into_make_service());
        tracing::info!(reviews = %self.reviews, health = %self.health, "listening");
        background.spawn(drain(shutdown, readiness, self.drain_delay, handle));
        tokio::try_join!(reviews, health).context("listener")?;
        Ok(Exit::Done)
    }
}

impl Background {
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.push(tokio::spawn(task));
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Answers reviews, each first one at once and none to whoever says too little.
fn serve(
    listener: TcpListener,
    tls: RustlsConfig,
    reviews: Router,
    handle: Handle<SocketAddr>,
) -> std::io::Result<impl Future<Output = std::io::Result<()>>> {
    // Else a new connection's first answer waits for acknowledgements of the handshake, which clients hold back 40 ms.
    let mut server = axum_server::from_tcp_rustls(listener, tls)?
        .map(|tls| tls.acceptor(NoDelayAcceptor::new()))
        .handle(handle)
        .first_request_timeout(HEAD_LIMIT);
    server
        .http_builder()
        .http1()
        .header_read_timeout(IDLE_LIMIT);
    Ok(server.serve(reviews.into_make_service()))
}

/// While the replica leaves, closes each connection with its answer. API servers speak HTTP/1.1 to webhooks and keep
/// their connections, by the Service's name, also those to a replica that is no endpoint any more; what one sends
/// into a connection at the moment we close it fails an admission. HTTP/2 says goodbye by itself.
async fn let_go(
    State(shutdown): State<CancellationToken>,
    request: Request,
    next: Next,
) -> Response {
    let version = request.version();
    let mut response = next.run(request).await;
    if shutdown.is_cancelled() && version <= Version::HTTP_11 {
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Once `shutdown` is called: not ready at once, serving for a while, then finishing.
async fn drain(
    shutdown: CancellationToken,
    readiness: Readiness,
    delay: Duration,
    handle: Handle<SocketAddr>,
) {
    shutdown.cancelled().await;
    let _draining = readiness.pending("draining");
    tracing::info!(?delay, "leaving");
    tokio::time::sleep(delay).await;
    handle.graceful_shutdown(Some(GRACE));
    // Not ready until the end.
    std::future::pending::<()>().await;
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| address.to_string())?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
