//! Resource Manager's answers that are no refusals.

use std::time::Duration;

use axum::http::{HeaderName, StatusCode, header};
use serde_json::{Value, json};

use super::call::Call;
use super::error::Refusal;

/// An answer that is no refusal.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Option<Value>,
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// How long after the effect it is sent.
    pub(crate) after: Duration,
}

impl Reply {
    pub(super) fn status(status: StatusCode) -> Self {
        Self {
            status,
            body: None,
            headers: Vec::new(),
            after: Duration::ZERO,
        }
    }

    pub(super) fn ok(body: Value) -> Self {
        Self {
            body: Some(body),
            ..Self::status(StatusCode::OK)
        }
    }

    pub(super) fn put(created: bool, body: Value) -> Self {
        Self {
            body: Some(body),
            ..Self::status(if created {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            })
        }
    }

    pub(super) fn deleted(existed: bool) -> Self {
        Self::status(if existed {
            StatusCode::OK
        } else {
            StatusCode::NO_CONTENT
        })
    }

    pub(super) fn with(mut self, header: HeaderName, value: String) -> Self {
        self.headers.push((header, value));
        self
    }

    /// One page of a list: as many items as `$top` and the simulation allow, from `$skiptoken` on.
    pub(super) fn page(
        items: impl Iterator<Item = Value>,
        call: &Call,
        origin: &str,
        most: usize,
    ) -> Result<Self, Refusal> {
        let number = |name: &'static str, least: usize| match call.query.get(name) {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) if number >= least => Ok(Some(number)),
                _ => Err(Refusal::InvalidQuery(name, text.to_owned())),
            },
        };
        let size = number("$top", 1)?.map_or(most, |top: usize| top.min(most));
        let start = number("$skiptoken", 0)?.unwrap_or_default();
        let mut rest = items.skip(start);
        let page: Vec<Value> = rest.by_ref().take(size).collect();
        let mut body = json!({"value": page});
        if rest.next().is_some() {
            let query = call.query.with("$skiptoken", &(start + size).to_string());
            body["nextLink"] = json!(format!("{origin}{}?{query}", call.path));
        }
        Ok(Self::ok(body))
    }

    /// The start of a long-running operation, and where to ask how it stands.
    pub(super) fn poll(self, header: HeaderName, url: &str, after: u64) -> Self {
        self.with(header, url.to_owned())
            .with(header::RETRY_AFTER, after.to_string())
    }
}
