//! The least any server on this stack costs: the product's listeners, TLS and router, answering a constant.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::routing::{get, post};
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::RustlsConfig;
use bytes::Bytes;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use identity_injector::names;

/// Serves for ever: `webhook ADDRESS BODY CERTIFICATES` or `proxy ADDRESS BODY`, BODY being a file.
///
/// # Errors
/// When an argument can't be used.
pub fn serve(arguments: &[String]) -> anyhow::Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ([_, address, body] | [_, address, body, _]) = arguments[..] else {
        bail!("floor: {arguments:?}");
    };
    let address: SocketAddr = address.parse()?;
    let body = Bytes::from(std::fs::read(body)?);
    // The runtimes are the product's own.
    match arguments[..] {
        ["webhook", .., certificates] => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let serving = webhook(address, body, Path::new(certificates));
            runtime.enable_all().build()?.block_on(serving)
        }
        ["proxy", ..] => {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build()?.block_on(proxy(address, body))
        }
        _ => bail!("floor: {arguments:?}"),
    }
}

async fn webhook(address: SocketAddr, body: Bytes, certificates: &Path) -> anyhow::Result<()> {
    // The request is read whole, as it must be.
    let answer = async move |_: Bytes| ([(header::CONTENT_TYPE, "application/json")], body.clone());
    let router = Router::new()
        .route(names::MUTATE_PATH, post(answer))
        .layer(DefaultBodyLimit::max(7 * 1024 * 1024));
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(tls(certificates)?))?
        .map(|tls| tls.acceptor(NoDelayAcceptor::new()))
        .serve(router.into_make_service())
        .await
        .context("floor")
}

async fn proxy(address: SocketAddr, body: Bytes) -> anyhow::Result<()> {
    let answer = async move || ([(header::CONTENT_TYPE, "application/json")], body.clone());
    let router = Router::new().route(names::TOKEN_REQUEST_PATH, get(answer));
    axum_server::bind(address)
        .http1_only()
        .serve(router.into_make_service())
        .await
        .context("floor")
}

fn tls(certificates: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let chain =
        CertificateDer::pem_file_iter(certificates.join("tls.crt"))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(certificates.join("tls.key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
