//! Federated identity credentials: what the provider accepts (name rule, lengths, one audience).

use serde_json::{Value, json};

use super::expression::Expression;

/// Most characters of issuer, subject and audience.
const LONGEST: usize = 600;

/// Most credentials an identity can have.
pub(crate) const MOST: usize = 20;

/// A federated credential of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FederatedCredential {
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) claim: Claim,
    pub(crate) audience: String,
}

/// Whose assertions a credential is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Those of this subject, byte for byte.
    Subject(String),
    /// Those that an expression is true of (preview versions).
    Expression(Expression),
}

/// Why a credential was not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Invalid {
    #[error(
        "Federated identity credential name '{0}' is invalid: it must have 3 to 120 characters of a-z, A-Z, 0-9, - and _, and start with a letter or digit."
    )]
    Name(String),
    #[error("Federated identity credential '{0}' has empty properties: {1} must not be empty.")]
    Empty(String, &'static str),
    #[error("Federated identity credentials must have exactly one audience.")]
    Audiences,
    #[error("Federated identity credential {0} has {1} characters, more than {LONGEST}.")]
    TooLong(&'static str, usize),
    #[error("Federated identity credential issuer '{0}' is invalid: it must be an https URL.")]
    Issuer(String),
    #[error(
        "Federated identity credential '{0}' must have exactly one of subject and claimsMatchingExpression."
    )]
    Claims(String),
    #[error("claimsMatchingExpression is invalid: {0}")]
    Expression(#[from] super::expression::Invalid),
    #[error("An identity can have at most {MOST} federated identity credentials.")]
    TooMany,
}

impl FederatedCredential {
    /// Reads a PUT's body. Only a preview version knows expressions.
    pub(crate) fn parse(name: &str, body: &Value, preview: bool) -> Result<Self, Invalid> {
        if !is_name(name) {
            return Err(Invalid::Name(name.to_owned()));
        }
        let properties = &body["properties"];
        let text = |key: &'static str| match properties[key].as_str().unwrap_or_default() {
            "" => Err(Invalid::Empty(name.to_owned(), key)),
            text => short(key, text),
        };
        let issuer = text("issuer")?;
        if !issuer.starts_with("https://") || issuer.len() == "https://".len() {
            return Err(Invalid::Issuer(issuer));
        }
        let expression = match &properties["claimsMatchingExpression"] {
            Value::Null => None,
            expression => preview.then_some(expression),
        };
        let claim = match (expression, properties["subject"].is_string()) {
            (Some(_), true) => return Err(Invalid::Claims(name.to_owned())),
            (Some(expression), false) => Claim::Expression(Expression::parse(expression)?),
            (None, _) => Claim::Subject(text("subject")?),
        };
        let audience = match properties["audiences"].as_array().map(Vec::as_slice) {
            Some([Value::String(audience)]) if !audience.is_empty() => short("audience", audience)?,
            _ => return Err(Invalid::Audiences),
        };
        Ok(Self {
            name: name.to_owned(),
            issuer,
            claim,
            audience,
        })
    }

    /// The resource as answered, under its identity's id. Other versions than previews hide an expression.
    pub(crate) fn json(&self, identity: &str, preview: bool) -> Value {
        let mut properties = json!({"issuer": self.issuer});
        match &self.claim {
            Claim::Subject(subject) => properties["subject"] = json!(subject),
            Claim::Expression(expression) if preview => {
                properties["claimsMatchingExpression"] = expression.json();
            }
            Claim::Expression(_) => {}
        }
        properties["audiences"] = json!([self.audience]);
        json!({
            "id": format!("{identity}/federatedIdentityCredentials/{}", self.name),
            "name": self.name,
            "type": "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
            "properties": properties,
        })
    }
}

fn is_name(name: &str) -> bool {
    (3..=120).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || char == '-' || char == '_')
}

fn short(key: &'static str, text: &str) -> Result<String, Invalid> {
    match text.chars().count() {
        length if length > LONGEST => Err(Invalid::TooLong(key, length)),
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{FederatedCredential, Invalid};

    fn body(issuer: &str, subject: &str, audiences: &Value) -> Value {
        json!({"properties": {"issuer": issuer, "subject": subject, "audiences": audiences}})
    }

    #[test]
    fn what_is_accepted() {
        let long = |count: usize| "s".repeat(count);
        let one = json!(["api://AzureADTokenExchange"]);
        let good = |subject: &str| body("https://i/", subject, &one);
        let empty = |key| Some(Invalid::Empty("fic".to_owned(), key));
        let name = |name: &str| Some(Invalid::Name(name.to_owned()));
        let issuer = |issuer: &str| Some(Invalid::Issuer(issuer.to_owned()));
        let table = [
            ("fic", good("s"), None),
            ("fic", good(&long(600)), None),
            (
                "fic",
                good(&long(601)),
                Some(Invalid::TooLong("subject", 601)),
            ),
            ("fi", good("s"), name("fi")),
            ("-fic", good("s"), name("-fic")),
            ("f.c", good("s"), name("f.c")),
            ("fic", json!({}), empty("issuer")),
            ("fic", body("", "s", &one), empty("issuer")),
            ("fic", body("https://i", "", &one), empty("subject")),
            ("fic", body("http://i", "s", &one), issuer("http://i")),
            ("fic", body("https://", "s", &one), issuer("https://")),
            (
                "fic",
                body("https://i", "s", &json!([])),
                Some(Invalid::Audiences),
            ),
            (
                "fic",
                body("https://i", "s", &json!(["a", "b"])),
                Some(Invalid::Audiences),
            ),
            (
                "fic",
                body("https://i", "s", &json!("a")),
                Some(Invalid::Audiences),
            ),
        ];
        for (name, body, expected) in table {
            assert_eq!(
                FederatedCredential::parse(name, &body, false).err(),
                expected,
                "{name} {body}"
            );
        }
    }
}
