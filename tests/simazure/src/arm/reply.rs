//! Resource Manager's answers that are no refusals.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// An answer that is no refusal.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Option<Value>,
}

impl Reply {
    pub(super) fn ok(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body: Some(body),
        }
    }

    pub(super) fn put(created: bool, body: Value) -> Self {
        Self {
            status: if created {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            },
            body: Some(body),
        }
    }

    pub(super) fn deleted(existed: bool) -> Self {
        Self {
            status: if existed {
                StatusCode::OK
            } else {
                StatusCode::NO_CONTENT
            },
            body: None,
        }
    }

    pub(super) fn list(items: impl Iterator<Item = Value>) -> Self {
        Self::ok(json!({"value": items.collect::<Vec<_>>()}))
    }
}
