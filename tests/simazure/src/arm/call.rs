//! One authenticated request, as the resources see it.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, header};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::error::Refusal;
use super::path::Target;

/// A request: who asks what of which resource, and when.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(super) method: Method,
    /// Path as it came.
    pub(super) path: String,
    pub(super) target: Target,
    pub(super) query: Query,
    pub(super) if_match: Option<String>,
    pub(super) if_none_match: Option<String>,
    pub(super) body: Value,
    /// Object id of the caller.
    pub(super) caller: String,
    pub(super) now: Timestamp,
}

/// The query's pairs, decoded, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Call {
    pub(super) fn parse(
        parts: &Parts,
        body: &[u8],
        caller: String,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body)
                .map_err(|error| Refusal::InvalidContent(error.to_string()))?
        };
        Ok(Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            target: Target::parse(parts.uri.path())?,
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            if_match: text(&parts.headers, header::IF_MATCH),
            if_none_match: text(&parts.headers, header::IF_NONE_MATCH),
            body,
            caller,
            now,
        })
    }

    /// Whether it asks by a preview version.
    pub(super) fn is_preview(&self) -> bool {
        self.query
            .get("api-version")
            .is_some_and(|asked| asked.ends_with("-preview"))
    }
}

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let decoded = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        Self(
            text.split('&')
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (decoded(name), decoded(value)))
                .collect(),
        )
    }

    /// The value of a name, whatever the name's case; an empty one is none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(found, value)| found.eq_ignore_ascii_case(name) && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The value that `$filter` compares a property with: `roleName eq 'Reader'`.
    pub(crate) fn filtered(&self, property: &str) -> Option<&str> {
        let filter = self.get("$filter")?;
        let (_, rest) = filter.split_once(&format!("{property} eq '"))?;
        rest.split_once('\'').map(|(value, _)| value)
    }

    /// All pairs but one, encoded, with that one added.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
        self.0
            .iter()
            .filter(|(found, _)| !found.eq_ignore_ascii_case(name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain([(name, value)])
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect::<Vec<_>>()
            .join("&")
    }
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn queries() {
        let query = Query::parse("API-version=1&$filter=roleName+eq%20'A b'&empty=");
        assert_eq!(query.get("api-version"), Some("1"));
        assert_eq!(query.get("empty"), None);
        assert_eq!(query.filtered("roleName"), Some("A b"));
        assert_eq!(query.filtered("type"), None);
        assert_eq!(
            Query::parse("a=1&$skiptoken=3").with("$skiptoken", "5"),
            "a=1&%24skiptoken=5"
        );
    }
}
