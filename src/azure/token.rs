//! The exchange: the pod's projected token for one of Microsoft Entra, straight at the token endpoint.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tracing::warn;
use uuid::Uuid;

use crate::azure::aadsts::Class;
use crate::azure::address::Address;
use crate::azure::assertion;
use crate::azure::clock::Clock;
use crate::azure::settling::{Settling, pause};
use crate::azure::token_error::{Hints, TokenError, denied, unavailable};
use crate::reason::reason;

/// How long one request to Entra may take.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// How long before its end a token is no longer handed out without trying for a new one; seconds.
const MARGIN: u64 = 300;
/// How long a reply of Entra may be, in bytes.
const LONGEST_REPLY: usize = 1 << 20;
/// The longest life a token may claim: a year, in seconds. Entra's live a day or so.
const LONGEST_LIFE: u64 = 365 * 86400;

/// Which token is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// The identity's tenant.
    pub tenant_id: Arc<str>,
    /// The identity's client id.
    pub client_id: Arc<str>,
    /// The resource as the caller wrote it.
    pub resource: String,
}

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

/// Where and by which assertion tokens are exchanged.
#[derive(Debug)]
pub struct Entra {
    /// The client, as `azure::http::client` makes it.
    pub http: reqwest::Client,
    /// Entra's address.
    pub authority: Address,
    /// The file of the projected token; read at each exchange, as kubelet replaces it.
    pub token_file: PathBuf,
    /// How long what may settle is asked for again.
    pub settling: Settling,
    /// How its answers are counted.
    pub exchanges: Exchanges,
    /// This node's clock, by its answers.
    pub clock: Clock,
}

/// Requests to Entra by outcome: [`OBTAINED`], or the class of the failure.
pub type Exchanges = Family<[(&'static str, &'static str); 1], Counter>;

/// The outcome of an exchange that gave a token.
pub const OBTAINED: &str = "token";

#[derive(Serialize)]
struct Form<'a> {
    grant_type: &'static str,
    client_id: &'a str,
    scope: &'a str,
    client_assertion_type: &'static str,
    client_assertion: &'a str,
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

impl Entra {
    /// Exchanges the pod's token for the one wanted; what may settle is asked for again. A newcomer is a client that
    /// never had a token. Each request holds one of `places`.
    ///
    /// # Errors
    /// As `TokenError` tells.
    pub async fn exchange(
        &self,
        wanted: &Wanted,
        newcomer: bool,
        places: &Semaphore,
    ) -> Result<Token, TokenError> {
        let asked = Instant::now();
        let mut told = false;
        let mut attempt = 0;
        loop {
            let request = Uuid::new_v4();
            let assertion =
                assertion::read(&self.token_file).map_err(|cause| TokenError::Assertion {
                    path: self.token_file.display().to_string(),
                    cause,
                })?;
            // Who has waited waits for a place too: one is free again when a request ends.
            let place = match attempt {
                0 => places.try_acquire().map_err(|_| TokenError::Crowded)?,
                _ => places.acquire().await.map_err(|_| TokenError::Stopped)?,
            };
            let outcome = self.exchange_assertion(wanted, &assertion, request).await;
            drop(place);
            let failure = outcome.as_ref().err().map(TokenError::class);
            let labels = [("outcome", failure.map_or(OBTAINED, Class::as_str))];
            self.exchanges.get_or_create(&labels).inc();
            let error = match outcome {
                Ok(token) => return Ok(token),
                Err(error) => error,
            };
            // The request id is random anyway: its last byte serves as jitter.
            let (now, pause) = (Instant::now(), pause(attempt, request.as_bytes()[15]));
            match self.settling.until(error.class(), asked, newcomer) {
                Some(until) if now + pause <= until => {
                    if until > asked + self.settling.window && !told {
                        tell_of_the_wait(wanted, &error, until - now);
                        told = true;
                    }
                }
                _ => return Err(error),
            }
            sleep(pause).await;
            attempt += 1;
        }
    }

    /// Exchanges `assertion` for the token wanted: one request, named `request` towards Entra.
    ///
    /// # Errors
    /// As `TokenError` tells.
    pub async fn exchange_assertion(
        &self,
        wanted: &Wanted,
        assertion: &SecretString,
        request: Uuid,
    ) -> Result<Token, TokenError> {
        let asked_on = unix_seconds(SystemTime::now());
        let transport = |error: reqwest::Error| TokenError::Transport {
            authority: self.authority.to_string(),
            reason: reason(&error.without_url()),
        };
        let response = self
            .http
            .post(format!(
                "{}/{}/oauth2/v2.0/token",
                self.authority, wanted.tenant_id
            ))
            .timeout(ATTEMPT_LIMIT)
            .header("accept", "application/json")
            .header("client-request-id", request.to_string())
            .header("return-client-request-id", "true")
            .form(&Form {
                grant_type: "client_credentials",
                client_id: &wanted.client_id,
                scope: &scope(&wanted.resource),
                client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                client_assertion: assertion.expose_secret(),
            })
            .send()
            .await
            .map_err(transport)?;
        let status = response.status();
        let hints = Hints::of(response.headers(), unix_seconds(SystemTime::now()));
        self.clock.tell(hints.skew);
        let body = body(response).await.map_err(transport)?;
        let authority = self.authority.to_string();
        if status.is_success() {
            let jitter = request.as_bytes()[15];
            return granted(&body, asked_on, jitter).ok_or(TokenError::Malformed { authority });
        }
        Err(match denied(status, &body, hints, assertion) {
            Some(error) => error,
            None if unavailable(&body) => TokenError::Unavailable {
                authority,
                retry_after: hints.retry_after,
            },
            None => TokenError::Status {
                authority,
                status: status.as_u16(),
                retry_after: hints.retry_after,
            },
        })
    }
}

/// An application that hangs at its start is looked up in the log.
fn tell_of_the_wait(wanted: &Wanted, error: &TokenError, wait: Duration) {
    let (client_id, resource) = (&*wanted.client_id, &*wanted.resource);
    let up_to_seconds = wait.as_secs();
    warn!(client_id, resource, up_to_seconds, %error, "waiting for an identity that may be just made");
}

/// The body; nothing of one that is longer than a reply of Entra can be.
async fn body(mut response: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LONGEST_REPLY {
            return Ok(Vec::new());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Entra's scope for an IMDS resource. Entra takes what stands before the last slash as audience, so a slash at the
/// resource's end is kept and doubles.
#[must_use]
pub fn scope(resource: &str) -> String {
    if resource.ends_with("/.default") {
        resource.to_owned()
    } else {
        format!("{resource}/.default")
    }
}

/// Seconds since 1970; before that, 0.
#[must_use]
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The token in Entra's reply. `jitter` spreads the refreshes of pods that started together.
fn granted(body: &[u8], asked_on: u64, jitter: u8) -> Option<Token> {
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

    use super::{Freshness, granted, scope};

    #[test]
    fn scopes() {
        for (resource, expected) in [
            (
                "https://vault.azure.net",
                "https://vault.azure.net/.default",
            ),
            (
                "https://vault.azure.net/",
                "https://vault.azure.net//.default",
            ),
            (
                "https://vault.azure.net/.default",
                "https://vault.azure.net/.default",
            ),
            ("api://app", "api://app/.default"),
        ] {
            assert_eq!(scope(resource), expected, "{resource}");
        }
    }

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
