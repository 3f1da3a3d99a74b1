//! The Azure resources that setup reads and makes, with the fields it uses.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// A resource group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ResourceGroup {
    /// Its name, in the case it was made with.
    pub name: String,
    /// Where its metadata lives, as Azure normalises it (`westus2`).
    pub location: String,
}

/// Any resource, as a list of a group's content has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// Its type, as `Microsoft.ManagedIdentity/userAssignedIdentities`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.kind)
    }
}

/// A user-assigned managed identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedIdentity {
    /// Where it lives, as Azure normalises it.
    pub location: String,
    /// The id that tokens are asked for; never empty.
    pub client_id: String,
    /// The tenant that issues its tokens; never empty.
    pub tenant_id: String,
    /// Its service principal, which roles are given to; never empty.
    pub principal_id: String,
}

/// What a federated credential trusts. Issuer and subject are compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Trust {
    /// The issuer, its trailing slash and case kept.
    pub issuer: String,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: String,
    /// The one audience.
    pub audience: String,
}

/// A federated credential of an identity, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FederatedCredential {
    /// Its name.
    pub name: String,
    /// The issuer it trusts.
    pub issuer: String,
    /// The subject it trusts; absent where an expression stands in for it.
    pub subject: Option<String>,
    /// The audiences it trusts; Azure allows one.
    pub audiences: Vec<String>,
}

/// A role that can be given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RoleDefinition {
    /// Its id; the last segment is a GUID, the same at every scope.
    pub id: String,
}

/// A role given to a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssignment {
    /// Its name, a GUID.
    pub name: String,
    /// Where it holds.
    pub scope: String,
    /// The role.
    pub role_definition_id: String,
}

/// An AKS cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedCluster {
    /// Its OIDC issuer; absent while the issuer is not enabled.
    pub issuer: Option<String>,
}

#[derive(Deserialize)]
struct Wire<P> {
    #[serde(default)]
    name: String,
    #[serde(default)]
    location: String,
    properties: P,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentityProperties {
    #[serde(deserialize_with = "filled")]
    client_id: String,
    #[serde(deserialize_with = "filled")]
    tenant_id: String,
    #[serde(deserialize_with = "filled")]
    principal_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssignmentProperties {
    scope: String,
    role_definition_id: String,
}

#[derive(Deserialize)]
struct CredentialProperties {
    issuer: String,
    subject: Option<String>,
    #[serde(default)]
    audiences: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterProperties {
    oidc_issuer_profile: Option<OidcIssuerProfile>,
}

#[derive(Deserialize)]
struct OidcIssuerProfile {
    #[serde(rename = "issuerURL")]
    issuer_url: Option<String>,
}

// An empty id would end up in an annotation and break every pod of the ServiceAccount.
fn filled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Err(serde::de::Error::custom("an id that must not be empty is"));
    }
    Ok(text)
}

impl<'de> Deserialize<'de> for ManagedIdentity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::<IdentityProperties>::deserialize(deserializer)?;
        Ok(Self {
            location: wire.location,
            client_id: wire.properties.client_id,
            tenant_id: wire.properties.tenant_id,
            principal_id: wire.properties.principal_id,
        })
    }
}

impl<'de> Deserialize<'de> for RoleAssignment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::<AssignmentProperties>::deserialize(deserializer)?;
        Ok(Self {
            name: wire.name,
            scope: wire.properties.scope,
            role_definition_id: wire.properties.role_definition_id,
        })
    }
}

impl<'de> Deserialize<'de> for FederatedCredential {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::<CredentialProperties>::deserialize(deserializer)?;
        Ok(Self {
            name: wire.name,
            issuer: wire.properties.issuer,
            subject: wire
                .properties
                .subject
                .filter(|subject| !subject.is_empty()),
            audiences: wire.properties.audiences,
        })
    }
}

impl<'de> Deserialize<'de> for ManagedCluster {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::<ClusterProperties>::deserialize(deserializer)?;
        let profile = wire.properties.oidc_issuer_profile;
        Ok(Self {
            issuer: profile
                .and_then(|profile| profile.issuer_url)
                .filter(|issuer| !issuer.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{FederatedCredential, ManagedCluster, ManagedIdentity};

    #[test]
    fn identity_needs_its_ids() {
        let with = |client: &str, tenant: &str| {
            serde_json::from_value::<ManagedIdentity>(json!({
                "name": "a", "location": "westus2",
                "properties": {"clientId": client, "tenantId": tenant, "principalId": "p"},
            }))
        };
        assert_eq!(with("c", "t").unwrap().client_id, "c");
        assert!(with("", "t").is_err());
        assert!(with("c", "").is_err());
    }

    #[test]
    fn credential_without_subject_is_read() {
        let credential: FederatedCredential = serde_json::from_value(json!({
            "name": "flexible", "properties": {"issuer": "https://i/", "audiences": ["a"]},
        }))
        .unwrap();
        assert_eq!(credential.subject, None);
    }

    #[test]
    fn issuer_of_a_cluster_is_kept_byte_for_byte() {
        let table = [
            (
                json!({"oidcIssuerProfile": {"enabled": true, "issuerURL": "https://I/x/"}}),
                Some("https://I/x/"),
            ),
            (json!({"oidcIssuerProfile": {"enabled": false}}), None),
            (json!({}), None),
        ];
        for (properties, issuer) in table {
            let cluster: ManagedCluster =
                serde_json::from_value(json!({"properties": properties})).unwrap();
            assert_eq!(cluster.issuer.as_deref(), issuer);
        }
    }
}
