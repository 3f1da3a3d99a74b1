//! The exchange: the pod's projected token for one of Microsoft Entra, straight at the token endpoint.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::azure::aadsts::{self, Class};
use crate::azure::assertion::{self, Claims};
use crate::azure::authority::Authority;
use crate::azure::http::reason;

/// How long one request to Entra may take.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// How long a federated credential that Entra does not know yet is asked for again, inside one request.
///
/// A credential that is spreading and one that is wrong give the same codes. SDKs retry 404, 429 and 5xx for up to
/// 75 s but never a 400, and some (az, App Service sources) do not retry at all. So the window is long enough to bridge
/// the flapping that Entra shows on settled credentials, short enough that a wrong one fails in every SDK in under
/// two seconds, and its end is a plain 400 that names the cause, not a 503 that looks like an outage. A credential
/// that appears later is found by the next request, as permanent answers are kept for 5 s at most.
pub const SETTLING_WINDOW: Duration = Duration::from_millis(1200);

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
    /// From when a new one should be fetched: Entra's `refresh_in`, else half its life.
    pub refresh_on: u64,
    /// When it ends.
    pub expires_on: u64,
}

/// Where and by which assertion tokens are exchanged.
#[derive(Debug)]
pub struct Entra {
    /// The client, as `azure::http::client` makes it.
    pub http: reqwest::Client,
    /// Entra's address.
    pub authority: Authority,
    /// The file of the projected token; read at each exchange, as kubelet replaces it.
    pub token_file: PathBuf,
    /// How long settling errors are retried; `SETTLING_WINDOW` but for tests.
    pub settling_window: Duration,
}

/// No token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The assertion can't be read.
    #[error("AZURE_FEDERATED_TOKEN_FILE {path}: {source}; is the token volume mounted there?")]
    Assertion {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Entra says no, with a code.
    #[error("AADSTS{code}: {} {}Entra: {description}", aadsts::fault(*code).sentence, presented(claims.as_ref()))]
    Refused {
        /// The AADSTS code.
        code: u32,
        /// How it is to be answered.
        class: Class,
        /// What the assertion presented, where that helps.
        claims: Option<Claims>,
        /// Entra's own words.
        description: String,
        /// Entra's correlation id.
        correlation_id: Option<String>,
        /// Seconds to wait, as Entra asks.
        retry_after: Option<u64>,
    },
    /// Something that isn't Entra's token endpoint answered, or Entra in deep trouble.
    #[error(
        "{authority} answered HTTP {status} and no Entra error: is AZURE_AUTHORITY_HOST right, does a firewall or proxy stand between?"
    )]
    Status {
        /// Who was asked.
        authority: String,
        /// HTTP status.
        status: u16,
        /// Seconds to wait, as asked by the other side.
        retry_after: Option<u64>,
    },
    /// Success without a token that can be read.
    #[error("{authority} answered success, but no token could be read from it")]
    Malformed {
        /// Who was asked.
        authority: String,
    },
    /// No answer.
    #[error("{authority} did not answer: {reason}")]
    Transport {
        /// Who was asked.
        authority: String,
        /// What failed, from the outside to the root.
        reason: String,
    },
    /// The exchange was stopped before its end.
    #[error("the exchange was stopped")]
    Stopped,
}

#[derive(Serialize)]
struct Form<'a> {
    grant_type: &'static str,
    client_id: &'a str,
    scope: &'a str,
    client_assertion_type: &'static str,
    client_assertion: &'a str,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Seconds,
    refresh_in: Option<Seconds>,
}

/// A number on the v2 endpoint, text on older ones.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

#[derive(Deserialize)]
struct Denied {
    error_description: Option<String>,
    #[serde(default)]
    error_codes: Vec<u32>,
    correlation_id: Option<String>,
}

