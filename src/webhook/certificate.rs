//! The serving certificate from files: read before anything listens, read again every few seconds,
//! swapped when the bytes changed and the pair fits. Bytes are compared, not file events: a mounted Secret
//! changes by a symlink swap that a watch on the file never sees.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use prometheus_client::metrics::gauge::Gauge;
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
        let chain = self.chain()?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| self.pem("tls.key", error.to_string()))?;
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

    /// Until when the leaf, the first certificate, is valid, in seconds since 1970.
    ///
    /// # Errors
    /// When the bytes are no PEM, or no certificate.
    pub fn not_after(&self) -> Result<i64, Error> {
        let chain = self.chain()?;
        let leaf = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let (_, leaf) = x509_parser::parse_x509_certificate(leaf)
            .map_err(|error| self.pem("tls.crt", error.to_string()))?;
        Ok(leaf.validity().not_after.timestamp())
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| self.pem("tls.crt", error.to_string()))?;
        if chain.is_empty() {
            return Err(self.pem("tls.crt", "holds no PEM certificate".to_owned()));
        }
        Ok(chain)
    }

    fn pem(&self, name: &str, reason: String) -> Error {
        Error::Pem {
            path: self.directory.join(name),
            reason,
        }
    }
}

/// Reads the files every `poll`, for ever, and swaps the served certificate when they hold a new pair that fits.
pub async fn follow(mut served: Pair, config: RustlsConfig, not_after: Gauge, poll: Duration) {
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
        let usable = pair
            .server_config()
            .and_then(|new| Ok((new, pair.not_after()?)));
        match usable {
            Ok((new, until)) => {
                config.reload_from_config(new);
                not_after.set(until);
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

    const IN_2040: i64 = 2_208_988_800;
    const IN_2050: i64 = 2_524_608_000;

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

    fn pair(last_year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
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
        let ((first, first_key), (second, second_key)) = (pair(2040), pair(2050));
        mount(volume.path(), "1", &first, &first_key);
        let served = Pair::read(volume.path()).await.unwrap();
        let config = RustlsConfig::from_config(served.server_config().unwrap());
        let not_after = Gauge::default();
        not_after.set(served.not_after().unwrap());
        let poll = Duration::from_millis(2);
        let following = tokio::spawn(follow(served, config.clone(), not_after.clone(), poll));
        let steps = [
            ("a torn pair", "2", &second, &first_key, false, IN_2040),
            (
                "no certificate",
                "3",
                &String::new(),
                &first_key,
                false,
                IN_2040,
            ),
            ("a new pair", "4", &second, &second_key, true, IN_2050),
        ];
        for (case, generation, certificate, key, swaps, until) in steps {
            let before = config.get_inner();
            mount(volume.path(), generation, certificate, key);
            assert_eq!(swapped(&config, &before).await, swaps, "{case}");
            assert_eq!(not_after.get(), until, "{case}");
        }
        following.abort();
    }

    #[tokio::test]
    async fn says_which_file_is_wrong() {
        let (certificate, key) = pair(2040);
        let (_, other_key) = pair(2040);
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
