//! AdmissionReview, v1 and v1beta1: bytes in, bytes out. The only file that knows the wire format.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::outcome::Outcome;

/// A review as the API server sent it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    api_version: String,
    kind: String,
    /// The request in it.
    #[serde(deserialize_with = "object")]
    pub request: Request,
}

/// What the API server asks about.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Echoed in the answer, else the API server discards it.
    pub uid: String,
    /// What kind of object this is.
    #[serde(default, deserialize_with = "object")]
    pub kind: Kind,
    /// Set for a part of an object, such as `ephemeralcontainers`.
    #[serde(default)]
    pub sub_resource: String,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    #[serde(default)]
    pub operation: String,
    /// The object's namespace, which the object itself may not say.
    #[serde(default)]
    pub namespace: String,
    /// Whether nothing will be stored.
    #[serde(default)]
    pub dry_run: Option<bool>,
    /// The object; null for a deletion.
    #[serde(default)]
    pub object: Value,
}

/// A group, version and kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Kind {
    /// Empty for the core group.
    pub group: String,
    /// As in `v1`.
    pub version: String,
    /// As in `Pod`.
    pub kind: String,
}

impl Kind {
    /// Group and version as objects have them: `v1`, `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }
}

/// A body that is no review; there is no uid to answer to.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Nothing was sent.
    #[error("request body is empty: an AdmissionReview is expected")]
    Empty,
    /// No JSON, or no review.
    #[error("request body is no AdmissionReview: {0}")]
    Syntax(String),
    /// Another kind of object.
    #[error(
        "request body is {api_version} {kind}: an admission.k8s.io/v1 or admission.k8s.io/v1beta1 AdmissionReview is expected"
    )]
    Kind {
        /// Its version, as far as it is short.
        api_version: String,
        /// Its kind, as far as it is short.
        kind: String,
    },
}

impl From<serde_json::Error> for Unreadable {
    /// Says what is expected and where, not what stands there instead: that may be a secret.
    fn from(error: serde_json::Error) -> Self {
        let said = error.to_string();
        Unreadable::Syntax(match said.rsplit_once(", expected ") {
            Some((_, expected)) => format!("expected {expected}"),
            None => said,
        })
    }
}

/// An answer to a request.
#[derive(Debug, Default)]
pub struct Answer {
    /// What to change: RFC 6902 operations as JSON; none where there is nothing to change.
    pub patch: Option<Vec<u8>>,
    /// Set where the pod may not be created.
    pub denial: Option<Denial>,
    /// Sentences the client shows.
    pub warnings: Vec<String>,
    /// For the audit log.
    pub outcome: Outcome,
}

/// Why a pod may not be created.
#[derive(Debug)]
pub struct Denial {
    /// HTTP status code.
    pub code: u16,
    /// A sentence that a person can act on.
    pub message: String,
}

impl Review {
    /// Reads a review.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        if bytes.is_empty() {
            return Err(Unreadable::Empty);
        }
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let review: Review = object(&mut reader)?;
        reader.end()?;
        let known = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"]
            .contains(&review.api_version.as_str());
        if known && review.kind == "AdmissionReview" {
            Ok(review)
        } else {
            let short = |text: String| text.chars().take(60).collect();
            Err(Unreadable::Kind {
                api_version: short(review.api_version),
                kind: short(review.kind),
            })
        }
    }

    /// Writes the answer in the version of the request.
    ///
    /// # Errors
    /// When it can't be written, which no answer of ours is.
    pub fn answer(&self, answer: &Answer) -> serde_json::Result<Vec<u8>> {
        let encode = |patch| base64::engine::general_purpose::STANDARD.encode(patch);
        serde_json::to_vec(&ReviewOut {
            api_version: &self.api_version,
            kind: "AdmissionReview",
            response: Response {
                uid: &self.request.uid,
                allowed: answer.denial.is_none(),
                patch_type: answer.patch.is_some().then_some("JSONPatch"),
                patch: answer.patch.as_ref().map(encode),
                status: answer.denial.as_ref().map(|denial| Status {
                    code: denial.code,
                    message: &denial.message,
                }),
                warnings: &answer.warnings,
                audit_annotations: Audit {
                    decision: answer.outcome.result(),
                    reason: answer.outcome.reason(),
                },
            },
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReviewOut<'a> {
    api_version: &'a str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    audit_annotations: Audit,
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    message: &'a str,
}

#[derive(Serialize)]
struct Audit {
    decision: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'static str,
}

/// Reads a structure from a JSON object alone; by itself it would take an array of its fields too.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Object(PhantomData))
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies() {
        let review = |version| {
            json!({"apiVersion": version, "kind": "AdmissionReview", "request": {"uid": "u"}})
                .to_string()
        };
        let table = [
            ("v1", review("admission.k8s.io/v1"), Ok("u")),
            ("v1beta1", review("admission.k8s.io/v1beta1"), Ok("u")),
            (
                "v2",
                review("admission.k8s.io/v2"),
                Err("request body is admission.k8s.io/v2 AdmissionReview: an"),
            ),
            ("empty", String::new(), Err("request body is empty")),
            (
                "no JSON",
                "pod".to_owned(),
                Err("request body is no AdmissionReview: expected value"),
            ),
            (
                "no request",
                r#"{"apiVersion":"v1","kind":"Pod"}"#.to_owned(),
                Err("request body is no AdmissionReview: missing field"),
            ),
        ];
        for (case, body, expected) in table {
            match (Review::read(body.as_bytes()), expected) {
                (Ok(review), Ok(uid)) => assert_eq!(review.request.uid, uid, "{case}"),
                (Err(error), Err(start)) => {
                    assert!(error.to_string().starts_with(start), "{case}: {error}");
                }
                (result, _) => panic!("{case}: {result:?}"),
            }
        }
    }

    /// Read as structures these would pass: their fields stand in order.
    #[test]
    fn arrays_are_no_reviews() {
        let table = [
            json!(["admission.k8s.io/v1", "AdmissionReview", {"uid": "u"}]),
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": ["u"]}),
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "kind": ["", "v1", "Pod"]}}),
        ];
        for body in table {
            let error = Review::read(body.to_string().as_bytes()).unwrap_err();
            let start = "request body is no AdmissionReview: expected a JSON object at line 1";
            assert!(error.to_string().starts_with(start), "{body}: {error}");
        }
    }

    #[test]
    fn denial_echoes_uid_and_version() {
        let body = json!({"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": {"uid": "u"}});
        let review = Review::read(body.to_string().as_bytes()).unwrap();
        let denial = Some(Denial {
            code: 400,
            message: "no".to_owned(),
        });
        let answer = Answer {
            denial,
            outcome: Outcome::Denied("invalid_port"),
            ..Answer::default()
        };
        let written: Value = serde_json::from_slice(&review.answer(&answer).unwrap()).unwrap();
        let expected = json!({"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "response": {
            "uid": "u", "allowed": false, "status": {"code": 400, "message": "no"},
            "auditAnnotations": {"decision": "denied", "reason": "invalid_port"},
        }});
        assert_eq!(written, expected);
    }
}
