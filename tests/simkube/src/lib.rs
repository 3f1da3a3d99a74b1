//! A small, honest stand-in for the Kubernetes API server paths that identity-injector uses.
//!
//! It speaks HTTPS on loopback to the real client: get, list, watch, create, delete and server-side apply of Namespaces,
//! ServiceAccounts, ConfigMaps, Pods and MutatingWebhookConfigurations, TokenRequest, the issuer's discovery documents and `/version`. What it does not
//! simulate (admission, selectors but by name, dry run, update by PUT) it refuses; it ignores nothing silently.
//!
//! ```text
//! request -kind-> Target -server-> verbs -> { object: in and out, managed: who owns what (both pure) } -> store
//! store -watch-> lines of events          issuer -> tokens, JWKS          refusal -> metav1.Status
//! ```

mod issuer;
mod kind;
mod managed;
mod object;
mod page;
mod place;
mod refusal;
mod server;
mod store;
mod tls;
mod verbs;
mod watch;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use thiserror::Error;
use uuid::Uuid;

pub use crate::issuer::KeyError;
pub use crate::refusal::{Conflict, Refusal};
pub use crate::tls::TlsError;

use crate::issuer::Issuer;
use crate::kind::{Key, Kind};
use crate::server::Server;
use crate::tls::Tls;

/// Manager under which [`Cluster::put`] owns what it writes.
pub const MANAGER: &str = "simkube";

/// How the server presents itself.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address to listen on; port 0 picks a free one.
    pub bind: SocketAddr,
    /// The `gitVersion`, such as `v1.36.3`.
    pub version: String,
    /// The issuer of tokens; the server's own URL when None.
    pub issuer: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            version: "v1.36.3".to_owned(),
            issuer: None,
        }
    }
}

/// Why no server could be started.
#[derive(Debug, Error)]
pub enum Error {
    /// The address can't be listened on.
    #[error("can't listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The version is none.
    #[error("version {0:?} is none: it must read vMAJOR.MINOR.PATCH")]
    Version(String),
    /// No certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No key to sign tokens with.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// One request the server received, served or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, such as `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
}

/// A running server, with the namespaces `default` and `kube-system`. It stops when dropped.
pub struct Cluster {
    server: Arc<Server>,
    ca_pem: String,
    handle: Handle<SocketAddr>,
}

/// Starts a server on the current Tokio runtime.
///
/// # Errors
/// When the address is taken, the version can't be read, or keys and certificates can't be made.
pub async fn start(options: Options) -> Result<Cluster, Error> {
    let version = version(&options.version).ok_or(Error::Version(options.version))?;
    let bind = |source| Error::Bind {
        address: options.bind,
        source,
    };
    let listener = TcpListener::bind(options.bind).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let tls = Tls::generate(address.ip())?;
    let url = format!("https://{address}");
    let issuer = Issuer::generate(options.issuer.unwrap_or_else(|| url.clone()))?;
    let server = Arc::new(Server::new(
        url,
        Uuid::new_v4().to_string(),
        version,
        issuer,
    ));

    let handle = Handle::new();
    let router = Router::new()
        .fallback(server::answer)
        .with_state(Arc::clone(&server));
    let serving = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(tls.config))
        .map_err(bind)?
        .handle(handle.clone())
        .serve(router.into_make_service());
    tokio::spawn(serving);

    let cluster = Cluster {
        server,
        ca_pem: tls.ca_pem,
        handle,
    };
    for name in ["default", "kube-system"] {
        let namespace =
            json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}});
        verbs::put(
            &mut cluster.server.store(),
            Key::new(Kind::Namespace, "", name),
            namespace,
            MANAGER,
        );
    }
    Ok(cluster)
}

impl Cluster {
    /// The server's URL, `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// The certificate that clients must trust.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The `iss` of every token. Its documents are served at [`Cluster::url`] without authentication.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.server.issuer.url()
    }

    /// A kubeconfig (YAML) of the administrator, CA and token in it.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        let json = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "simkube",
            "clusters": [{"name": "simkube", "cluster": {
                "server": self.url(), "certificate-authority-data": STANDARD.encode(&self.ca_pem),
            }}],
            "users": [{"name": "admin", "user": {"token": self.server.token}}],
            "contexts": [{"name": "simkube", "context": {"cluster": "simkube", "user": "admin"}}],
        });
        // JSON is YAML.
        format!("{json:#}\n")
    }

    /// Creates or replaces an object, as the manager [`MANAGER`], and gives back what is stored. Its namespace need not exist.
    ///
    /// # Errors
    /// [`Refusal::BadRequest`] when it is no Namespace, ServiceAccount, ConfigMap or Pod with a name.
    pub fn put(&self, object: Value) -> Result<Value, Refusal> {
        let key = object::key_of(&object)?;
        Ok(Value::clone(&verbs::put(
            &mut self.server.store(),
            key,
            object,
            MANAGER,
        )))
    }

    /// An object, by kind (`ServiceAccount`), namespace (ignored for a Namespace) and name.
    #[must_use]
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let object = self
            .server
            .store()
            .get(&Key::new(Kind::named(kind)?, namespace, name))?;
        Some(Value::clone(&object))
    }

    /// Deletes an object, a Namespace with all that is in it, and gives back what it was.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let object = self
            .server
            .store()
            .remove(&Key::new(Kind::named(kind)?, namespace, name))?;
        Some(Value::clone(&object))
    }

    /// A ServiceAccount's token for one audience, good for an hour.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such ServiceAccount.
    pub fn token(&self, namespace: &str, name: &str, audience: &str) -> Result<String, Refusal> {
        let key = Key::new(Kind::ServiceAccount, namespace, name);
        let (token, _) = verbs::issue(&self.server, &key, &[audience.to_owned()], 3600)?;
        Ok(token)
    }

    /// Every request so far, oldest first, also those that were refused.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.server.journal().clone()
    }

    /// Begins an outage: every request is answered 503, open watches break off.
    pub fn pause(&self) {
        self.server.pause(true);
    }

    /// Ends the outage.
    pub fn resume(&self) {
        self.server.pause(false);
    }

    /// Forgets the changes so far: a watch that starts from an older version is told 410 Gone and must list again. Open
    /// watches go on.
    pub fn compact(&self) {
        self.server.store().compact();
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

/// The answer to GET /version.
fn version(git_version: &str) -> Option<Value> {
    let mut numbers = git_version.strip_prefix('v')?.splitn(3, '.');
    let (major, minor, _patch) = (numbers.next()?, numbers.next()?, numbers.next()?);
    major.parse::<u32>().ok()?;
    minor.parse::<u32>().ok()?;
    Some(json!({
        "major": major, "minor": minor, "gitVersion": git_version, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
    }))
}
