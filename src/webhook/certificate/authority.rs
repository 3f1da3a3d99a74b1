//! An authority of our own, and the leaves that it signs.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::CertificateDer;
use x509_parser::time::ASN1Time;

use super::pair::Validity;

const DAY: i64 = 24 * 60 * 60;
/// How long an authority is valid; the next one comes when a third is left.
const AUTHORITY: i64 = 365 * DAY;
/// How long a leaf is valid; the next one comes when a third is left. That is shorter than an authority's last third.
const LEAF: i64 = 30 * DAY;
/// How far the clocks of API servers may be behind ours.
const BEHIND: i64 = 60 * 60;

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library's words.
    #[error("certificate: {0}")]
    Made(#[from] rcgen::Error),
    /// The clock tells a time that no certificate can have.
    #[error("the clock says {0} seconds since 1970, which no certificate can be valid at")]
    Clock(i64),
}

/// A certificate that signs, with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// When it is valid.
    pub validity: Validity,
}

/// A leaf and its key, as PEM.
pub struct Leaf {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Authority {
    /// A new one, valid from an hour before `now`, in seconds since 1970, for a year.
    ///
    /// # Errors
    /// When the clock is off every scale.
    pub fn new(key: KeyPair, now: i64) -> Result<Self, Error> {
        let mut params = params(now, AUTHORITY)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = named("identity-injector authority");
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Authority {
            issuer: Issuer::new(params, key),
            certificate,
            validity: validity(now, AUTHORITY),
        })
    }

    /// The one that a certificate and a key, as PEM, make together; none where they don't.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'static>, key: &str) -> Option<Self> {
        let key = KeyPair::from_pem(key).ok()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let (validity, signs) = (Validity::of(&parsed), parsed.is_ca());
        if !signs || parsed.public_key().raw != key.subject_public_key_info() {
            return None;
        }
        Some(Authority {
            issuer: Issuer::from_ca_cert_der(certificate, key).ok()?,
            certificate: certificate.clone(),
            validity,
        })
    }

    /// Its key, as PEM.
    #[must_use]
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A leaf for `hosts`, DNS names or IP addresses, valid from an hour before `now` for 30 days.
    ///
    /// # Errors
    /// When a host is neither, or the clock is off every scale.
    pub fn leaf(&self, hosts: &[String], key: &KeyPair, now: i64) -> Result<Leaf, Error> {
        let mut params = params(now, LEAF)?;
        params.subject_alt_names = CertificateParams::new(hosts)?.subject_alt_names;
        params.distinguished_name = named("identity-injector");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(Leaf {
            certificate: params.signed_by(key, &self.issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn validity(now: i64, seconds: i64) -> Validity {
    Validity {
        from: now - BEHIND,
        until: now + seconds,
    }
}

fn params(now: i64, seconds: i64) -> Result<CertificateParams, Error> {
    let Validity { from, until } = validity(now, seconds);
    let at = |seconds| ASN1Time::from_timestamp(seconds).map_err(|_| Error::Clock(now));
    let mut params = CertificateParams::default();
    params.not_before = at(from)?.to_datetime();
    params.not_after = at(until)?.to_datetime();
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}
