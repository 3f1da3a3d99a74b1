//! The exchange: the pod's projected token for one of Microsoft Entra, straight at the token endpoint.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tracing::warn;
use uuid::Uuid;

use crate::azure::aadsts::Class;
use crate::azure::address::Address;
use crate::azure::assertion;
use crate::azure::clock::Clock;
use crate::azure::grant::{Token, granted};
use crate::azure::settling::{Settling, pause};
use crate::azure::token_error::{Hints, TokenError, denied, unavailable};
use crate::reason::reason;

/// How long one request to Entra may take.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// How long a reply of Entra may be, in bytes.
const LONGEST_REPLY: usize = 1 << 20;

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

#[cfg(test)]
mod tests {
    use super::scope;

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
}
