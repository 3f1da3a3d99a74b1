//! Both listeners, on a thread of their own: the simulation answers even while its test blocks.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router, middleware};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use crate::arm::resources::Resources;
use crate::azure::Azure;
use crate::entra::issuers::Issuers;
use crate::journal::{Entry, Journal, Listener, record};
use crate::jwt::{self, SigningKey};
use crate::{CLIENT_ID, CLIENT_SECRET, Options, SUBSCRIPTION, TENANT, arm, entra, imds, tls};

/// Why a simulation could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address could not be bound.
    #[error("listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The IMDS's network namespace could not be entered.
    #[error("enter the network namespace {}: {source}", namespace.display())]
    Namespace {
        /// Its file.
        namespace: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The CA's file could not be written.
    #[error("write the CA file: {0}")]
    CaFile(io::Error),
    /// The signing key could not be made.
    #[error("make the signing key: {0}")]
    Key(#[from] jwt::Error),
    /// The serving thread could not start.
    #[error("start the server: {0}")]
    Serve(io::Error),
    /// TLS could not be set up, or an issuer's CA is no certificate.
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

/// A running simulation. Stops when dropped.
pub struct Simulation {
    /// Resource Manager, `https://localhost:PORT`, or with the address it was bound to if that is not loopback.
    pub arm: String,
    /// Entra's authority host, the same host and port, slash at the end as the clients' variables have it.
    pub authority: String,
    /// The node's IMDS, `http://127.0.0.1:PORT`.
    pub node_imds: String,
    /// Certificate of the authority that signed the HTTPS listener's leaf, PEM.
    pub ca_pem: String,
    /// The same in a file, removed on drop.
    pub ca_file: PathBuf,
    /// [`SUBSCRIPTION`].
    pub subscription: &'static str,
    /// [`TENANT`].
    pub tenant: &'static str,
    /// [`CLIENT_ID`].
    pub client_id: &'static str,
    /// [`CLIENT_SECRET`].
    pub client_secret: &'static str,
    azure: Arc<Azure>,
    handles: [Handle<SocketAddr>; 2],
    thread: Option<JoinHandle<()>>,
    _folder: TempDir,
}

/// Starts a simulation and returns when both listeners accept. Needs no async runtime and blocks none for long.
///
/// # Errors
/// [`Error`], naming the address, file or certificate at fault.
pub fn start(options: Options) -> Result<Simulation, Error> {
    // Loopback has a name that every client takes.
    let host = match options.bind.ip() {
        address if address.is_loopback() || address.is_unspecified() => "localhost".to_owned(),
        address => address.to_string(),
    };
    let (ca_pem, tls_config) = tls::throw_away(&host)?;
    let folder = TempDir::with_prefix("simazure-").map_err(Error::CaFile)?;
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &ca_pem).map_err(Error::CaFile)?;

    let (azure_listener, azure_address) = bind(options.bind)?;
    let (imds_listener, imds_address) = match &options.imds_namespace {
        Some(namespace) => bind_in(namespace, options.imds_bind)?,
        None => bind(options.imds_bind)?,
    };
    let origin = format!("https://{host}:{}", azure_address.port());
    let authorities = options.issuer_cas.iter().chain([&ca_pem]);
    let azure = Arc::new(Azure::new(
        origin.clone(),
        SigningKey::generate()?,
        Issuers::new(authorities.map(String::as_str))?,
        options.denied_resources,
        Resources::with(options.clusters),
    ));

    let handles = [Handle::new(), Handle::new()];
    let listeners = Listeners {
        azure: azure_listener,
        imds: imds_listener,
        tls: RustlsConfig::from_config(tls_config),
        handles: handles.clone(),
    };
    let (ready, started) = mpsc::channel();
    let shared = Arc::clone(&azure);
    let thread = std::thread::Builder::new()
        .name("simazure".to_owned())
        .spawn(move || {
            let outcome = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .and_then(|runtime| runtime.block_on(serve(shared, listeners, &ready)));
            // Once it was ready nobody waits for this any more.
            let _ = ready.send(outcome);
        })
        .map_err(Error::Serve)?;
    started
        .recv()
        .map_err(|_| Error::Serve(io::Error::other("the serving thread ended")))?
        .map_err(Error::Serve)?;

    Ok(Simulation {
        authority: format!("{origin}/"),
        arm: origin,
        node_imds: format!("http://{imds_address}"),
        ca_pem,
        ca_file,
        subscription: SUBSCRIPTION,
        tenant: TENANT,
        client_id: CLIENT_ID,
        client_secret: CLIENT_SECRET,
        azure,
        handles,
        thread: Some(thread),
        _folder: folder,
    })
}

impl Simulation {
    /// Every request so far, in the order of the answers.
    #[must_use]
    pub fn journal(&self) -> Vec<Entry> {
        self.azure.journal.entries()
    }

    /// Forgets the requests so far.
    pub fn clear_journal(&self) {
        self.azure.journal.clear();
    }

    /// Trusts one more authority, PEM, when it reads a federated issuer's keys.
    ///
    /// # Errors
    /// [`tls::Error`] when the text holds no certificate.
    pub fn trust_issuer_ca(&self, pem: &str) -> Result<(), tls::Error> {
        self.azure.issuers.trust(pem)
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("arm", &self.arm)
            .field("node_imds", &self.node_imds)
            .finish_non_exhaustive()
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        for handle in &self.handles {
            handle.shutdown();
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed already, and a drop has nobody to tell.
            let _ = thread.join();
        }
    }
}

struct Listeners {
    azure: TcpListener,
    imds: TcpListener,
    tls: RustlsConfig,
    handles: [Handle<SocketAddr>; 2],
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    TcpListener::bind(address)
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            let mut bound = listener.local_addr()?;
            if bound.ip().is_unspecified() {
                // It listens everywhere; the address told must be one that can be dialled.
                bound.set_ip(Ipv4Addr::LOCALHOST.into());
            }
            Ok((listener, bound))
        })
        .map_err(|source| Error::Bind { address, source })
}

