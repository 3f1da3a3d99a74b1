//! Both listeners, on a thread of their own: the simulation answers even while its test blocks.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::{Router, middleware};
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use tempfile::TempDir;

use crate::arm::resources::Resources;
use crate::azure::Azure;
use crate::connection::Severable;
use crate::entra::issuers::Issuers;
use crate::faults::{Fault, Room, Unfit};
use crate::journal::{Entry, Listener, record};
use crate::jwt::{self, SigningKey};
use crate::listen::{bind, bind_in};
use crate::simulator::{self, strike};
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
    let issuers = Issuers::new(authorities.map(String::as_str))?;
    let azure = Arc::new(Azure::new(
        origin.clone(),
        SigningKey::generate()?,
        issuers,
        Resources::new(&origin, &options),
        options.denied_resources,
        options.clock,
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

    /// Lets a fault wait for its calls.
    ///
    /// # Errors
    /// [`Unfit`] when it asks for what can't be done or sent.
    pub fn fault(&self, fault: Fault) -> Result<(), Unfit> {
        self.azure.faults().add(fault)
    }

    /// Forgets the faults that wait.
    pub fn clear_faults(&self) {
        self.azure.faults().clear();
    }

    /// Calls of Resource Manager since the start, whether a fault struck them or not.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.azure.faults().calls()
    }

    /// Moves the simulation's clock on.
    pub fn advance(&self, by: Duration) {
        self.azure.clock.advance(by);
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

/// Serves until the handles say to stop; says once when both listeners accept.
async fn serve(
    azure: Arc<Azure>,
    listeners: Listeners,
    ready: &mpsc::Sender<io::Result<()>>,
) -> io::Result<()> {
    let [azure_handle, imds_handle] = listeners.handles;
    let rooms = simulator::routes()
        .merge(struck(entra::routes(), &azure, Room::Entra))
        .fallback_service(
            struck(Router::new().fallback(arm::handle), &azure, Room::Arm)
                .with_state(Arc::clone(&azure)),
        );
    let rooms = journalled(rooms, &azure, Listener::Azure);
    let imds = struck(imds::routes(), &azure, Room::Imds);
    let imds = journalled(imds, &azure, Listener::Imds);
    let tls = RustlsAcceptor::new(listeners.tls).acceptor(Severable);
    let https = axum_server::from_tcp(listeners.azure)?
        .acceptor(tls)
        .handle(azure_handle)
        .serve(rooms.with_state(Arc::clone(&azure)).into_make_service());
    let http = axum_server::from_tcp(listeners.imds)?
        .acceptor(Severable)
        .handle(imds_handle)
        .serve(imds.with_state(azure).into_make_service());
    // The receiver waits for just this.
    let _ = ready.send(Ok(()));
    tokio::try_join!(https, http)?;
    Ok(())
}

type Rooms = Router<Arc<Azure>>;

fn struck(routes: Rooms, azure: &Arc<Azure>, room: Room) -> Rooms {
    routes.layer(middleware::from_fn_with_state(
        (Arc::clone(azure), room),
        strike,
    ))
}

fn journalled(routes: Rooms, azure: &Azure, listener: Listener) -> Rooms {
    let state = (azure.journal.clone(), listener, azure.clock.clone());
    routes.layer(middleware::from_fn_with_state(state, record))
}
