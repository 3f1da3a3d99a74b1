//! Long-running operations: how they stand, told in both ways that clients poll.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{StatusCode, header};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::error::Refusal;
use super::reply::Reply;
use crate::SUBSCRIPTION;

/// Longest that a client is told to wait between two polls, seconds.
const LONGEST_WAIT: u64 = 10;

/// The operations ever started, by id: when each ends.
#[derive(Debug, Default)]
pub(super) struct Operations(BTreeMap<Uuid, Timestamp>);

impl Operations {
    pub(super) fn start(&mut self, until: Timestamp) -> Uuid {
        let id = Uuid::new_v4();
        self.0.insert(id, until);
        id
    }

    /// The answer to a poll of `Azure-AsyncOperation`: always 200.
    pub(super) fn status(&self, id: Uuid, now: Timestamp) -> Result<Reply, Refusal> {
        let until = self.until(id)?;
        let body = json!({
            "id": status_path(id),
            "name": id.to_string(),
            "status": if now < until { "InProgress" } else { "Succeeded" },
        });
        let reply = Reply::ok(body);
        Ok(if now < until {
            reply.with(header::RETRY_AFTER, wait(until, now).to_string())
        } else {
            reply
        })
    }

    /// The answer to a poll of `Location`: 202 while it runs.
    pub(super) fn result(&self, id: Uuid, now: Timestamp, origin: &str) -> Result<Reply, Refusal> {
        let until = self.until(id)?;
        if now >= until {
            return Ok(Reply::status(StatusCode::OK));
        }
        let reply = Reply::status(StatusCode::ACCEPTED);
        Ok(reply.poll(header::LOCATION, &result_url(origin, id), wait(until, now)))
    }

    fn until(&self, id: Uuid) -> Result<Timestamp, Refusal> {
        self.0
            .get(&id)
            .copied()
            .ok_or_else(|| Refusal::OperationNotFound(id.to_string()))
    }
}

/// Seconds to the next poll: no more than are left, and one at least, as none would mean a client's own default.
pub(super) fn wait(until: Timestamp, now: Timestamp) -> u64 {
    let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    (left + Duration::from_nanos(999_999_999))
        .as_secs()
        .clamp(1, LONGEST_WAIT)
}

/// Address of an operation's document.
pub(super) fn status_url(origin: &str, id: Uuid) -> String {
    format!("{origin}{}?api-version=2017-08-31", status_path(id))
}

/// Address of an operation's result.
pub(super) fn result_url(origin: &str, id: Uuid) -> String {
    format!("{origin}/subscriptions/{SUBSCRIPTION}/operationresults/{id}?api-version=2021-04-01")
}

fn status_path(id: Uuid) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ContainerService/locations/westus2/operations/{id}"
    )
}
