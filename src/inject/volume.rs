//! The token volume, recognised by what it projects rather than by its name alone.

use serde_json::Value;

use super::Pod;
use super::pod::elements;
use crate::names;

/// Where the pod stands with the token volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenVolume<'a> {
    /// A volume of this name projects the token already.
    Present(&'a str),
    /// None does, and our name is free.
    Absent,
    /// Our name is taken by something else.
    NameTaken,
}

impl<'a> TokenVolume<'a> {
    /// Looks for a projection of a service account token with that audience at our path.
    #[must_use]
    pub fn of(pod: Pod<'a>, audience: &str) -> Self {
        let name = |volume: &'a Value| {
            volume
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        if let Some(volume) = pod
            .volumes()
            .find(|volume| projects_token(volume, audience))
        {
            return TokenVolume::Present(name(volume));
        }
        if pod
            .volumes()
            .any(|volume| name(volume) == names::TOKEN_VOLUME)
        {
            return TokenVolume::NameTaken;
        }
        TokenVolume::Absent
    }

    /// The name that mounts of the token use.
    #[must_use]
    pub fn name(self) -> &'a str {
        match self {
            TokenVolume::Present(name) => name,
            TokenVolume::Absent | TokenVolume::NameTaken => names::TOKEN_VOLUME,
        }
    }
}

fn projects_token(volume: &Value, audience: &str) -> bool {
    let sources = volume
        .get("projected")
        .and_then(|projected| projected.get("sources"));
    elements(sources)
        .filter_map(|source| source.get("serviceAccountToken"))
        .any(|token| {
            token.get("audience").and_then(Value::as_str) == Some(audience)
                && token.get("path").and_then(Value::as_str) == Some(names::TOKEN_FILE)
        })
}
