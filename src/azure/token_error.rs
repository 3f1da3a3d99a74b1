//! Why there is no token, as far as Entra or the way to it tell.

use std::mem;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::azure::aadsts::{self, Class};
use crate::azure::assertion::{self, BadAssertion, Claims};
use crate::azure::clock::Skew;

/// No token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The assertion can't be read.
    #[error("AZURE_FEDERATED_TOKEN_FILE {path}: {cause}")]
    Assertion {
        /// The file.
        path: String,
        /// Why.
        cause: BadAssertion,
    },
    /// Entra says no, with a code.
    #[error("AADSTS{code}: {} {}{}Entra: {description}", aadsts::fault(*code).sentence, presented(claims.as_ref()), told(hints.skew))]
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
        /// What the answer's headers tell.
        hints: Hints,
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
    /// Entra is in trouble, and has no code for it.
    #[error(
        "{authority} answered temporarily_unavailable. It passes; the request may be repeated."
    )]
    Unavailable {
        /// Who was asked.
        authority: String,
        /// Seconds to wait, as asked by the other side.
        retry_after: Option<u64>,
    },
    /// Success without a token that can be read.
    #[error(
        "{authority} answered success and no token that can be read: is AZURE_AUTHORITY_HOST right, does a firewall or proxy stand between?"
    )]
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
    /// So many exchanges are under way that this one was not begun.
    #[error("too many different tokens are being asked for at once; the request may be repeated")]
    Crowded,
    /// The exchange was stopped before its end.
    #[error("the exchange was stopped")]
    Stopped,
}

#[derive(Deserialize)]
struct Denied {
    error: Option<String>,
    error_description: Option<String>,
    #[serde(default)]
    error_codes: Value,
    correlation_id: Option<String>,
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
            | Self::Unavailable { .. }
            | Self::Crowded
            | Self::Malformed { .. }
            | Self::Transport { .. }
            | Self::Stopped => Class::Transient,
        }
    }

    /// Whether `other` has the same cause, for who reads the log. What passes by itself is one cause, however worded:
    /// an outage has many faces.
    #[must_use]
    pub fn same_cause(&self, other: &Self) -> bool {
        if self.class() != other.class() {
            return false;
        }
        match (self, other) {
            _ if matches!(self.class(), Class::Transient | Class::Throttled) => true,
            (Self::Refused { code, .. }, Self::Refused { code: others, .. }) => code == others,
            (Self::Assertion { cause, .. }, Self::Assertion { cause: others, .. }) => {
                cause.to_string() == others.to_string()
            }
            _ => mem::discriminant(self) == mem::discriminant(other),
        }
    }

    /// Seconds to wait, if the other side asked for it.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Refused { hints, .. } => hints.retry_after,
            Self::Status { retry_after, .. } | Self::Unavailable { retry_after, .. } => {
                *retry_after
            }
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

/// What the headers of an answer tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints {
    /// Seconds to wait, as asked by the other side.
    pub retry_after: Option<u64>,
    /// How wrong this node's clock is.
    pub skew: Option<Skew>,
}

impl Hints {
    /// Of an answer that came at `now`, in Unix seconds.
    #[must_use]
    pub fn of(headers: &HeaderMap, now: u64) -> Self {
        let retry_after = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        Self {
            retry_after: retry_after.and_then(|text| text.trim().parse().ok()),
            skew: Skew::of(headers, now),
        }
    }
}

/// The error in Entra's reply; None when the body is none of Entra's.
pub(crate) fn denied(
    status: StatusCode,
    body: &[u8],
    hints: Hints,
    assertion: &SecretString,
) -> Option<TokenError> {
    let denied: Denied = serde_json::from_slice(body).ok()?;
    let description = denied.error_description.unwrap_or_default();
    let code = listed(&denied.error_codes).or_else(|| code(&description))?;
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
        hints,
    })
}

/// Whether the body says that Entra is in trouble, as OAuth words it.
pub(crate) fn unavailable(body: &[u8]) -> bool {
    serde_json::from_slice::<Denied>(body)
        .is_ok_and(|denied| denied.error.as_deref() == Some("temporarily_unavailable"))
}

/// The first code of the list, which gateways in between may have made text of.
fn listed(codes: &Value) -> Option<u32> {
    match codes.get(0)? {
        Value::String(text) => text.parse().ok(),
        number => u32::try_from(number.as_u64()?).ok(),
    }
}

/// The code at the start of Entra's description, `AADSTS70021: ...`.
fn code(description: &str) -> Option<u32> {
    let (_, rest) = description.split_once("AADSTS")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn told(skew: Option<Skew>) -> String {
    skew.map(|skew| format!("{skew} ")).unwrap_or_default()
}

fn presented(claims: Option<&Claims>) -> String {
    claims.map_or_else(String::new, |claims| format!("It presents {claims}. "))
}

#[cfg(test)]
mod tests {
    use std::io;

    use azure_core::base64;
    use http::StatusCode;
    use secrecy::{ExposeSecret, SecretString};

    use super::{Hints, TokenError, denied};
    use crate::azure::aadsts::Class;
    use crate::azure::assertion::BadAssertion;

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
                    Class::Spreading,
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
            let error = denied(status, body.as_bytes(), Hints::default(), &assertion);
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
    fn causes() {
        let refused = |code| {
            let body = format!(r#"{{"error_codes":[{code}],"trace_id":"{code}"}}"#);
            denied(
                StatusCode::BAD_REQUEST,
                body.as_bytes(),
                Hints::default(),
                &"a.b.c".into(),
            )
            .unwrap()
        };
        let status = |status| TokenError::Status {
            authority: "https://login".to_owned(),
            status,
            retry_after: None,
        };
        let file = |cause| TokenError::Assertion {
            path: "/token".to_owned(),
            cause,
        };
        let absent = || file(io::Error::from(io::ErrorKind::NotFound).into());
        let table = [
            ("the same code", refused(700_213), refused(700_213), true),
            ("another code", refused(700_213), refused(700_016), false),
            (
                "an outage with two faces",
                status(503),
                refused(90033),
                true,
            ),
            (
                "an outage, then a refusal",
                status(503),
                refused(700_213),
                false,
            ),
            ("throttled, then an outage", status(429), status(503), false),
            (
                "a firewall, then Entra",
                status(403),
                refused(7_000_112),
                false,
            ),
            ("no file yet", absent(), absent(), true),
            (
                "a file of something else",
                absent(),
                file(BadAssertion::NoToken),
                false,
            ),
        ];
        for (name, before, after, same) in table {
            assert_eq!(before.same_cause(&after), same, "{name}");
        }
    }
}