impl Entra {
    /// Exchanges the pod's token for the one wanted; settling errors are tried again inside the window.
    ///
    /// # Errors
    /// As `TokenError` tells.
    pub async fn exchange(&self, wanted: &Wanted) -> Result<Token, TokenError> {
        let started = Instant::now();
        let mut attempt = 0;
        loop {
            let request = Uuid::new_v4();
            let assertion =
                assertion::read(&self.token_file).map_err(|source| TokenError::Assertion {
                    path: self.token_file.display().to_string(),
                    source,
                })?;
            let error = match self.exchange_assertion(wanted, &assertion, request).await {
                Err(error) if error.class() == Class::Settling => error,
                outcome => return outcome,
            };
            // The request id is random anyway: its last byte serves as jitter.
            let pause = pause(attempt, request.as_bytes()[15]);
            if started.elapsed() + pause > self.settling_window {
                return Err(error);
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
            .post(self.authority.token_endpoint(&wanted.tenant_id))
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
        let retry_after = retry_after(response.headers());
        let body = response.bytes().await.map_err(transport)?;
        if status.is_success() {
            return granted(&body, asked_on).ok_or_else(|| TokenError::Malformed {
                authority: self.authority.to_string(),
            });
        }
        Err(
            denied(status, &body, retry_after, assertion).unwrap_or_else(|| TokenError::Status {
                authority: self.authority.to_string(),
                status: status.as_u16(),
                retry_after,
            }),
        )
    }
}

impl TokenError {
    /// How the error is to be answered.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { class, .. } => *class,
            Self::Assertion { .. } => Class::Permanent,
            Self::Status { status: 429, .. } => Class::Throttled,
            Self::Status { status, .. } if *status < 500 && *status != 408 => Class::Permanent,
            Self::Status { .. }
            | Self::Malformed { .. }
            | Self::Transport { .. }
            | Self::Stopped => Class::Transient,
        }
    }

    /// Seconds to wait, if the other side asked for it.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Refused { retry_after, .. } | Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Entra's correlation id, if it gave one.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        match self {
            Self::Refused { correlation_id, .. } => correlation_id.as_deref(),
            _ => None,
        }
    }
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

/// The wait before the next attempt: 0.2 s doubled each time, times 0.5 to 1.5, never above 2 s.
fn pause(attempt: u32, jitter: u8) -> Duration {
    let base = Duration::from_millis(200) * 2_u32.pow(attempt.min(4));
    (base / 2 + base * u32::from(jitter) / 255).min(Duration::from_secs(2))
}

fn granted(body: &[u8], asked_on: u64) -> Option<Token> {
    let granted: Granted = serde_json::from_slice(body).ok()?;
    let expires_in = granted.expires_in.number()?;
    let refresh_in = granted
        .refresh_in
        .and_then(Seconds::number)
        .filter(|seconds| *seconds < expires_in)
        .unwrap_or(expires_in / 2);
    Some(Token {
        secret: granted.access_token.into(),
        obtained_on: asked_on,
        refresh_on: asked_on + refresh_in,
        expires_on: asked_on.checked_add(expires_in)?,
    })
}

/// None when the body is no error of Entra.
fn denied(
    status: StatusCode,
    body: &[u8],
    retry_after: Option<u64>,
    assertion: &SecretString,
) -> Option<TokenError> {
    let denied: Denied = serde_json::from_slice(body).ok()?;
    let description = denied.error_description.unwrap_or_default();
    let code = denied
        .error_codes
        .first()
        .copied()
        .or_else(|| code(&description))?;
    let fault = aadsts::fault(code);
    Some(TokenError::Refused {
        code,
        class: match status {
            StatusCode::TOO_MANY_REQUESTS => Class::Throttled,
            status if status.is_server_error() => Class::Transient,
            _ => fault.class,
        },
        claims: fault
            .shows_claims
            .then(|| assertion::claims(assertion))
            .flatten(),
        // A debugging proxy in between might echo what it got.
        description: description
            .replace(assertion.expose_secret(), "[assertion]")
            .replace(['\r', '\n'], " "),
        correlation_id: denied.correlation_id,
        retry_after,
    })
}

