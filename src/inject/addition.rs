//! One operation of a patch: to add.

use json_patch::jsonptr::{PointerBuf, Token};
use json_patch::{AddOperation, PatchOperation};
use serde::Serialize;

use super::parts::Part;

/// An RFC 6902 operation, which is always to add.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "op", rename = "add")]
pub struct Addition<'a> {
    path: PointerBuf,
    value: Part<'a>,
}

impl<'a> Addition<'a> {
    /// Adds `value` where these keys lead.
    #[must_use]
    pub fn at(path: &[&str], value: Part<'a>) -> Self {
        let path = pointer(path);
        Addition { path, value }
    }
}

impl From<Addition<'_>> for PatchOperation {
    fn from(Addition { path, value }: Addition<'_>) -> Self {
        // Plain values always serialise.
        let value = serde_json::to_value(value).unwrap_or_default();
        PatchOperation::Add(AddOperation { path, value })
    }
}

/// The JSON pointer of these keys.
pub(super) fn pointer(path: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(path.iter().map(|token| Token::new(*token)))
}
