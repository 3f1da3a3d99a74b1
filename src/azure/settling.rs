//! How long is asked again for what may settle by itself.

use std::time::Duration;

use tokio::time::Instant;

use crate::azure::aadsts::Class;

/// How long such an error is asked about again, inside one request.
///
/// A credential that is spreading and one that is wrong give the same codes. SDKs retry 404, 429 and 5xx for up to
/// 75 s but never a 400, and some (az, App Service sources) do not retry at all. So the window is long enough to bridge
/// the flapping that Entra shows on settled credentials, short enough that a wrong one fails in every SDK in under
/// two seconds, and its end is a plain 400 that names the cause, not a 503 that looks like an outage. A credential
/// that appears later is found by the next request, as permanent answers are kept for 5 s at most.
pub const SETTLING_WINDOW: Duration = Duration::from_millis(1200);

/// How long what may settle is asked for again.
#[derive(Clone, Copy, Debug)]
pub struct Settling {
    /// How long inside each request; `SETTLING_WINDOW` but for tests.
    pub window: Duration,
    /// Until when a newcomer waits for what is spreading: an application that asks once, at its start, and gives up on
    /// a 400 must outlast a federated credential that was made beside its pod.
    pub newcomers_until: Instant,
}

impl Settling {
    /// Until when an exchange that was `asked` for may be repeated after an error of this class; None when it is not
    /// worth it. A newcomer is a client that never had a token.
    #[must_use]
    pub fn until(&self, class: Class, asked: Instant, newcomer: bool) -> Option<Instant> {
        let window = asked + self.window;
        match class {
            Class::Spreading if newcomer => Some(window.max(self.newcomers_until)),
            Class::Spreading | Class::Settling => Some(window),
            _ => None,
        }
    }
}

/// The wait before the next attempt: 0.2 s doubled each time, times 0.5 to 1.5, never above 2 s.
#[must_use]
pub fn pause(attempt: u32, jitter: u8) -> Duration {
    let base = Duration::from_millis(200) * 2_u32.pow(attempt.min(4));
    (base / 2 + base * u32::from(jitter) / 255).min(Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{SETTLING_WINDOW, Settling, pause};
    use crate::azure::aadsts::Class;

    #[test]
    fn until() {
        let start = Instant::now();
        let settling = Settling {
            window: SETTLING_WINDOW,
            newcomers_until: start + Duration::from_secs(30),
        };
        let off = Settling {
            newcomers_until: start,
            ..settling
        };
        // name, rules, class, asked for (ms after the start), newcomer, until (ms after the start)
        let table = [
            (
                "at the start",
                settling,
                Class::Spreading,
                0,
                true,
                Some(30_000),
            ),
            (
                "later on",
                settling,
                Class::Spreading,
                20_000,
                true,
                Some(30_000),
            ),
            (
                "at the end",
                settling,
                Class::Spreading,
                29_500,
                true,
                Some(30_700),
            ),
            (
                "after it",
                settling,
                Class::Spreading,
                30_000,
                true,
                Some(31_200),
            ),
            (
                "long after it",
                settling,
                Class::Spreading,
                999_000,
                true,
                Some(1_000_200),
            ),
            (
                "had a token",
                settling,
                Class::Spreading,
                0,
                false,
                Some(1200),
            ),
            ("switched off", off, Class::Spreading, 0, true, Some(1200)),
            (
                "an assertion",
                settling,
                Class::Settling,
                0,
                true,
                Some(1200),
            ),
            ("for good", settling, Class::Permanent, 0, true, None),
            ("the resource", settling, Class::Resource, 0, true, None),
            ("an outage", settling, Class::Transient, 0, true, None),
            ("throttled", settling, Class::Throttled, 0, true, None),
        ];
        for (name, rules, class, asked, newcomer, expected) in table {
            let until = rules.until(class, start + Duration::from_millis(asked), newcomer);
            let until = until.map(|until| until.duration_since(start).as_millis());
            assert_eq!(until, expected, "{name}");
        }
    }

    #[test]
    fn pauses() {
        for (attempt, jitter, milliseconds) in [
            (0, 0, 100),
            (0, 255, 300),
            (1, 0, 200),
            (1, 255, 600),
            (3, 255, 2000),
            (40, 0, 1600),
        ] {
            assert_eq!(
                pause(attempt, jitter),
                Duration::from_millis(milliseconds),
                "{attempt}, {jitter}"
            );
        }
    }
}