/// The code at the start of Entra's description, `AADSTS70021: ...`.
fn code(description: &str) -> Option<u32> {
    let (_, rest) = description.split_once("AADSTS")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

fn presented(claims: Option<&Claims>) -> String {
    claims.map_or_else(String::new, |claims| format!("It presents {claims}. "))
}

impl Seconds {
    fn number(self) -> Option<u64> {
        match self {
            Self::Number(seconds) => Some(seconds),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use azure_core::base64;
    use http::StatusCode;
    use secrecy::{ExposeSecret, SecretString};

    use super::{TokenError, denied, granted, pause, scope};
    use crate::azure::aadsts::Class;

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
            ("no token", r#"{"expires_in":3600}"#, None),
            ("no end", r#"{"access_token":"t"}"#, None),
            ("no JSON", "<html>", None),
        ];
        for (name, body, expected) in table {
            let token = granted(body.as_bytes(), 1000);
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
    fn denials() {
        let payload =
            r#"{"iss":"https://issuer/","sub":"system:serviceaccount:n:s","aud":"api://x"}"#;
        let assertion = SecretString::from(format!("e30.{}.sig", base64::encode_url_safe(payload)));
        let echo = format!(
            r#"{{"error_codes":[50013],"error_description":"AADSTS50013: {}"}}"#,
            assertion.expose_secret()
        );
        let claims = "issuer \"https://issuer/\", subject \"system:serviceaccount:n:s\", audience \"api://x\"";
        let table = [
            (
                "by the list",
                400,
                r#"{"error":"invalid_client","error_codes":[700213],"error_description":"AADSTS700213: No match\r\nTrace ID"}"#,
                Some((
                    Class::Settling,
                    vec!["AADSTS700213: no federated", claims, "No match  Trace ID"],
                )),
            ),
            (
                "by the description",
                401,
                r#"{"error_description":"AADSTS500011: The resource principal"}"#,
                Some((
                    Class::Resource,
                    vec!["AADSTS500011: the tenant does not know"],
                )),
            ),
            (
                "an unknown code",
                400,
                r#"{"error_codes":[42],"error_description":"AADSTS42: words"}"#,
                Some((Class::Permanent, vec!["AADSTS42", "words"])),
            ),
            (
                "throttled",
                429,
                r#"{"error_codes":[90055],"error_description":"AADSTS90055"}"#,
                Some((Class::Throttled, vec!["AADSTS90055"])),
            ),
            (
                "a permanent code in an outage",
                503,
                r#"{"error_codes":[700016],"error_description":"AADSTS700016"}"#,
                Some((Class::Transient, vec![claims])),
            ),
            (
                "an echo",
                400,
                echo.as_str(),
                Some((Class::Permanent, vec!["[assertion]"])),
            ),
            ("no code", 400, r#"{"error":"invalid_request"}"#, None),
            ("no JSON", 502, "<html>", None),
        ];
        for (name, status, body, expected) in table {
            let status = StatusCode::from_u16(status).unwrap();
            let error = denied(status, body.as_bytes(), None, &assertion);
            let Some((class, parts)) = expected else {
                assert!(error.is_none(), "{name}");
                continue;
            };
            let error = error.unwrap();
            assert_eq!(error.class(), class, "{name}");
            for text in [error.to_string(), format!("{error:?}")] {
                assert!(!text.contains(assertion.expose_secret()), "{name}: {text}");
            }
            for part in parts {
                assert!(error.to_string().contains(part), "{name}: {error}");
            }
        }
    }

    #[test]
    fn classes_without_a_code() {
        for (status, class) in [
            (302, Class::Permanent),
            (403, Class::Permanent),
            (404, Class::Permanent),
            (408, Class::Transient),
            (429, Class::Throttled),
            (502, Class::Transient),
        ] {
            let error = TokenError::Status {
                authority: "https://login".to_owned(),
                status,
                retry_after: None,
            };
            assert_eq!(error.class(), class, "{status}");
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
