//! The signing keys of federated issuers, read over OpenID Connect discovery and kept for a short while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::jwt::Jwks;
use crate::tls;

/// How long an issuer's keys are used before they are read again.
const KEPT: Duration = Duration::from_secs(10);

/// Why an issuer's keys can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    #[error("GET {url} failed: {cause}")]
    Get { url: String, cause: String },
    #[error("GET {url} answered status {status}")]
    Status { url: String, status: u16 },
    #[error("the discovery document of '{expected}' names the issuer '{found}'")]
    OtherIssuer { expected: String, found: String },
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// The issuers known so far.
pub(crate) struct Issuers(Mutex<Known>);

struct Known {
    authorities: Vec<CertificateDer<'static>>,
    client: reqwest::Client,
    keys: HashMap<String, (Timestamp, Jwks)>,
}

impl Issuers {
    /// Trusts these certificate authorities, given as PEM.
    pub(crate) fn new<'p>(pems: impl IntoIterator<Item = &'p str>) -> Result<Self, tls::Error> {
        let mut authorities = Vec::new();
        for pem in pems {
            authorities.extend(tls::certificates(pem)?);
        }
        let client = tls::client(&authorities)?;
        Ok(Self(Mutex::new(Known {
            authorities,
            client,
            keys: HashMap::new(),
        })))
    }

    /// Trusts one more certificate authority.
    pub(crate) fn trust(&self, pem: &str) -> Result<(), tls::Error> {
        let added = tls::certificates(pem)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.authorities.extend(added);
        known.client = tls::client(&known.authorities)?;
        Ok(())
    }

    /// The keys of an issuer. Kept ones are read again when they are old or lack the key id, so a rotated key is seen.
    pub(crate) async fn keys(
        &self,
        issuer: &str,
        kid: &str,
        now: Timestamp,
    ) -> Result<Jwks, Unreachable> {
        let client = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((read, keys)) = known.keys.get(issuer)
                && now < *read + KEPT
                && keys.has(kid)
            {
                return Ok(keys.clone());
            }
            known.client.clone()
        };
        let url = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let discovery: Discovery = get(&client, url).await?;
        if discovery.issuer != issuer {
            return Err(Unreachable::OtherIssuer {
                expected: issuer.to_owned(),
                found: discovery.issuer,
            });
        }
        let keys: Jwks = get(&client, discovery.jwks_uri).await?;
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keys
            .insert(issuer.to_owned(), (now, keys.clone()));
        Ok(keys)
    }
}

async fn get<T: DeserializeOwned>(client: &reqwest::Client, url: String) -> Result<T, Unreachable> {
    let failed = |error| Unreachable::Get {
        url: url.clone(),
        cause: root(&error),
    };
    let response = client.get(&url).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(Unreachable::Status {
            status: response.status().as_u16(),
            url,
        });
    }
    response.json().await.map_err(failed)
}

/// The innermost cause, such as the certificate's fault; the outer ones only say that sending failed.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
