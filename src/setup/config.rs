//! The config file: what is wanted, read and checked before anything is looked at.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::UserMessageFormatter;
use uuid::Uuid;

use super::desired::{
    CREDENTIALS_PER_IDENTITY, Desired, DesiredIdentity, IssuerSource, LIMIT_OPTIONS,
    ServiceAccountId,
};
use super::legal::{
    AKS_NAME, AUDIENCE, GROUP_NAME, IDENTITY_NAME, ISSUER, LOCATION, NAMESPACE, Rule,
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
        /// The field's path.
        field: String,
        /// The value.
        value: String,
        /// What would be.
        legal: &'static str,
    },
    /// A name stands twice.
    #[error("{field}: {value} is there already, at {first}: {why}")]
    Duplicate {
        /// The second one's path.
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
        /// The list's path.
        field: String,
        /// Its length.
        count: usize,
    },
    /// A field of the contract that this version does not carry out.
    #[error(
        "{field}: role assignments are not supported yet: remove the field, \
         and give the role with `az role assignment create`"
    )]
    RoleAssignments {
        /// The field's path.
        field: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    subscription: String,
    resource_group: FileGroup,
    issuer: FileIssuer,
    #[serde(default = "default_audience")]
    audience: String,
    identities: Vec<FileIdentity>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGroup {
    name: String,
    location: String,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "issuer: use auto, an https URL, or {aks: {resourceGroup: ..., name: ...}}"
)]
enum FileIssuer {
    Text(String),
    Aks(FileAksIssuer),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAksIssuer {
    aks: FileAks,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileAks {
    resource_group: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileIdentity {
    name: String,
    service_accounts: Vec<ServiceAccountId>,
    role_assignments: Option<IgnoredAny>,
}

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
/// When it is not legal; the message names the line or the field, and what would be legal.
pub fn parse(text: &str) -> Result<Desired, ConfigError> {
    let file: File = serde_saphyr::from_str(text).map_err(|error| {
        let error = error.without_snippet();
        ConfigError::Syntax(error.render_with_formatter(&UserMessageFormatter))
    })?;
    let subscription = Uuid::parse_str(&file.subscription).map_err(|_| {
        illegal(
            "subscription",
            &file.subscription,
            "use the subscription's GUID",
        )
    })?;
    let group = |field: &str, name: String| {
        check(field, &name, &GROUP_NAME)?;
        Ok::<_, ConfigError>(GroupId { subscription, name })
    };
    let location = file.resource_group.location;
    check("resourceGroup.location", &location, &LOCATION)?;
    check("audience", &file.audience, &AUDIENCE)?;
    let issuer = match file.issuer {
        FileIssuer::Text(text) if text == "auto" => IssuerSource::Cluster,
        FileIssuer::Text(url) => {
            check("issuer", &url, &ISSUER)?;
            IssuerSource::Url(url)
        }
        FileIssuer::Aks(FileAksIssuer { aks }) => {
            check("issuer.aks.name", &aks.name, &AKS_NAME)?;
            IssuerSource::Aks {
                group: group("issuer.aks.resourceGroup", aks.resource_group)?,
                name: aks.name,
            }
        }
    };
    Ok(Desired {
        group: group("resourceGroup.name", file.resource_group.name)?,
        location,
        issuer,
        audience: file.audience,
        identities: identities(file.identities)?,
    })
}

fn identities(file: Vec<FileIdentity>) -> Result<Vec<DesiredIdentity>, ConfigError> {
    if file.is_empty() {
        return Err(illegal("identities", "[]", "name at least one identity"));
    }
    let mut names = HashMap::new();
    let mut accounts = HashMap::new();
    for (index, identity) in file.iter().enumerate() {
        let at = format!("identities[{index}]");
        let field = format!("{at}.name");
        check(&field, &identity.name, &IDENTITY_NAME)?;
        let why = "list each identity once, with all its service accounts";
        // Azure keeps no case in names.
        once(&mut names, field, identity.name.to_lowercase(), why)?;
        if identity.role_assignments.is_some() {
            let field = format!("{at}.roleAssignments");
            return Err(ConfigError::RoleAssignments { field });
        }
        check_service_accounts(&at, &identity.service_accounts, &mut accounts)?;
    }
    Ok(file
        .into_iter()
        .map(|identity| DesiredIdentity {
            name: identity.name,
            service_accounts: identity.service_accounts,
        })
        .collect())
}

fn check_service_accounts(
    at: &str,
    list: &[ServiceAccountId],
    seen: &mut HashMap<String, String>,
) -> Result<(), ConfigError> {
    for (index, account) in list.iter().enumerate() {
        let field = format!("{at}.serviceAccounts[{index}]");
        check(
            &format!("{field}.namespace"),
            &account.namespace,
            &NAMESPACE,
        )?;
        check(&format!("{field}.name"), &account.name, &SERVICE_ACCOUNT)?;
        let why = "a service account has one identity, named in its annotation";
        once(seen, field, account.to_string(), why)?;
    }
    if list.len() > CREDENTIALS_PER_IDENTITY {
        return Err(ConfigError::TooMany {
            field: format!("{at}.serviceAccounts"),
            count: list.len(),
        });
    }
    Ok(())
}

fn once(
    seen: &mut HashMap<String, String>,
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

fn check(field: &str, value: &str, rule: &Rule) -> Result<(), ConfigError> {
    if (rule.allows)(value) {
        Ok(())
    } else {
        Err(illegal(field, value, rule.words))
    }
}

fn illegal(field: &str, value: &str, legal: &'static str) -> ConfigError {
    ConfigError::Illegal {
        field: field.to_owned(),
        value: value.to_owned(),
        legal,
    }
}

fn default_audience() -> String {
    DEFAULT_AUDIENCE.to_owned()
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
            ("11111111-", "", &["subscription", "GUID"]),
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
            ("idA", "ab", &["identities[0].name", "\"ab\"", "3 to 128"]),
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
                "    roleAssignments: []\n    serviceAccounts:",
                &[
                    "identities[0].roleAssignments",
                    "not supported yet",
                    "az role assignment create",
                ],
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
