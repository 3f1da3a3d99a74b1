//! The pod's projected service-account token, which Entra takes as a client assertion.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use azure_core::base64;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// What an assertion says of itself: the three values a federated credential is matched by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// `sub`, as in `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: String,
    /// `aud`; several are joined by a comma.
    pub audience: String,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "iss")]
    issuer: String,
    #[serde(rename = "sub")]
    subject: String,
    #[serde(rename = "aud")]
    audience: Audience,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// The file holds nothing that Entra would take.
#[derive(Debug, thiserror::Error)]
pub enum BadAssertion {
    /// It can't be read.
    #[error("{0}; is the token volume mounted there?")]
    Unreadable(#[from] io::Error),
    /// It is empty or something else.
    #[error("the file holds no JSON Web Token; kubelet writes one into the token volume")]
    NoToken,
}

/// The token in `file`, without the white space around it that some writers leave.
///
/// The file lies in memory (tmpfs) and has a kilobyte: reading it never waits.
///
/// # Errors
/// When it can't be read, or holds no JSON Web Token.
pub fn read(file: &Path) -> Result<SecretString, BadAssertion> {
    let text = SecretString::from(String::from_utf8(fs::read(file)?).unwrap_or_default());
    let token = text.expose_secret().trim();
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let plain = |part: &str| !part.is_empty() && part.bytes().all(base64url);
    if token.split('.').count() == 3 && token.split('.').all(plain) {
        Ok(SecretString::from(token))
    } else {
        Err(BadAssertion::NoToken)
    }
}

/// The claims in an assertion's payload; the signature is Entra's to check. None when it is no JWT.
#[must_use]
pub fn claims(assertion: &SecretString) -> Option<Claims> {
    let payload = assertion.expose_secret().split('.').nth(1)?;
    let payload: Payload = serde_json::from_slice(&base64::decode_url_safe(payload).ok()?).ok()?;
    Some(Claims {
        issuer: payload.issuer,
        subject: payload.subject,
        audience: match payload.audience {
            Audience::One(audience) => audience,
            Audience::Several(audiences) => audiences.join(","),
        },
    })
}

impl fmt::Display for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "issuer {:?}, subject {:?}, audience {:?}",
            self.issuer, self.subject, self.audience
        )
    }
}

#[cfg(test)]
mod tests {
    use azure_core::base64;
    use secrecy::SecretString;

    use super::claims;

    #[test]
    fn payloads() {
        let table = [
            (
                "audience as text",
                r#"{"iss":"https://i/","sub":"s","aud":"a"}"#,
                Some(r#"issuer "https://i/", subject "s", audience "a""#),
            ),
            (
                "audiences as list",
                r#"{"iss":"i","sub":"s","aud":["a","b"]}"#,
                Some(r#"issuer "i", subject "s", audience "a,b""#),
            ),
            ("a claim lacks", r#"{"iss":"i","aud":"a"}"#, None),
            ("no JSON", "payload", None),
        ];
        for (name, payload, expected) in table {
            let assertion = format!("e30.{}.sig", base64::encode_url_safe(payload));
            let shown = claims(&SecretString::from(assertion)).map(|claims| claims.to_string());
            assert_eq!(shown.as_deref(), expected, "{name}");
        }
        assert_eq!(claims(&SecretString::from("opaque")), None);
    }
}
