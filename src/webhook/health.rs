//! The plain port's routes: liveness, readiness, metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::metrics::Metrics;
use super::ready::Readiness;

/// Liveness, readiness and metrics.
pub fn routes(readiness: Readiness, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(scrape).with_state(metrics))
}

async fn readyz(State(readiness): State<Readiness>, RawQuery(query): RawQuery) -> Response {
    let parts = readiness.parts();
    let pending = |(part, ready): &(&'static str, bool)| (!ready).then_some(*part);
    let pending: Vec<_> = parts.iter().filter_map(pending).collect();
    let status = match pending.as_slice() {
        [] => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let verbose = query.is_some_and(|query| {
        query
            .split('&')
            .any(|pair| pair.split('=').next() == Some("verbose"))
    });
    let text = if verbose {
        let line = |(part, ready): &(&str, bool)| match ready {
            true => format!("[+]{part} ok\n"),
            false => format!("[-]{part} pending\n"),
        };
        parts.iter().map(line).collect()
    } else if pending.is_empty() {
        "ok".to_owned()
    } else {
        format!("not ready, pending: {}", pending.join(", "))
    };
    (status, text).into_response()
}

async fn scrape(State(metrics): State<Arc<Metrics>>, headers: HeaderMap) -> Response {
    let accept = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect::<Vec<_>>()
        .join(",");
    match metrics.text(&accept) {
        Ok((content_type, text)) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
