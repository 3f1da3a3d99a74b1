//! Whether API servers believe a pair: the MutatingWebhookConfiguration's caBundles, against a chain, at a time.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, WebhookClientConfig,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::pair::{Pair, Validity};

/// The webhooks of a configuration: how each is called, and what it believes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// In the object's order.
    pub entries: Vec<Entry>,
    /// The object's version, for a patch that must not meet another.
    pub version: String,
}

/// One webhook of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The host that its certificate must be for.
    pub host: String,
    /// `caBundle`, as PEM.
    pub bundle: Vec<u8>,
}

impl Configuration {
    /// What the object says.
    #[must_use]
    pub fn of(object: &MutatingWebhookConfiguration) -> Self {
        Configuration {
            entries: object.webhooks.iter().flatten().map(entry).collect(),
            version: object.metadata.resource_version.clone().unwrap_or_default(),
        }
    }

    /// The names that a leaf must be for, each once.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        let mut hosts: Vec<String> = self
            .entries
            .iter()
            .map(|entry| entry.host.clone())
            .collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// The caBundles, in the webhooks' order.
    #[must_use]
    pub fn bundles(&self) -> Vec<Vec<u8>> {
        self.entries
            .iter()
            .map(|entry| entry.bundle.clone())
            .collect()
    }

    /// Every certificate that some webhook of it believes, each once, those that are expired left out.
    #[must_use]
    pub fn authorities(&self, now: i64) -> Vec<CertificateDer<'static>> {
        let bundles = self.entries.iter().map(|entry| certificates(&entry.bundle));
        let mut all = Vec::new();
        add(&mut all, bundles.flatten().filter(|root| holds(root, now)));
        all
    }

    /// Whether every webhook of it believes the pair at `now`, in seconds since 1970.
    #[must_use]
    pub fn accepts(&self, pair: &Pair, now: i64) -> bool {
        let Ok(chain) = pair.chain() else {
            return false;
        };
        self.entries
            .iter()
            .all(|entry| verifies(&chain, &certificates(&entry.bundle), &entry.host, now))
    }
}

/// Whether `chain`, leaf first, is for `host` and leads to one of `roots` at `now`, in seconds since 1970.
#[must_use]
pub fn verifies(
    chain: &[CertificateDer<'_>],
    roots: &[CertificateDer<'_>],
    host: &str,
    now: i64,
) -> bool {
    let mut store = RootCertStore::empty();
    // webpki takes an expired root; Go, in which API servers are written, does not.
    let roots = roots.iter().filter(|root| holds(root, now)).cloned();
    store.add_parsable_certificates(roots.map(CertificateDer::into_owned));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let Ok(verifier) =
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build()
    else {
        return false;
    };
    let (Some((leaf, rest)), Ok(host), Ok(seconds)) = (
        chain.split_first(),
        ServerName::try_from(host),
        u64::try_from(now),
    ) else {
        return false;
    };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    verifier
        .verify_server_cert(leaf, rest, &host, &[], now)
        .is_ok()
}

/// Adds those that are not there yet.
pub fn add(
    authorities: &mut Vec<CertificateDer<'static>>,
    more: impl IntoIterator<Item = CertificateDer<'static>>,
) {
    for certificate in more {
        if !authorities.contains(&certificate) {
            authorities.push(certificate);
        }
    }
}

/// The certificates of PEM bytes; what is none is left out.
#[must_use]
pub fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .collect()
}

/// Whether a certificate can be read and is valid at `now`.
#[must_use]
pub fn holds(certificate: &CertificateDer<'_>, now: i64) -> bool {
    x509_parser::parse_x509_certificate(certificate)
        .is_ok_and(|(_, certificate)| Validity::of(&certificate).holds(now))
}

fn entry(webhook: &MutatingWebhook) -> Entry {
    let bundle = webhook.client_config.ca_bundle.clone().unwrap_or_default();
    Entry {
        name: webhook.name.clone(),
        host: host(&webhook.client_config),
        bundle: bundle.0,
    }
}

/// Whom API servers expect behind a webhook's address.
fn host(client: &WebhookClientConfig) -> String {
    if let Some(service) = &client.service {
        return host_of_service(&service.name, &service.namespace);
    }
    let url = client
        .url
        .as_deref()
        .and_then(|url| url::Url::parse(url).ok());
    let host = url.as_ref().and_then(|url| url.host_str());
    host.unwrap_or_default().trim_matches(['[', ']']).to_owned()
}

/// Whom API servers expect behind a Service.
#[must_use]
pub fn host_of_service(name: &str, namespace: &str) -> String {
    format!("{name}.{namespace}.svc")
}
