//! The token request: from the form's fields to one client, one proof and one audience.

use serde::Deserialize;
use uuid::Uuid;

use super::error::Aadsts;
use crate::TENANT;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The form as it came. No `Debug`: it holds the client's secret.
#[derive(Default, Deserialize)]
pub(crate) struct TokenRequest {
    grant_type: Option<String>,
    pub(crate) client_id: Option<String>,
    client_secret: Option<String>,
    client_assertion: Option<String>,
    client_assertion_type: Option<String>,
    pub(crate) scope: Option<String>,
    resource: Option<String>,
}

/// What a well-formed request asks for.
pub(crate) struct Demand<'r> {
    pub(crate) client_id: &'r str,
    pub(crate) proof: Proof<'r>,
    /// Audience of the token: the scope without `/.default`.
    pub(crate) audience: &'r str,
}

/// How the client proves who it is.
pub(crate) enum Proof<'r> {
    Secret(&'r str),
    Assertion(&'r str),
}

fn present(field: Option<&String>) -> Option<&str> {
    field.map(String::as_str).filter(|text| !text.is_empty())
}

impl TokenRequest {
    /// Which proof came, as the journal calls it.
    pub(crate) fn grant(&self) -> Option<&'static str> {
        if self.client_assertion.is_some() {
            Some("client_assertion")
        } else if self.client_secret.is_some() {
            Some("client_secret")
        } else {
            None
        }
    }

    /// Reads the fields in the order in which Entra complains of them: grant, client, scope, proof.
    pub(crate) fn demand(&self) -> Result<Demand<'_>, Aadsts> {
        match present(self.grant_type.as_ref()) {
            None => return Err(Aadsts::MissingParameter("grant_type")),
            Some("client_credentials") => {}
            Some(other) => return Err(Aadsts::UnsupportedGrant(other.to_owned())),
        }
        let client_id =
            present(self.client_id.as_ref()).ok_or(Aadsts::MissingParameter("client_id"))?;
        if self.resource.is_some() {
            return Err(Aadsts::ResourceParameter);
        }
        let scope = present(self.scope.as_ref()).ok_or(Aadsts::MissingParameter("scope"))?;
        let audience = audience(scope)?;
        let proof = match (
            present(self.client_assertion.as_ref()),
            present(self.client_secret.as_ref()),
        ) {
            (Some(assertion), _) => match present(self.client_assertion_type.as_ref()) {
                Some(JWT_BEARER) => Proof::Assertion(assertion),
                _ => return Err(Aadsts::MissingParameter("client_assertion_type")),
            },
            (None, Some(secret)) => Proof::Secret(secret),
            (None, None) => return Err(Aadsts::MissingCredential),
        };
        Ok(Demand {
            client_id,
            proof,
            audience,
        })
    }
}

/// The one resource of a scope, exactly `/.default` stripped: `https://a//.default` is the audience `https://a/`.
fn audience(scope: &str) -> Result<&str, Aadsts> {
    // The Go SDK adds these to every scope.
    let mut scopes = scope
        .split_ascii_whitespace()
        .filter(|scope| !matches!(*scope, "openid" | "profile" | "offline_access" | "email"));
    match (
        scopes
            .next()
            .and_then(|scope| scope.strip_suffix("/.default")),
        scopes.next(),
    ) {
        (Some(audience), None) if !audience.is_empty() => Ok(audience),
        _ => Err(Aadsts::InvalidScope(scope.to_owned())),
    }
}

/// Whether the tenant has a principal for this resource: any `https://`, `api://` or GUID but the denied.
pub(crate) fn known_resource(audience: &str, denied: &[String]) -> Result<(), Aadsts> {
    let resource = audience.trim_end_matches('/');
    let shaped = ["https://", "api://"]
        .iter()
        .any(|scheme| resource.len() > scheme.len() && resource.starts_with(scheme))
        || resource.parse::<Uuid>().is_ok();
    if shaped && !denied.iter().any(|no| no.trim_end_matches('/') == resource) {
        return Ok(());
    }
    Err(Aadsts::ResourceNotFound {
        resource: audience.to_owned(),
        tenant: TENANT,
    })
}

#[cfg(test)]
mod tests {
    use super::{audience, known_resource};

    #[test]
    fn audiences() {
        let table = [
            (
                "https://vault.azure.net/.default",
                Some("https://vault.azure.net"),
            ),
            (
                "https://management.azure.com//.default",
                Some("https://management.azure.com/"),
            ),
            (
                "https://a/.default openid offline_access profile",
                Some("https://a"),
            ),
            ("api://x/.default", Some("api://x")),
            ("https://a/.default https://b/.default", None),
            ("https://a/user.read", None),
            ("/.default", None),
            ("openid", None),
        ];
        for (scope, expected) in table {
            assert_eq!(audience(scope).ok(), expected, "{scope}");
        }
    }

    #[test]
    fn resources() {
        let denied = ["https://unknown.example.test".to_owned()];
        let table = [
            ("https://vault.azure.net", true),
            ("api://own", true),
            ("00000003-0000-0000-c000-000000000000", true),
            ("https://unknown.example.test", false),
            ("https://unknown.example.test/", false),
            ("vault", false),
            ("https://", false),
        ];
        for (resource, known) in table {
            assert_eq!(
                known_resource(resource, &denied).is_ok(),
                known,
                "{resource}"
            );
        }
    }
}
