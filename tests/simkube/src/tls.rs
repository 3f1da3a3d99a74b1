//! A certificate authority for one server's life, and the server's certificate.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use thiserror::Error;

/// Why the server has no certificate.
#[derive(Debug, Error)]
pub enum TlsError {
    /// Keys or certificates could not be made.
    #[error("can't make the certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// They could not be used.
    #[error("can't use the certificates: {0}")]
    Config(#[from] rustls::Error),
}

/// The server's side, and what clients trust.
pub(crate) struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) ca_pem: String,
}

impl Tls {
    /// A certificate for localhost, 127.0.0.1 and `ip`.
    ///
    /// # Errors
    /// When keys or certificates can't be made or used.
    pub(crate) fn generate(ip: IpAddr) -> Result<Self, TlsError> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority
            .distinguished_name
            .push(DnType::CommonName, "simkube CA");
        let authority_key = KeyPair::generate()?;
        let ca_pem = authority.self_signed(&authority_key)?.pem();

        let mut leaf = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        if !leaf.subject_alt_names.contains(&SanType::IpAddress(ip)) {
            leaf.subject_alt_names.push(SanType::IpAddress(ip));
        }
        let leaf_key = KeyPair::generate()?;
        let leaf = leaf.signed_by(&leaf_key, &Issuer::new(authority, authority_key))?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into()),
            )?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            ca_pem,
        })
    }
}
