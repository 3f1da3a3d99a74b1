//! The plain port's routes: liveness, readiness, metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;

use super::ready::Readiness;
use crate::exposition;

/// Liveness, readiness and metrics.
pub fn routes(readiness: Readiness, registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz).with_state(readiness))
        .merge(exposition::routes(registry))
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
