//! Claims-matching expressions of flexible federated credentials: `claims['sub'] matches 'repo:*' and claims['x'] eq 'y'`.

use serde_json::{Value, json};

use crate::glob;

/// An expression, as written and as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expression {
    text: String,
    conditions: Vec<Condition>,
}

/// One comparison of a claim with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    claim: String,
    glob: bool,
    value: String,
}

/// Why an expression can't be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Invalid {
    #[error("languageVersion must be 1")]
    Language,
    #[error("'{0}' is not claims['NAME'] eq 'VALUE' or claims['NAME'] matches 'PATTERN'")]
    Condition(String),
}

impl Expression {
    pub(crate) fn parse(body: &Value) -> Result<Self, Invalid> {
        if body["languageVersion"] != 1 {
            return Err(Invalid::Language);
        }
        let text = body["value"].as_str().unwrap_or_default();
        let conditions = text
            .split(" and ")
            .map(|part| Condition::parse(part).ok_or_else(|| Invalid::Condition(part.to_owned())))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            conditions,
        })
    }

    pub(crate) fn json(&self) -> Value {
        json!({"value": self.text, "languageVersion": 1})
    }

    /// Whether it is true of these claims.
    pub(crate) fn holds(&self, claims: impl Fn(&str) -> String) -> bool {
        self.conditions.iter().all(|condition| {
            let claim = claims(&condition.claim);
            if condition.glob {
                glob::matches(&condition.value, &claim)
            } else {
                condition.value == claim
            }
        })
    }
}

impl Condition {
    fn parse(text: &str) -> Option<Self> {
        let (claim, rest) = text.trim().strip_prefix("claims['")?.split_once("'] ")?;
        let (verb, value) = rest.split_once(' ')?;
        let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        let glob = match verb {
            "eq" => false,
            "matches" => true,
            _ => return None,
        };
        Some(Self {
            claim: claim.to_owned(),
            glob,
            value: value.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Expression, Invalid};

    #[test]
    fn expressions() {
        let held = |text: &str| {
            Expression::parse(&json!({"value": text, "languageVersion": 1})).map(|expression| {
                expression.holds(|claim| {
                    if claim == "sub" {
                        "a:b".to_owned()
                    } else {
                        String::new()
                    }
                })
            })
        };
        let wrong = |part: &str| Err(Invalid::Condition(part.to_owned()));
        let table = [
            ("claims['sub'] eq 'a:b'", Ok(true)),
            ("claims['sub'] eq 'a:*'", Ok(false)),
            ("claims['sub'] matches 'a:*'", Ok(true)),
            (
                "claims['sub'] matches 'a:*' and claims['x'] eq 'y'",
                Ok(false),
            ),
            ("claims['sub'] like 'a'", wrong("claims['sub'] like 'a'")),
            ("", wrong("")),
        ];
        for (text, expected) in table {
            assert_eq!(held(text), expected, "{text}");
        }
        assert_eq!(
            Expression::parse(&json!({"value": ""})),
            Err(Invalid::Language)
        );
    }
}
