//! The config file: what is wanted, read and checked before anything is looked at.

use std::collections::HashMap;
use std::path::Path;

use serde_saphyr::{Spanned, UserMessageFormatter};
use uuid::Uuid;

use super::config_file::{
    File, FileAksIssuer, FileGroup, FileIdentity, FileIssuer, FileRole, FileServiceAccount, Text,
};
use super::desired::{
    CREDENTIALS_PER_IDENTITY, Desired, DesiredIdentity, DesiredRole, IssuerSource, LIMIT_OPTIONS,
    ServiceAccountId,
};
use super::legal::{
    AKS_NAME, AUDIENCE, GROUP_NAME, IDENTITY_NAME, ISSUER, LOCATION, NAMESPACE, ROLE, Rule, SCOPE,
    SERVICE_ACCOUNT,
};
use crate::azure::arm::GroupId;
use crate::names::DEFAULT_AUDIENCE;

/// A config that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error(transparent)]
    Unreadable(#[from] std::io::Error),
    /// The file is no YAML or JSON, or has an unknown, missing or ill-typed field.
    #[error("{0}")]
    Syntax(String),
    /// A value is none of the legal ones.
    #[error("{field}: {value:?} is not legal: {legal}")]
    Illegal {
        /// The field's path, with its line.
        field: String,
        /// The value.
        value: String,
        /// What would be.
        legal: &'static str,
    },
    /// A name stands twice.
    #[error("{field}: {value} is there already, at {first}: {why}")]
    Duplicate {
        /// The second one's path, with its line.
        field: String,
        /// The name.
        value: String,
        /// The first one's path.
        first: String,
        /// Why that can't be.
        why: &'static str,
    },
    /// An identity trusts more ServiceAccounts than Azure allows.
    #[error(
        "{field}: {count} service accounts, but an identity has at most {CREDENTIALS_PER_IDENTITY} \
         federated credentials: {LIMIT_OPTIONS}"
    )]
    TooMany {
        /// The list's path, with its line.
        field: String,
        /// Its length.
        count: usize,
    },
}

/// The first place of each name.
type Places = HashMap<String, String>;

/// Reads the config at `path`.
///
/// # Errors
/// When it can't be read or is not legal.
pub fn read(path: &Path) -> Result<Desired, ConfigError> {
    let text = std::fs::read_to_string(path)?;
    parse(&text)
}

/// Reads a config from YAML or JSON.
///
/// # Errors
/// When it is not legal; the message names line and field, and what would be legal.
pub fn parse(text: &str) -> Result<Desired, ConfigError> {
    let file: File = serde_saphyr::from_str(text).map_err(|error| {
        let error = error.without_snippet();
        ConfigError::Syntax(error.render_with_formatter(&UserMessageFormatter))
    })?;
    let subscription = Uuid::parse_str(&file.subscription.value).map_err(|_| {
        let field = at("subscription", &file.subscription);
        illegal(
            field,
            &file.subscription.value,
            "use the subscription's GUID",
        )
    })?;
    let FileGroup { name, location } = file.resource_group;
    let audience = match file.audience {
        Some(audience) => check("audience", audience, &AUDIENCE)?,
        None => DEFAULT_AUDIENCE.to_owned(),
    };
    Ok(Desired {
        group: GroupId {
            subscription,
            name: check("resourceGroup.name", name, &GROUP_NAME)?,
        },
        location: check("resourceGroup.location", location, &LOCATION)?,
        issuer: issuer(file.issuer, subscription)?,
        audience,
        identities: identities(file.identities)?,
    })
}

