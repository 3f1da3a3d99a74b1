//! What the replicas behind the Service serve: a handshake with each tells.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Of the Service's ports, the one that reviews come to.
const PORT: &str = "https";
/// How long one replica is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// The addresses behind a Service: those of pods that are going too, as they still answer.
///
/// # Errors
/// When the API server does not say.
pub async fn addresses(
    slices: &Api<EndpointSlice>,
    service: &str,
) -> kube::Result<Vec<(IpAddr, u16)>> {
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    Ok(slices
        .list(&of_service)
        .await?
        .iter()
        .flat_map(of)
        .collect())
}

fn of(slice: &EndpointSlice) -> Vec<(IpAddr, u16)> {
    let mut ports = slice.ports.iter().flatten();
    let port = ports
        .find(|port| port.name.as_deref() == Some(PORT))
        .and_then(|it| it.port);
    let port = port.and_then(|port| u16::try_from(port).ok());
    let addresses = slice
        .endpoints
        .iter()
        .flatten()
        .flat_map(|it| &it.addresses);
    let parsed = addresses.filter_map(|address| address.parse().ok());
    parsed.zip(port.into_iter().cycle()).collect()
}

/// Whether the replica at `address` serves `host` by a leaf of these authorities. One that does not answer does not.
pub async fn serves(
    (address, port): (IpAddr, u16),
    host: &str,
    authorities: &[CertificateDer<'static>],
) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13]);
    let (Ok(versions), Ok(host)) = (versions, ServerName::try_from(host.to_owned())) else {
        return false;
    };
    let config = versions.with_root_certificates(roots).with_no_client_auth();
    let handshake = async {
        let stream = TcpStream::connect((address, port)).await?;
        TlsConnector::from(Arc::new(config))
            .connect(host, stream)
            .await
    };
    matches!(tokio::time::timeout(PATIENCE, handshake).await, Ok(Ok(_)))
}
