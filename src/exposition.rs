//! Metrics in the two text formats that Prometheus reads, under one path.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

const OPENMETRICS: &str = "application/openmetrics-text";
const OPENMETRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Labels whose names and values are known when this is compiled.
pub type Labels<const N: usize> = [(&'static str, &'static str); N];

/// `/metrics`.
pub fn routes(registry: Arc<Registry>) -> Router {
    Router::new().route("/metrics", get(scrape).with_state(registry))
}

/// A registry that tells the running version.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    let build: Info<Labels<2>> = Info::new([
        ("version", env!("CARGO_PKG_VERSION")),
        ("commit", env!("GIT_COMMIT")),
    ]);
    // An information's name gets the ending _info, a counter's _total.
    registry.register("azwi_build", "The running version", build);
    registry
}

async fn scrape(State(registry): State<Arc<Registry>>, headers: HeaderMap) -> Response {
    let accept = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect::<Vec<_>>()
        .join(",");
    match encoded(&registry, &accept) {
        Ok((content_type, text)) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Content type and text for a client that sends this `Accept`: OpenMetrics where it takes that, else the text
/// format 0.0.4, which everything takes. Fails never, since a String can always be written to.
fn encoded(registry: &Registry, accept: &str) -> Result<(&'static str, String), fmt::Error> {
    let mut out = String::new();
    if accept.contains(OPENMETRICS) {
        text::encode(&mut out, registry)?;
        Ok((OPENMETRICS_CONTENT_TYPE, out))
    } else {
        prometheus_text::encode(&mut out, registry)?;
        Ok((prometheus_text::CONTENT_TYPE, out))
    }
}