fn issuer(file: Spanned<FileIssuer>, subscription: Uuid) -> Result<IssuerSource, ConfigError> {
    // What is within has no place of its own: it may be read twice.
    let placed = |value| Spanned::new(value, file.referenced, file.defined);
    match file.value {
        FileIssuer::Text(text) if text == "auto" => Ok(IssuerSource::Cluster),
        FileIssuer::Text(url) => check("issuer", placed(url), &ISSUER).map(IssuerSource::Url),
        FileIssuer::Aks(FileAksIssuer { aks }) => {
            let group = placed(aks.resource_group);
            Ok(IssuerSource::Aks {
                name: check("issuer.aks.name", placed(aks.name), &AKS_NAME)?,
                group: GroupId {
                    subscription,
                    name: check("issuer.aks.resourceGroup", group, &GROUP_NAME)?,
                },
            })
        }
    }
}

fn identities(file: Spanned<Vec<FileIdentity>>) -> Result<Vec<DesiredIdentity>, ConfigError> {
    if file.value.is_empty() {
        let field = at("identities", &file);
        return Err(illegal(field, "[]", "name at least one identity"));
    }
    let mut names = Places::new();
    let mut accounts = Places::new();
    let mut identities = Vec::new();
    for (index, identity) in file.value.into_iter().enumerate() {
        let path = format!("identities[{index}]");
        let field = format!("{path}.name");
        let place = at(&field, &identity.name);
        let name = check(&field, identity.name, &IDENTITY_NAME)?;
        let why = "list each identity once, with all its service accounts";
        // Azure keeps no case in names.
        once(&mut names, place, name.to_lowercase(), why)?;
        identities.push(DesiredIdentity {
            name,
            service_accounts: service_accounts(&path, identity.service_accounts, &mut accounts)?,
            roles: roles(&path, identity.role_assignments)?,
        });
    }
    Ok(identities)
}

fn service_accounts(
    path: &str,
    file: Spanned<Vec<FileServiceAccount>>,
    seen: &mut Places,
) -> Result<Vec<ServiceAccountId>, ConfigError> {
    let path = format!("{path}.serviceAccounts");
    let list = at(&path, &file);
    let mut accounts = Vec::new();
    for (index, account) in file.value.into_iter().enumerate() {
        let field = format!("{path}[{index}]");
        let place = at(&field, &account.name);
        let account = ServiceAccountId {
            namespace: check(&format!("{field}.namespace"), account.namespace, &NAMESPACE)?,
            name: check(&format!("{field}.name"), account.name, &SERVICE_ACCOUNT)?,
        };
        let why = "a service account has one identity, named in its annotation";
        once(seen, place, account.to_string(), why)?;
        accounts.push(account);
    }
    match accounts.len() {
        count if count > CREDENTIALS_PER_IDENTITY => {
            Err(ConfigError::TooMany { field: list, count })
        }
        _ => Ok(accounts),
    }
}

fn roles(path: &str, file: Vec<FileRole>) -> Result<Vec<DesiredRole>, ConfigError> {
    let mut seen = Places::new();
    let mut roles = Vec::new();
    for (index, role) in file.into_iter().enumerate() {
        let field = format!("{path}.roleAssignments[{index}]");
        let place = at(&field, &role.role);
        let role = DesiredRole {
            scope: check(&format!("{field}.scope"), role.scope, &SCOPE)?,
            role: check(&format!("{field}.role"), role.role, &ROLE)?,
        };
        let value = format!("{} at {}", role.role, role.scope);
        let why = "a role is given once at a scope";
        once(&mut seen, place, value.to_lowercase(), why)?;
        roles.push(role);
    }
    Ok(roles)
}

/// A field and its line, as messages name it.
fn at<T>(field: &str, value: &Spanned<T>) -> String {
    format!("line {}: {field}", value.referenced.line())
}

fn once(
    seen: &mut Places,
    field: String,
    value: String,
    why: &'static str,
) -> Result<(), ConfigError> {
    match seen.get(&value) {
        Some(first) => Err(ConfigError::Duplicate {
            first: first.clone(),
            field,
            value,
            why,
        }),
        None => {
            seen.insert(value, field);
            Ok(())
        }
    }
}

