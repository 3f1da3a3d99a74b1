//! Faults on demand: which call, whether before or after its effect, and what the caller then sees.

mod waiting;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::glob;
pub(crate) use waiting::Faults;

/// Which part of the simulation a call is for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Room {
    /// Resource Manager: every path that is no other's.
    Arm,
    /// Entra: discovery, keys, tokens, the directory.
    Entra,
    /// The node's IMDS.
    Imds,
}

/// A fault waiting for its calls. As JSON: `{"room": "arm", "method": "PUT", "path": "*/roleAssignments/*", "skip": 2,
/// "times": 1, "moment": "after", "act": "drop"}`; everything but `act` can be left out.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The part it concerns; none is every part.
    #[serde(default)]
    pub room: Option<Room>,
    /// The method it concerns; none is every method.
    #[serde(default)]
    pub method: Option<String>,
    /// The paths it concerns, without query and regard to case, `*` for any text; none is every path.
    #[serde(default)]
    pub path: Option<String>,
    /// How many such calls pass before it strikes: 6 strikes the 7th from now.
    #[serde(default)]
    pub skip: u64,
    /// How often it strikes: once when neither this nor `seconds` is given.
    #[serde(default)]
    pub times: Option<u64>,
    /// How long it strikes, on the simulation's clock, from its first strike on: an outage.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// Before the call's effect, or after it.
    #[serde(default)]
    pub moment: Moment,
    /// What it does.
    pub act: Act,
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// The call has no effect.
    #[default]
    Before,
    /// The call has its effect; the caller does not learn of it.
    After,
}

/// What a fault does.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Act {
    /// Closes the connection without an answer.
    Drop,
    /// Answers this instead.
    Answer(Answer),
    /// Waits so many seconds on the simulation's clock, then goes on as if nothing was.
    Delay(f64),
}

/// An answer as it is sent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers besides the content type.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body: sent as JSON, a string as text, none as none.
    #[serde(default)]
    pub body: Value,
}

/// Why a fault was not taken.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Unfit {
    /// A duration that is none.
    #[error("{0} must be from 0 to 1000000000 seconds, not {1}")]
    Seconds(&'static str, f64),
    /// A status that is none.
    #[error("status must be from 200 to 599, not {0}")]
    Status(u16),
    /// A header that is none.
    #[error("the header '{0}' can't be sent")]
    Header(String),
}

impl Fault {
    /// Strikes the next call of any kind, once, before its effect.
    #[must_use]
    pub fn new(act: Act) -> Self {
        Self {
            room: None,
            method: None,
            path: None,
            skip: 0,
            times: None,
            seconds: None,
            moment: Moment::Before,
            act,
        }
    }

    /// Strikes the n-th call of Resource Manager from now, counted from 1.
    #[must_use]
    pub fn of_call(n: u64, moment: Moment, act: Act) -> Self {
        Self {
            room: Some(Room::Arm),
            skip: n.saturating_sub(1),
            moment,
            ..Self::new(act)
        }
    }

    /// Refuses what can't be done or sent.
    pub(crate) fn check(&self) -> Result<(), Unfit> {
        let seconds = |name, given: f64| match given {
            given if (0.0..=1e9).contains(&given) => Ok(()),
            given => Err(Unfit::Seconds(name, given)),
        };
        seconds("seconds", self.seconds.unwrap_or_default())?;
        match &self.act {
            Act::Drop => Ok(()),
            Act::Delay(delay) => seconds("delay", *delay),
            Act::Answer(answer) => answer.check(),
        }
    }

    fn concerns(&self, room: Room, method: &str, path: &str) -> bool {
        self.room.is_none_or(|only| only == room)
            && self
                .method
                .as_ref()
                .is_none_or(|only| only.eq_ignore_ascii_case(method))
            && self
                .path
                .as_ref()
                .is_none_or(|only| glob::matches(&only.to_lowercase(), &path.to_lowercase()))
    }
}

impl Answer {
    /// An error as Resource Manager writes it.
    #[must_use]
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self {
            status,
            headers: BTreeMap::new(),
            body: json!({"error": {"code": code, "message": message}}),
        }
    }

    fn check(&self) -> Result<(), Unfit> {
        if !(200..=599).contains(&self.status) {
            return Err(Unfit::Status(self.status));
        }
        let unfit = self.headers.iter().find(|(name, value)| {
            axum::http::HeaderName::try_from(name.as_str()).is_err()
                || axum::http::HeaderValue::try_from(value.as_str()).is_err()
        });
        match unfit {
            Some((name, _)) => Err(Unfit::Header(name.clone())),
            None => Ok(()),
        }
    }
}
