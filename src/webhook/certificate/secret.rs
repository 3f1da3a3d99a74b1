//! What the Secret keeps: `ca.crt` (authorities, newest first), `ca.key`, `tls.crt`, `tls.key`.
//!
//! The keys are those of cert-controller, so that the reference's Secret can be taken over as it is.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rustls::pki_types::CertificateDer;

use super::authority::Authority;
use super::pair::Pair;
use super::trust;
use crate::names::ROTATE;

/// The Secret's contents, as far as they are usable; what is missing or torn is not there.
#[derive(Default)]
pub struct Kept {
    /// The Secret's version; none where there is no Secret.
    pub version: Option<String>,
    /// All that API servers are to believe.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The one of them that signs.
    pub signer: Option<Authority>,
    /// What is served.
    pub leaf: Option<Pair>,
    /// What somebody wants new.
    pub forced: Option<Forced>,
}

/// What the annotation [`ROTATE`] may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// A new leaf.
    Leaf,
    /// A new authority, and a leaf of it.
    Authority,
}

impl Kept {
    /// Reads a Secret.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        let text = |key: &str| String::from_utf8_lossy(bytes(secret, key)).into_owned();
        let authorities = trust::certificates(bytes(secret, "ca.crt"));
        let key = text("ca.key");
        let signer = |certificate| Authority::of(certificate, &key);
        let wanted = secret.metadata.annotations.as_ref();
        let wanted = wanted.and_then(|annotations| annotations.get(ROTATE));
        Kept {
            version: secret.metadata.resource_version.clone(),
            signer: authorities.iter().find_map(signer),
            authorities,
            leaf: pair(secret).filter(|pair| pair.certified().is_ok()),
            forced: match wanted.map(String::as_str) {
                Some("leaf") => Some(Forced::Leaf),
                Some("authority") => Some(Forced::Authority),
                _ => None,
            },
        }
    }
}

/// What is wrong with what somebody wants new.
#[must_use]
pub fn nonsense(secret: &Secret) -> Option<String> {
    let value = secret.metadata.annotations.as_ref()?.get(ROTATE)?;
    let known = ["leaf", "authority"].contains(&value.as_str());
    (!known).then(|| format!("{ROTATE}: {value:?} is not known; use leaf or authority"))
}

/// The pair that a Secret offers, usable or not; none where it holds none.
#[must_use]
pub fn pair(secret: &Secret) -> Option<Pair> {
    let [certificate, key] = ["tls.crt", "tls.key"].map(|key| bytes(secret, key).to_vec());
    if certificate.is_empty() && key.is_empty() {
        return None;
    }
    let (namespace, name) = (&secret.metadata.namespace, &secret.metadata.name);
    let [namespace, name] = [namespace, name].map(|part| part.as_deref().unwrap_or_default());
    Some(Pair::new(
        format!("Secret {namespace}/{name}"),
        certificate,
        key,
    ))
}

/// The Secret's data.
#[must_use]
pub fn data(
    authorities: &[CertificateDer<'_>],
    authority_key: &str,
    (certificate, key): (&[u8], &[u8]),
) -> BTreeMap<&'static str, ByteString> {
    BTreeMap::from([
        ("ca.crt", ByteString(pem(authorities).into_bytes())),
        ("ca.key", ByteString(authority_key.as_bytes().to_vec())),
        ("tls.crt", ByteString(certificate.to_vec())),
        ("tls.key", ByteString(key.to_vec())),
    ])
}

/// Certificates as PEM, one after the other.
#[must_use]
pub fn pem(certificates: &[CertificateDer<'_>]) -> String {
    let blocks = certificates
        .iter()
        .map(|der| pem::Pem::new("CERTIFICATE", der.to_vec()));
    let style = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_many_config(&blocks.collect::<Vec<_>>(), style)
}

fn bytes<'a>(secret: &'a Secret, key: &str) -> &'a [u8] {
    let data = secret.data.as_ref().and_then(|data| data.get(key));
    data.map(|bytes| bytes.0.as_slice()).unwrap_or_default()
}
