//! A certificate chain with its key, as PEM, and what TLS makes of it.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;

/// A certificate that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No PEM of the kind it should be.
    #[error("{place}: {reason}")]
    Pem {
        /// Which file, or which key of a Secret.
        place: String,
        /// Why.
        reason: String,
    },
    /// Certificate and key don't belong together, or can't be used.
    #[error("{place}: tls.crt and tls.key: {source}")]
    Pair {
        /// Where both are.
        place: String,
        /// Why.
        source: rustls::Error,
    },
    /// TLS can't be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The authorities of clients can't be used.
    #[error("{place}: {source}")]
    Clients {
        /// The file.
        place: String,
        /// Why.
        source: rustls::server::VerifierBuilderError,
    },
}

/// A certificate chain, leaf first, and its key: the bytes, and where they are from.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    place: String,
    /// `tls.crt`.
    pub certificate: Vec<u8>,
    /// `tls.key`.
    pub key: Vec<u8>,
}

/// From when until when something is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from: i64,
    /// Not after.
    pub until: i64,
}

impl Validity {
    /// Of a certificate.
    #[must_use]
    pub fn of(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Validity {
            from: validity.not_before.timestamp(),
            until: validity.not_after.timestamp(),
        }
    }

    /// Whether `now` is in it.
    #[must_use]
    pub fn holds(self, now: i64) -> bool {
        (self.from..=self.until).contains(&now)
    }

    /// Whether the last third has begun.
    #[must_use]
    pub fn is_due(self, now: i64) -> bool {
        now >= self.due()
    }

    /// When the last third begins.
    #[must_use]
    pub fn due(self) -> i64 {
        self.until - (self.until - self.from) / 3
    }
}

impl Pair {
    /// A pair of PEM bytes. `place` names where they are from.
    #[must_use]
    pub fn new(place: String, certificate: Vec<u8>, key: Vec<u8>) -> Self {
        Pair {
            place,
            certificate,
            key,
        }
    }

    /// What a handshake uses.
    ///
    /// # Errors
    /// When the bytes are no PEM, or the two don't belong together.
    pub fn certified(&self) -> Result<CertifiedKey, Error> {
        let chain = self.chain()?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| self.pem("tls.key", error.to_string()))?;
        let provider = rustls::crypto::ring::default_provider();
        CertifiedKey::from_der(chain, key, &provider).map_err(|source| Error::Pair {
            place: self.place.clone(),
            source,
        })
    }

    /// From when until when the leaf, the first certificate, is valid.
    ///
    /// # Errors
    /// When the bytes are no PEM, or no certificate.
    pub fn validity(&self) -> Result<Validity, Error> {
        let chain = self.chain()?;
        let leaf = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let (_, leaf) = x509_parser::parse_x509_certificate(leaf)
            .map_err(|error| self.pem("tls.crt", error.to_string()))?;
        Ok(Validity::of(&leaf))
    }

    /// The certificates, leaf first.
    ///
    /// # Errors
    /// When the bytes are no PEM.
    pub fn chain(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
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
            place: format!("{}/{name}", self.place),
            reason,
        }
    }
}

impl std::fmt::Display for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place)
    }
}

/// TLS 1.3 with ALPN for h2 and http/1.1; `certificate` is asked at each handshake.
///
/// # Errors
/// When TLS can't be set up.
pub fn server_config(
    certificate: Arc<dyn ResolvesServerCert>,
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Who may connect: whoever has a certificate of these authorities, everybody where there are none.
///
/// # Errors
/// When the bytes are no PEM certificates.
pub fn clients(authorities: Option<(&str, &[u8])>) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let Some((place, bytes)) = authorities else {
        return Ok(Arc::new(NoClientAuth));
    };
    let roots = Pair::new(place.to_owned(), bytes.to_vec(), Vec::new());
    let mut store = rustls::RootCertStore::empty();
    store.add_parsable_certificates(roots.chain().map_err(|_| Error::Pem {
        place: place.to_owned(),
        reason: "holds no PEM certificate".to_owned(),
    })?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider).build();
    match verifier {
        Ok(verifier) => Ok(verifier),
        Err(source) => Err(Error::Clients {
            place: place.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn says_which_part_is_wrong() {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap()
            .pem();
        let (key, other) = (
            key.serialize_pem(),
            KeyPair::generate().unwrap().serialize_pem(),
        );
        let table = [
            ("no key", certificate.as_str(), "", "/certs/tls.key: "),
            (
                "no certificate",
                "",
                key.as_str(),
                "/certs/tls.crt: holds no PEM certificate",
            ),
            (
                "another's key",
                certificate.as_str(),
                other.as_str(),
                "/certs: tls.crt and tls.key: ",
            ),
        ];
        for (case, certificate, key, expected) in table {
            let pair = Pair::new("/certs".to_owned(), certificate.into(), key.into());
            let error = pair.certified().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{case}: {error}");
        }
    }

    #[test]
    fn validity() {
        let (from, until) = (1_000, 4_000);
        let table = [
            (999, false, false),
            (1_000, true, false),
            (2_999, true, false),
            (3_000, true, true),
            (4_000, true, true),
            (4_001, false, true),
        ];
        for (now, holds, due) in table {
            let validity = Validity { from, until };
            assert_eq!(
                (validity.holds(now), validity.is_due(now)),
                (holds, due),
                "{now}"
            );
        }
    }
}
