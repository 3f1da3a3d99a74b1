//! What was asked of the simulation: every request but those to `/simulator/`, never a body.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a request came in.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Listener {
    /// The HTTPS listener: Resource Manager and Entra.
    Azure,
    /// The node's IMDS. An entry here from a pod that should be served by its proxy is a leak.
    Imds,
}

/// One request and how it was answered.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When it was answered, Unix time in milliseconds.
    pub unix_millis: i64,
    /// Where it came in.
    pub listener: Listener,
    /// Method, upper case.
    pub method: String,
    /// Path and query as they came.
    pub path: String,
    /// Status of the answer.
    pub status: u16,
    /// What the answering part knows besides.
    #[serde(flatten)]
    pub details: Details,
}

/// What only the answering part knows of a request.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    /// Token endpoint: the client id that was claimed. Resource Manager: the one of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Token endpoint: `client_secret` or `client_assertion`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// Token endpoint: the scope asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Code of the error answered: `AADSTS700211`, `ResourceNotFound`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The entries, in the order of their answers. Grows until cleared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<Entry>>>);

impl Journal {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn push(&self, entry: Entry) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(entry);
    }
}

/// Middleware that records a request once it is answered, before the client can read the answer.
pub(crate) async fn record(
    State((journal, listener)): State<(Journal, Listener)>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().to_string();
    let path = request
        .uri()
        .path_and_query()
        .map_or_else(String::new, ToString::to_string);
    let mut response = next.run(request).await;
    if !(listener == Listener::Azure && path.starts_with("/simulator/")) {
        journal.push(Entry {
            unix_millis: Timestamp::now().as_millisecond(),
            listener,
            method,
            path,
            status: response.status().as_u16(),
            details: response.extensions_mut().remove().unwrap_or_default(),
        });
    }
    response
}
