//! How far this node's clock is from Entra's, by the time on Entra's answers.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use azure_core::time::parse_rfc7231;
use http::HeaderMap;
use http::header::DATE;
use tracing::{info, warn};

/// A difference that explains nothing, in seconds: answers take a while, and Entra allows for five minutes.
const TOLERATED: u64 = 60;

/// A clock that is not Entra's time. Seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// This node's clock shows a later time.
    Ahead(u64),
    /// This node's clock shows an earlier time.
    Behind(u64),
}

/// What was last seen of it.
#[derive(Debug, Default)]
pub struct Clock {
    wrong: AtomicBool,
}

impl Skew {
    /// By the `Date` of an answer that came at `now`, in Unix seconds; None where it names none, or about the same time.
    #[must_use]
    pub fn of(headers: &HeaderMap, now: u64) -> Option<Self> {
        let date = parse_rfc7231(headers.get(DATE)?.to_str().ok()?).ok()?;
        let date = u64::try_from(date.unix_timestamp()).ok()?;
        let skew = match now.checked_sub(date) {
            Some(seconds) => Skew::Ahead(seconds),
            None => Skew::Behind(date - now),
        };
        let (Skew::Ahead(seconds) | Skew::Behind(seconds)) = skew;
        (seconds > TOLERATED).then_some(skew)
    }
}

impl Clock {
    /// Logs that it went wrong, and that it is right again.
    pub fn tell(&self, skew: Option<Skew>) {
        match (self.wrong.swap(skew.is_some(), Ordering::Relaxed), skew) {
            (false, Some(skew)) => {
                warn!("{skew} Tokens may be refused for it; check how the node's time is kept");
            }
            (true, None) => info!("this node's clock is right again"),
            _ => {}
        }
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, side) = match self {
            Skew::Ahead(seconds) => (seconds, "ahead of"),
            Skew::Behind(seconds) => (seconds, "behind"),
        };
        write!(f, "This node's clock is {seconds} s {side} Entra's.")
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::Skew;

    #[test]
    fn skews() {
        // Date -> what is said at 10:00:00 of that day
        let table = [
            (
                Some("Tue, 24 Nov 2026 09:53:20 GMT"),
                Some("This node's clock is 400 s ahead of Entra's."),
            ),
            (
                Some("Tue, 24 Nov 2026 10:05:00 GMT"),
                Some("This node's clock is 300 s behind Entra's."),
            ),
            (Some("Tue, 24 Nov 2026 09:59:00 GMT"), None),
            (Some("Tue, 24 Nov 2026 10:01:00 GMT"), None),
            (Some("yesterday"), None),
            (None, None),
        ];
        let now = 1_795_514_400;
        for (date, expected) in table {
            let headers: HeaderMap = date
                .map(|date| (http::header::DATE, date.parse().unwrap()))
                .into_iter()
                .collect();
            let said = Skew::of(&headers, now).map(|skew| skew.to_string());
            assert_eq!(said.as_deref(), expected, "{date:?}");
        }
    }
}
