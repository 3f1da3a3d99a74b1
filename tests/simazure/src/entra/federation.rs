//! Whether an assertion fits one of a client's federated credentials, and whether it is in time.
//!
//! The order is fixed: any credential at all, issuer, subject, audience; then (by the caller) the issuer's keys and
//! the signature; the validity times last. So each code says that everything before it was right.

use jiff::Timestamp;

use super::error::{Aadsts, stamp};
use crate::arm::credentials::{Claim, FederatedCredential};
use crate::jwt::Jwt;

/// Finds the credential that names this assertion's issuer, subject and audience, each byte for byte.
pub(crate) fn matching(
    assertion: &Jwt,
    credentials: &[FederatedCredential],
    client_id: &str,
    name: &str,
) -> Result<(), Aadsts> {
    if credentials.is_empty() {
        return Err(Aadsts::NoFederatedCredentials {
            client_id: client_id.to_owned(),
            name: name.to_owned(),
        });
    }
    let presented = assertion.text("iss").to_owned();
    let of_issuer: Vec<_> = credentials
        .iter()
        .filter(|credential| credential.issuer == presented)
        .collect();
    if of_issuer.is_empty() {
        return Err(Aadsts::IssuerMismatch {
            presented,
            expected: list(credentials.iter().map(|credential| &credential.issuer)),
        });
    }

    let presented = assertion.text("sub").to_owned();
    let of_subject: Vec<_> = of_issuer
        .iter()
        .filter(|credential| match &credential.claim {
            Claim::Subject(subject) => *subject == presented,
            Claim::Expression(expression) => {
                expression.holds(|claim| assertion.text(claim).to_owned())
            }
        })
        .collect();
    if of_subject.is_empty() {
        return Err(other_subject(&of_issuer, presented));
    }

    let audiences = assertion.audiences();
    if of_subject
        .iter()
        .any(|credential| audiences.contains(&credential.audience.as_str()))
    {
        return Ok(());
    }
    Err(Aadsts::AudienceMismatch {
        presented: audiences.join(", "),
        expected: list(of_subject.iter().map(|credential| &credential.audience)),
    })
}

/// The refusal when no credential of the issuer is for this subject.
fn other_subject(of_issuer: &[&FederatedCredential], presented: String) -> Aadsts {
    let subjects: Vec<&String> = of_issuer
        .iter()
        .filter_map(|credential| match &credential.claim {
            Claim::Subject(subject) => Some(subject),
            Claim::Expression(_) => None,
        })
        .collect();
    if subjects.len() < of_issuer.len() {
        return Aadsts::NoExpressionHolds { presented };
    }
    let but_for_case = subjects
        .iter()
        .any(|subject| subject.eq_ignore_ascii_case(&presented));
    let expected = list(subjects.into_iter());
    if but_for_case {
        Aadsts::SubjectCase {
            presented,
            expected,
        }
    } else {
        Aadsts::SubjectMismatch {
            presented,
            expected,
        }
    }
}

/// Checks `nbf` and `exp`, with no skew allowed: all clocks here are one. A token without `exp` is never in time.
pub(crate) fn in_time(assertion: &Jwt, now: Timestamp) -> Result<(), Aadsts> {
    let (from, until) = (assertion.seconds("nbf"), assertion.seconds("exp"));
    let second = now.as_second();
    let started = from.is_none_or(|from| from <= second);
    let lasting = until.is_some_and(|until| second < until);
    if started && lasting {
        return Ok(());
    }
    let text = |seconds: Option<i64>| {
        seconds
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .map_or_else(|| "(none)".to_owned(), stamp)
    };
    Err(Aadsts::OutsideValidity {
        now: stamp(now),
        from: text(from),
        until: text(until),
    })
}

fn list<'s>(names: impl Iterator<Item = &'s String>) -> String {
    let mut quoted: Vec<_> = names.map(|name| format!("'{name}'")).collect();
    quoted.dedup();
    quoted.join(", ")
}
