//! Objects on their way in (read, stamped) and out (whole, or their metadata only).

use serde_json::{Value, json};

use crate::kind::{Key, Kind};
use crate::refusal::Refusal;

/// How much of an object the client wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Whole,
    /// `PartialObjectMetadata` of meta.k8s.io/v1.
    Metadata,
}

impl Form {
    /// From the `Accept` header, whose first type decides.
    pub(crate) fn accepted(accept: &str) -> Self {
        let first = accept.split(',').next().unwrap_or_default();
        let wants = |part: &str| {
            matches!(
                part.trim(),
                "as=PartialObjectMetadata" | "as=PartialObjectMetadataList"
            )
        };
        if first.split(';').any(wants) {
            Self::Metadata
        } else {
            Self::Whole
        }
    }

    /// One object as an answer or in an event.
    pub(crate) fn of(self, object: &Value) -> Value {
        match self {
            Self::Whole => object.clone(),
            Self::Metadata => json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
            }),
        }
    }

    /// Objects as an answer. Those of a whole list don't repeat kind and apiVersion, as in the real server.
    pub(crate) fn of_list<'a>(
        self,
        kind: Kind,
        version: u64,
        objects: impl Iterator<Item = &'a Value>,
    ) -> Value {
        let item = |object: &Value| {
            let mut item = self.of(object);
            if self == Self::Whole
                && let Some(fields) = item.as_object_mut()
            {
                fields.shift_remove("kind");
                fields.shift_remove("apiVersion");
            }
            item
        };
        let (name, api_version) = match self {
            Self::Whole => (format!("{}List", kind.name()), kind.api_version()),
            Self::Metadata => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1"),
        };
        json!({
            "kind": name, "apiVersion": api_version, "metadata": {"resourceVersion": version.to_string()},
            "items": objects.map(item).collect::<Vec<_>>(),
        })
    }
}

/// A string field of the metadata, empty when it is missing.
pub(crate) fn metadata<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// What an object says it is.
///
/// # Errors
/// [`Refusal::BadRequest`] when it is of no kind there is, has no name, lacks a namespace its kind needs, or has a map of
/// strings that is none.
pub(crate) fn key_of(object: &Value) -> Result<Key, Refusal> {
    let bad = |why: String| Err(Refusal::BadRequest(why));
    let (version, kind) = (&object["apiVersion"], &object["kind"]);
    let Some(known) = kind
        .as_str()
        .and_then(Kind::named)
        .filter(|kind| version == kind.api_version())
    else {
        return bad(format!(
            "simkube has no kind {kind} of {version}; it has Namespace, ServiceAccount, ConfigMap and Pod of v1, and \
             MutatingWebhookConfiguration of admissionregistration.k8s.io/v1"
        ));
    };
    let key = Key::new(
        known,
        metadata(object, "namespace"),
        metadata(object, "name"),
    );
    if key.name.is_empty() {
        return bad("metadata.name: Required value: simkube generates no names".to_owned());
    }
    if key.namespace.is_empty() && known.is_namespaced() {
        return bad(format!(
            "metadata.namespace: Required value for a {}",
            known.name()
        ));
    }
    for pointer in ["/metadata/annotations", "/metadata/labels", "/data"] {
        let map = object.pointer(pointer).filter(|map| !map.is_null());
        let strings = |map: &Value| {
            map.as_object()
                .is_some_and(|map| map.values().all(Value::is_string))
        };
        if !map.is_none_or(strings) {
            return bad(format!(
                "{pointer}: Invalid value: must be a map of strings"
            ));
        }
    }
    Ok(key)
}

/// Reads the object of a request to `key`'s path; a namespace it leaves out is the path's.
///
/// # Errors
/// As [`key_of`], and when the object is another one than the path's.
pub(crate) fn read(
    body: &[u8],
    kind: Kind,
    namespace: &str,
    name: Option<&str>,
) -> Result<(Key, Value), Refusal> {
    let mut object: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::BadRequest(format!("the body is no JSON object: {error}")))?;
    if !object["metadata"].is_object() {
        return Err(Refusal::BadRequest("metadata: Required value".to_owned()));
    }
    if kind.is_namespaced() && metadata(&object, "namespace").is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    let key = key_of(&object)?;
    let path = Key::new(kind, namespace, name.unwrap_or(&key.name));
    if key != path {
        return Err(Refusal::BadRequest(format!(
            "the {} {}/{} of the body does not match the {} {}/{} of the path",
            key.kind.name(),
            key.namespace,
            key.name,
            path.kind.name(),
            path.namespace,
            path.name,
        )));
    }
    Ok((key, object))
}

/// Gives an object what the server decides: identity and birth (those of `live`, else new ones), and a Namespace its
/// name as a label.
pub(crate) fn stamp(key: &Key, live: Option<&Value>, object: &mut Value, uid: &str, now: &str) {
    let metadata = &mut object["metadata"];
    match live {
        Some(live) => {
            for field in ["uid", "creationTimestamp", "resourceVersion"] {
                metadata[field] = live["metadata"][field].clone();
            }
        }
        None => {
            metadata["uid"] = json!(uid);
            metadata["creationTimestamp"] = json!(now);
        }
    }
    if key.kind == Kind::Namespace {
        metadata["labels"]["kubernetes.io/metadata.name"] = json!(key.name);
    }
}
