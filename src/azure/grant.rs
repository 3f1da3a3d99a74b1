//! What Entra grants: a token, read from its reply, and how far it is on its way to its end. Pure.

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

/// How long before its end a token is no longer handed out without trying for a new one; seconds.
const MARGIN: u64 = 300;
/// The longest life a token may claim: a year, in seconds. Entra's live a day or so.
const LONGEST_LIFE: u64 = 365 * 86400;

/// A token of Entra. Times are Unix seconds.
#[derive(Debug)]
pub struct Token {
    /// The token itself.
    pub secret: SecretString,
    /// When it was obtained.
    pub obtained_on: u64,
    /// From when a new one should be fetched: Entra's `refresh_in`, else half its life, and up to a tenth later.
    pub refresh_on: u64,
    /// When it ends.
    pub expires_on: u64,
}

/// How far a token is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// To be served.
    Fresh,
    /// To be served, and a new one fetched meanwhile.
    Refresh,
    /// Within 5 minutes of its end: to be served only if there is no new one.
    Stale,
    /// Worthless.
    Expired,
}

/// Times are numbers on the v2 endpoint, text on older ones.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Value,
    #[serde(default)]
    refresh_in: Value,
}

impl Token {
    /// How far it is at `now`, in Unix seconds.
    #[must_use]
    pub fn freshness(&self, now: u64) -> Freshness {
        if now >= self.expires_on {
            Freshness::Expired
        } else if now + MARGIN >= self.expires_on {
            Freshness::Stale
        } else if now >= self.refresh_on {
            Freshness::Refresh
        } else {
            Freshness::Fresh
        }
    }
}

/// The token in Entra's reply. `jitter` spreads the refreshes of pods that started together.
pub(super) fn granted(body: &[u8], asked_on: u64, jitter: u8) -> Option<Token> {
    let granted: Granted = serde_json::from_slice(body).ok()?;
    let expires_in = seconds(&granted.expires_in)?;
    if granted.access_token.is_empty() || !(1..=LONGEST_LIFE).contains(&expires_in) {
        return None;
    }
    let refresh_in = seconds(&granted.refresh_in)
        .filter(|seconds| *seconds < expires_in)
        .unwrap_or(expires_in / 2);
    Some(Token {
        secret: granted.access_token.into(),
        obtained_on: asked_on,
        refresh_on: asked_on.saturating_add(refresh_in + refresh_in * u64::from(jitter) / 2550),
        expires_on: asked_on.saturating_add(expires_in),
    })
}

/// Whole seconds of a number or text; a fraction is left out.
fn seconds(value: &Value) -> Option<u64> {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    let whole = text.split_once('.').map_or(&*text, |(whole, _)| whole);
    whole.parse().ok()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::{Freshness, granted};

    #[test]
    fn granted_tokens() {
        let table = [
            (
                "numbers",
                r#"{"access_token":"t","expires_in":3600}"#,
                Some((2800, 4600)),
            ),
            (
                "text",
                r#"{"access_token":"t","expires_in":"3600"}"#,
                Some((2800, 4600)),
            ),
            (
                "Entra's own refresh",
                r#"{"access_token":"t","expires_in":3600,"refresh_in":600}"#,
                Some((1600, 4600)),
            ),
            (
                "a refresh after the end",
                r#"{"access_token":"t","expires_in":3600,"refresh_in":7200}"#,
                Some((2800, 4600)),
            ),
            (
                "fractions",
                r#"{"access_token":"t","expires_in":3600.0,"refresh_in":600.5}"#,
                Some((1600, 4600)),
            ),
            (
                "a refresh that is no number",
                r#"{"access_token":"t","expires_in":3600,"refresh_in":"soon"}"#,
                Some((2800, 4600)),
            ),
            (
                "a life without end",
                r#"{"access_token":"t","expires_in":18446744073709551615,"refresh_in":18446744073709551614}"#,
                None,
            ),
            ("dead", r#"{"access_token":"t","expires_in":0}"#, None),
            ("empty", r#"{"access_token":"","expires_in":3600}"#, None),
            ("negative", r#"{"access_token":"t","expires_in":-1}"#, None),
            ("no token", r#"{"expires_in":3600}"#, None),
            ("no end", r#"{"access_token":"t"}"#, None),
            ("no JSON", "<html>", None),
        ];
        for (name, body, expected) in table {
            let token = granted(body.as_bytes(), 1000, 0);
            let times = token
                .as_ref()
                .map(|token| (token.refresh_on, token.expires_on));
            assert_eq!(times, expected, "{name}");
            if let Some(token) = token {
                assert_eq!(token.secret.expose_secret(), "t", "{name}");
                assert!(!format!("{token:?}").contains("\"t\""), "{name}");
            }
        }
    }

    #[test]
    fn refreshes_of_many_part() {
        let reply = br#"{"access_token":"t","expires_in":3600}"#;
        for (jitter, refresh_on) in [(0, 2800), (128, 2890), (255, 2980)] {
            let token = granted(reply, 1000, jitter).unwrap();
            assert_eq!(
                (token.refresh_on, token.expires_on),
                (refresh_on, 4600),
                "{jitter}"
            );
        }
    }

    #[test]
    fn ages() {
        let token = granted(br#"{"access_token":"t","expires_in":3600}"#, 1000, 0).unwrap();
        for (now, expected) in [
            (0, Freshness::Fresh),
            (2799, Freshness::Fresh),
            (2800, Freshness::Refresh),
            (4299, Freshness::Refresh),
            (4300, Freshness::Stale),
            (4599, Freshness::Stale),
            (4600, Freshness::Expired),
        ] {
            assert_eq!(token.freshness(now), expected, "{now}");
        }
    }
}
