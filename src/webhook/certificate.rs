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
pub const POLL: Duration = Duration::from_secs(5);

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

/// Reads the files every `poll`, for ever, and swaps the served certificate when they hold a new pair that fits.
pub async fn follow(mut served: Pair, config: RustlsConfig, poll: Duration) {
    let mut rejected: Option<Pair> = None;
    loop {
        tokio::time::sleep(poll).await;
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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// Writes a pair as the kubelet mounts it: `tls.crt -> ..data/tls.crt`, `..data` swapped by rename.
    fn mount(volume: &Path, generation: &str, certificate: &str, key: &str) {
        let folder = volume.join(generation);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("tls.crt"), certificate).unwrap();
        std::fs::write(folder.join("tls.key"), key).unwrap();
        std::os::unix::fs::symlink(generation, volume.join("..data_tmp")).unwrap();
        std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
        for name in ["tls.crt", "tls.key"] {
            let link = volume.join(name);
            if !link.exists() {
                std::os::unix::fs::symlink(Path::new("..data").join(name), link).unwrap();
            }
        }
    }

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    async fn swapped(config: &RustlsConfig, before: &Arc<ServerConfig>) -> bool {
        for _ in 0..100 {
            if !Arc::ptr_eq(&config.get_inner(), before) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        false
    }

    #[tokio::test]
    async fn follows_the_kubelets_symlink_swap_and_keeps_the_old_pair_for_a_torn_one() {
        let volume = tempfile::tempdir().unwrap();
        let ((first, first_key), (second, second_key)) = (pair(), pair());
        mount(volume.path(), "1", &first, &first_key);
        let served = Pair::read(volume.path()).await.unwrap();
        let config = RustlsConfig::from_config(served.server_config().unwrap());
        let following = tokio::spawn(follow(served, config.clone(), Duration::from_millis(2)));
        let steps = [
            ("a torn pair", "2", &second, &first_key, false),
            ("no certificate", "3", &String::new(), &second_key, false),
            ("a new pair", "4", &second, &second_key, true),
        ];
        for (case, generation, certificate, key, swaps) in steps {
            let before = config.get_inner();
            mount(volume.path(), generation, certificate, key);
            assert_eq!(swapped(&config, &before).await, swaps, "{case}");
        }
        following.abort();
    }

    #[tokio::test]
    async fn says_which_file_is_wrong() {
        let (certificate, key) = pair();
        let (_, other_key) = pair();
        let table = [
            ("no key", certificate.as_str(), "", "tls.key: "),
            (
                "no certificate",
                "",
                key.as_str(),
                "tls.crt: holds no PEM certificate",
            ),
            (
                "another's key",
                certificate.as_str(),
                other_key.as_str(),
                "tls.crt and tls.key: ",
            ),
        ];
        for (case, certificate, key, expected) in table {
            let folder = tempfile::tempdir().unwrap();
            mount(folder.path(), "1", certificate, key);
            let error = Pair::read(folder.path())
                .await
                .unwrap()
                .server_config()
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{case}: {error}");
        }
        let error = Pair::read(Path::new("/nowhere"))
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(error.starts_with("/nowhere/tls.crt: "), "{error}");
    }
}
