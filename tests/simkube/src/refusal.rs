//! Everything the server says no with, and its `metav1.Status` form.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use thiserror::Error;

/// A request that was not served. The messages are the real server's where a client could tell.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No valid bearer token.
    #[error("Unauthorized")]
    Unauthorized,
    /// No such object.
    #[error("{resource} \"{name}\" not found")]
    NotFound {
        /// Plural of the kind, such as `serviceaccounts`.
        resource: &'static str,
        /// The name asked for.
        name: String,
    },
    /// A path that this server does not have.
    #[error("the server could not find the requested resource")]
    NoSuchPath,
    /// A verb that this server does not have on this path.
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    /// A patch of another kind than server-side apply.
    #[error(
        "the body of the request was in an unknown format - accepted media types include: {accepted}"
    )]
    UnsupportedMediaType {
        /// The one type that is accepted.
        accepted: &'static str,
    },
    /// A create of what exists.
    #[error("{resource} \"{name}\" already exists")]
    AlreadyExists {
        /// Plural of the kind.
        resource: &'static str,
        /// The name that is taken.
        name: String,
    },
    /// A precondition that does not hold.
    #[error("Operation cannot be fulfilled on {resource} \"{name}\": {why}")]
    Precondition {
        /// Plural of the kind.
        resource: &'static str,
        /// The object's name.
        name: String,
        /// Which precondition, with both values.
        why: String,
    },
    /// A write on a version that is no longer the last one.
    #[error(
        "Operation cannot be fulfilled on {resource} \"{name}\": the object has been modified; please apply your changes \
         to the latest version and try again"
    )]
    Modified {
        /// Plural of the kind.
        resource: &'static str,
        /// The object's name.
        name: String,
    },
    /// Keys that other managers own with other values.
    #[error("{}", conflict_message(.0))]
    ApplyConflict(Vec<Conflict>),
    /// A request that can't be read, or asks for what this server does not simulate.
    #[error("{0}")]
    BadRequest(String),
    /// A request that reads well and breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// A watch from a version that is no longer in the history.
    #[error("too old resource version: {asked} ({oldest})")]
    Expired {
        /// The version asked for.
        asked: u64,
        /// The oldest version a watch can start from.
        oldest: u64,
    },
    /// The server is paused.
    #[error("the server is currently unable to handle the request")]
    Unavailable,
    /// The token could not be signed.
    #[error("Internal error occurred: the token can't be signed")]
    Signing,
}

/// One key that server-side apply would take from its owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The owner, in the real server's words: `"kubectl" using v1 at 2026-01-01T00:00:00Z`.
    pub owner: String,
    /// The key's path, such as `.metadata.annotations.example.com/key`.
    pub path: String,
}

impl Refusal {
    /// HTTP status and the `reason` of the Status.
    pub(crate) fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::NotFound { .. } | Self::NoSuchPath => (StatusCode::NOT_FOUND, "NotFound"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Self::UnsupportedMediaType { .. } => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType")
            }
            Self::AlreadyExists { .. } => (StatusCode::CONFLICT, "AlreadyExists"),
            Self::Precondition { .. } | Self::Modified { .. } | Self::ApplyConflict(_) => {
                (StatusCode::CONFLICT, "Conflict")
            }
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "BadRequest"),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "Invalid"),
            Self::Expired { .. } => (StatusCode::GONE, "Expired"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            Self::Signing => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        }
    }

    /// The `metav1.Status`, as in the body of an answer or in an ERROR event of a watch.
    pub(crate) fn status(&self) -> Value {
        let (code, reason) = self.code();
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.to_string(), "reason": reason, "code": code.as_u16(),
        });
        if let Some(details) = self.details() {
            status["details"] = details;
        }
        status
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::NotFound { resource, name }
            | Self::AlreadyExists { resource, name }
            | Self::Modified { resource, name }
            | Self::Precondition { resource, name, .. } => {
                Some(json!({"name": name, "kind": resource}))
            }
            Self::ApplyConflict(conflicts) => {
                let cause = |it: &Conflict| {
                    json!({
                        "reason": "FieldManagerConflict", "field": it.path,
                        "message": format!("conflict with {}", it.owner),
                    })
                };
                Some(json!({"causes": conflicts.iter().map(cause).collect::<Vec<_>>()}))
            }
            _ => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.code().0, Json(self.status())).into_response()
    }
}

/// Conflicts come sorted by owner; with more than one, each owner heads the list of its keys.
fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [only] = conflicts {
        return format!(
            "Apply failed with 1 conflict: conflict with {}: {}",
            only.owner, only.path
        );
    }
    let mut lines = Vec::new();
    let mut owner = None;
    for conflict in conflicts {
        if owner != Some(&conflict.owner) {
            owner = Some(&conflict.owner);
            lines.push(format!("conflicts with {}:", conflict.owner));
        }
        lines.push(format!("- {}", conflict.path));
    }
    format!(
        "Apply failed with {} conflicts: {}",
        conflicts.len(),
        lines.join("\n")
    )
}
