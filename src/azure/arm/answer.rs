//! What ARM answers: a resource, a page of them, or an error body.

use serde::Deserialize;

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The body.
    pub value: T,
    /// The id by which Azure's support finds the call.
    pub correlation_id: String,
}

/// What is left of a resource that was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The items.
    pub value: Vec<T>,
    /// Absolute URL of the next page, if there is one.
    pub next_link: Option<String>,
}

/// The code and message of an error body.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorDetail {
    pub(super) code: String,
    pub(super) message: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

impl ErrorDetail {
    /// Reads an error body; what is no ARM error (a gateway's page, say) has neither code nor message.
    pub(super) fn read(body: &[u8]) -> Self {
        serde_json::from_slice::<ErrorBody>(body)
            .map(|body| body.error)
            .unwrap_or_default()
    }
}