/// Listens in another network namespace: a socket stays in the one its thread was in, whoever uses it afterwards.
fn bind_in(namespace: &Path, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Namespace {
        namespace: namespace.to_owned(),
        source,
    };
    let file = File::open(namespace).map_err(failed)?;
    // A thread of its own, as it never comes back.
    let bound = std::thread::spawn(move || {
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(file.as_fd(), kind).map(|()| bind(address))
    });
    let ended = || io::Error::other("the thread that enters it ended");
    bound
        .join()
        .map_err(|_| failed(ended()))?
        .map_err(|errno| failed(errno.into()))?
}

/// Serves until the handles say to stop; says once when both listeners accept.
async fn serve(
    azure: Arc<Azure>,
    listeners: Listeners,
    ready: &mpsc::Sender<io::Result<()>>,
) -> io::Result<()> {
    let [azure_handle, imds_handle] = listeners.handles;
    let journal = azure.journal.clone();
    let imds = journalled(
        imds::routes(Arc::clone(&azure)),
        journal.clone(),
        Listener::Imds,
    );
    let routes = Router::new()
        .route(
            "/simulator/journal",
            get(read_journal).delete(clear_journal),
        )
        .merge(entra::routes())
        .fallback(arm::handle)
        .with_state(azure);
    let https = axum_server::from_tcp_rustls(listeners.azure, listeners.tls)?
        .handle(azure_handle)
        .serve(journalled(routes, journal, Listener::Azure).into_make_service());
    let http = axum_server::from_tcp(listeners.imds)?
        .handle(imds_handle)
        .serve(imds.into_make_service());
    // The receiver waits for just this.
    let _ = ready.send(Ok(()));
    tokio::try_join!(https, http)?;
    Ok(())
}

fn journalled(routes: Router, journal: Journal, listener: Listener) -> Router {
    routes.layer(middleware::from_fn_with_state((journal, listener), record))
}

async fn read_journal(State(azure): State<Arc<Azure>>) -> Json<Vec<Entry>> {
    Json(azure.journal.entries())
}

async fn clear_journal(State(azure): State<Arc<Azure>>) -> StatusCode {
    azure.journal.clear();
    StatusCode::NO_CONTENT
}