fn check(field: &str, text: Text, rule: &Rule) -> Result<String, ConfigError> {
    if (rule.allows)(&text.value) {
        Ok(text.value)
    } else {
        Err(illegal(at(field, &text), &text.value, rule.words))
    }
}

fn illegal(field: String, value: &str, legal: &'static str) -> ConfigError {
    ConfigError::Illegal {
        field,
        value: value.to_owned(),
        legal,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::setup::desired::IssuerSource;

    const GOOD: &str = "
subscription: 11111111-2222-3333-4444-555555555555
resourceGroup: {name: rg, location: WestUS2}
issuer: auto
identities:
  - name: idA
    serviceAccounts:
      - {namespace: ns, name: sa}
";

    #[test]
    fn good() {
        let desired = parse(GOOD).unwrap();
        assert_eq!(desired.audience, "api://AzureADTokenExchange");
        assert_eq!(desired.issuer, IssuerSource::Cluster);
        assert_eq!(
            desired.identities[0].service_accounts[0].subject(),
            "system:serviceaccount:ns:sa"
        );
        let json = r#"{"subscription": "11111111-2222-3333-4444-555555555555",
            "resourceGroup": {"name": "rg", "location": "WestUS2"}, "issuer": "auto",
            "identities": [{"name": "idA", "serviceAccounts": [{"namespace": "ns", "name": "sa"}]}]}"#;
        assert_eq!(parse(json).unwrap(), desired);
    }

    #[test]
    fn issuer_url_is_kept_byte_for_byte() {
        for url in [
            "https://issuer.test",
            "https://issuer.test/",
            "https://ISSUER.test/A/",
        ] {
            let desired = parse(&GOOD.replace("auto", url)).unwrap();
            assert_eq!(desired.issuer, IssuerSource::Url(url.to_owned()));
        }
    }

    #[test]
    fn refusals_name_the_place_and_what_is_legal() {
        let long = "x".repeat(91);
        let many: String = (0..21)
            .map(|n| format!("      - {{namespace: ns, name: s{n}}}\n"))
            .collect();
        let again = "  - name: IDA\n    serviceAccounts: []\n";
        let stolen = "  - name: idB\n    serviceAccounts: [{namespace: ns, name: sa}]\n";
        // what is replaced, by what, and the parts of the refusal
        let table: &[(&str, &str, &[&str])] = &[
            (
                "issuer:",
                "isuer:",
                &["line 4", "unknown field `isuer`", "issuer"],
            ),
            (
                "issuer: auto",
                "issuer: auto\nissuer: auto",
                &[
                    "line 5",
                    "duplicate mapping key `issuer` is not allowed here",
                ],
            ),
            (
                "      - {namespace: ns, name: sa}\n",
                "      - {namespace: ns, name: sa}\n---\na: b\n",
                &["line 10", "single YAML document"],
            ),
            ("issuer: auto\n", "", &["missing field `issuer`"]),
            (
                "{name: rg,",
                "{name: rg, tags: {},",
                &["line 3", "unknown field `tags`"],
            ),
            ("11111111-", "", &["line 2: subscription", "GUID"]),
            (
                "name: rg",
                &format!("name: {long}"),
                &["resourceGroup.name", "1 to 90"],
            ),
            (
                "name: rg",
                "name: rg.",
                &["resourceGroup.name", "\"rg.\"", "full stop"],
            ),
            ("WestUS2", "''", &["resourceGroup.location"]),
            (
                "auto",
                "http://plain.test",
                &["issuer", "\"http://plain.test\"", "https"],
            ),
            ("auto", "https://i/?q=1#f", &["issuer", "query"]),
            ("auto", "https://u:pw@i/", &["issuer", "user"]),
            ("auto", "'https://i/ a'", &["issuer", "\"https://i/ a\""]),
            ("auto", "'https://i/\"'", &["issuer"]),
            (
                "auto",
                "auto\naudience: \"a b\\n\"",
                &["audience", "white space"],
            ),
            ("WestUS2", "' '", &["resourceGroup.location", "\" \""]),
            ("WestUS2", "'WestUS2 '", &["resourceGroup.location"]),
            ("auto", "automatic", &["issuer", "\"automatic\"", "auto"]),
            (
                "auto",
                "{aks: {name: x}}",
                &["line 4", "{aks: {resourceGroup: ..., name: ...}}"],
            ),
            ("auto", "auto\naudience: ''", &["audience", "1 to 600"]),
            (
                "idA",
                "ab",
                &["line 6: identities[0].name", "\"ab\"", "3 to 128"],
            ),
            (
                "idA",
                "-abc",
                &["identities[0].name", "letter or digit first"],
            ),
            (
                "namespace: ns",
                "namespace: n.s",
                &["identities[0].serviceAccounts[0].namespace", "DNS label"],
            ),
            (
                "name: sa",
                "name: Sa",
                &[
                    "identities[0].serviceAccounts[0].name",
                    "\"Sa\"",
                    "lower-case",
                ],
            ),
            (
                "      - {namespace: ns, name: sa}\n",
                &many,
                &[
                    "identities[0].serviceAccounts",
                    "21 service accounts",
                    "several identities",
                ],
            ),
            (
                "identities:\n",
                &format!("identities:\n{again}"),
                &["identities[1].name", "identities[0].name"],
            ),
            (
                "identities:\n",
                &format!("identities:\n{stolen}"),
                &[
                    "identities[1].serviceAccounts[0]: ns/sa",
                    "identities[0].serviceAccounts[0]",
                    "one identity",
                ],
            ),
            (
                "    serviceAccounts:",
                "    roleAssignments: [{scope: walk, role: Reader}]\n    serviceAccounts:",
                &[
                    "line 7: identities[0].roleAssignments[0].scope",
                    "\"walk\"",
                    "/subscriptions/GUID",
                ],
            ),
            (
                "    serviceAccounts:",
                "    roleAssignments: [{scope: /subscriptions/s, role: Reader}]\n    serviceAccounts:",
                &["roleAssignments[0].scope", "ARM id"],
            ),
            (
                "    serviceAccounts:",
                "    roleAssignments: [{scope: /subscriptions/11111111-2222-3333-4444-555555555555/, role: Reader}]\n    serviceAccounts:",
                &["roleAssignments[0].scope", "slash at the end"],
            ),
            (
                "    serviceAccounts:",
                "    roleAssignments: [{scope: /subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/a/../b, role: Reader}]\n    serviceAccounts:",
                &["roleAssignments[0].scope"],
            ),
            (
                "    serviceAccounts:",
                "    roleAssignments: [{scope: /subscriptions/11111111-2222-3333-4444-555555555555, role: ''}]\n    serviceAccounts:",
                &[
                    "line 7: identities[0].roleAssignments[0].role",
                    "or its GUID",
                ],
            ),
            (
                "    serviceAccounts:",
                "    roleAssignments: [{scope: /subscriptions/11111111-2222-3333-4444-555555555555, role: Reader},\n      {scope: /SubSCRIPTIONS/11111111-2222-3333-4444-555555555555, role: reader}]\n    serviceAccounts:",
                &[
                    "line 8: identities[0].roleAssignments[1]",
                    "line 7: identities[0].roleAssignments[0]",
                    "once",
                ],
            ),
            (
                "    serviceAccounts:",
                "    roleAssignments: [{scope: /subscriptions/11111111-2222-3333-4444-555555555555}]\n    serviceAccounts:",
                &["line 7", "missing field `role`"],
            ),
        ];
        for (from, to, parts) in table {
            assert!(GOOD.contains(from), "{from}");
            let said = parse(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(!said.contains('\n'), "one line: {said}");
            for part in *parts {
                assert!(said.contains(part), "{part:?} not in: {said}");
            }
        }
    }
}
