//! What was asked of the simulation: every request but those to `/simulator/`, never a body.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::faults::{Act, Moment};

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
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When it was answered, Unix time in milliseconds on the simulation's clock.
    pub unix_millis: u64,
    /// Where it came in.
    pub listener: Listener,
    /// Method, upper case.
    pub method: String,
    /// Path and query as they came.
    pub path: String,
    /// Status of the answer; 0 when a fault closed the connection instead.
    pub status: u16,
    /// What the answering part knows besides.
    #[serde(flatten)]
    pub details: Details,
}

/// What only the answering part knows of a request.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
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
    /// Resource Manager: the correlation id answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The fault that struck it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<(Moment, Act)>,
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
    State((journal, listener, clock)): State<(Journal, Listener, Clock)>,
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
        let details: Details = response.extensions_mut().remove().unwrap_or_default();
        let dropped = matches!(details.fault, Some((_, Act::Drop)));
        journal.push(Entry {
            unix_millis: u64::try_from(clock.unix().as_millis()).unwrap_or_default(),
            listener,
            method,
            path,
            status: if dropped {
                0
            } else {
                response.status().as_u16()
            },
            details,
        });
    }
    response
}
