//! The serving certificate from files: read before anything listens, read again every few seconds,
//! swapped when the bytes changed and the pair fits. Bytes are compared, not file events: a mounted Secret
//! changes by a symlink swap that a watch on the file never sees.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How often the files are read.
const POLL: Duration = Duration::from_secs(5);

/// A certificate that can't be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not there.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds no PEM of the kind it should.
    #[error("{}: {reason}", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate and key don't belong together, or can't be used.
    #[error("{}: tls.crt and tls.key: {source}", .directory.display())]
    Pair {
        /// Their folder.
        directory: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// The bytes of a pair of files.
#[derive(PartialEq, Eq)]
pub struct Pair {
    directory: PathBuf,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    /// Reads `tls.crt` and `tls.key`.
    ///
    /// # Errors
    /// When one can't be read.
    pub async fn read(directory: &Path) -> Result<Self, Error> {
        let read = async |name: &str| {
            let path = directory.join(name);
            tokio::fs::read(&path)
                .await
                .map_err(|source| Error::Read { path, source })
        };
        Ok(Pair {
            directory: directory.to_owned(),
            certificate: read("tls.crt").await?,
            key: read("tls.key").await?,
        })
    }

    /// The TLS configuration that serves this pair: TLS 1.3 with ALPN for h2 and http/1.1.
    ///
    /// # Errors
    /// When the bytes are no PEM, or the two don't belong together.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, Error> {
        let pem = |name: &str, reason: String| Error::Pem {
            path: self.directory.join(name),
            reason,
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| pem("tls.crt", error.to_string()))?;
        if chain.is_empty() {
            return Err(pem("tls.crt", "holds no PEM certificate".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| pem("tls.key", error.to_string()))?;
        let unusable = |source| Error::Pair {
            directory: self.directory.clone(),
            source,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Swaps the served certificate for ever, whenever the files hold a new pair that fits.
pub async fn follow(mut served: Pair, config: RustlsConfig) {
    let mut rejected: Option<Pair> = None;
    loop {
        tokio::time::sleep(POLL).await;
        // A file that is missing for a moment is the middle of a swap: the next round sees the end of it.
        let Ok(pair) = Pair::read(&served.directory).await else {
            continue;
        };
        if pair == served || rejected.as_ref() == Some(&pair) {
            continue;
        }
        match pair.server_config() {
            Ok(new) => {
                config.reload_from_config(new);
                tracing::info!(directory = %pair.directory.display(), "certificate swapped");
                served = pair;
                rejected = None;
            }
            Err(error) => {
                tracing::warn!(%error, "new certificate not usable; the old one goes on");
                rejected = Some(pair);
            }
        }
    }
}
