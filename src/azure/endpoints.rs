//! Where a cloud's services are: known by its name, or told by its Resource Manager.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::address::{Address, BadAddress};
use crate::cloud::{Cloud, UnknownCloud};
use crate::reason::reason;

/// The page that a Resource Manager tells it on, without sign-in.
const PAGE: &str = "metadata/endpoints?api-version=2022-09-01";

/// Which cloud is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudChoice {
    /// One of Microsoft's.
    Known(Cloud),
    /// Another one, by its Resource Manager's address.
    Custom(Address),
}

/// Text that names no cloud.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadCloud {
    /// No name of one.
    #[error("{0}, or the https:// address of a custom cloud's Resource Manager")]
    Unknown(#[from] UnknownCloud),
    /// No address either.
    #[error(transparent)]
    Address(#[from] BadAddress),
}

/// Where a cloud's services are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Resource Manager.
    pub resource_manager: Address,
    /// The audience of its tokens; no slash at the end.
    pub audience: String,
    /// Microsoft Entra.
    pub authority_host: Address,
}

/// A custom cloud does not tell where its services are.
#[derive(Debug, thiserror::Error)]
pub enum EndpointsError {
    /// No answer came.
    #[error("cloud {cloud}: no answer: {reason}")]
    NoAnswer {
        /// The address that was asked.
        cloud: Address,
        /// Why.
        reason: String,
    },
    /// Something else answered.
    #[error(
        "cloud {cloud}: GET /{PAGE} answered HTTP {status}: is this a Resource Manager's address?"
    )]
    Refused {
        /// The address that was asked.
        cloud: Address,
        /// The HTTP status.
        status: u16,
    },
    /// The answer tells something else.
    #[error("cloud {cloud}: GET /{PAGE} does not tell where its services are: {reason}")]
    Unreadable {
        /// The address that was asked.
        cloud: Address,
        /// What is missing or wrong.
        reason: String,
    },
    /// Sign-in is elsewhere than at Entra.
    #[error(
        "cloud {cloud}: its identity provider is {provider}, but federated credentials are Microsoft Entra's (AAD)"
    )]
    NoEntra {
        /// The address that was asked.
        cloud: Address,
        /// What it has.
        provider: String,
    },
    /// A known cloud's own address is malformed.
    #[error(transparent)]
    Address(#[from] BadAddress),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_manager: Option<String>,
    authentication: Authentication,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authentication {
    login_endpoint: String,
    audiences: Vec<String>,
    identity_provider: Option<String>,
}

impl CloudChoice {
    /// Where its services are; a custom one is asked.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn endpoints(&self, http: &reqwest::Client) -> Result<Endpoints, EndpointsError> {
        let cloud = match self {
            Self::Known(cloud) => return Ok(Endpoints::of(*cloud)?),
            Self::Custom(cloud) => cloud.clone(),
        };
        let no_answer = |error: reqwest::Error| EndpointsError::NoAnswer {
            cloud: cloud.clone(),
            reason: reason(&error.without_url()),
        };
        let page = http.get(format!("{cloud}/{PAGE}"));
        let answer = page.send().await.map_err(no_answer)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(no_answer)?;
        if !status.is_success() {
            let status = status.as_u16();
            return Err(EndpointsError::Refused { cloud, status });
        }
        Endpoints::read(&cloud, &body)
    }
}

impl Endpoints {
    fn of(cloud: Cloud) -> Result<Self, BadAddress> {
        Ok(Self {
            resource_manager: cloud.resource_manager().parse()?,
            audience: cloud.resource_manager().to_owned(),
            authority_host: cloud.authority_host().parse()?,
        })
    }

    /// Reads what `cloud` tells.
    fn read(cloud: &Address, body: &[u8]) -> Result<Self, EndpointsError> {
        let unreadable = |reason: String| EndpointsError::Unreadable {
            cloud: cloud.clone(),
            reason,
        };
        let address = |field: &str, text: &str| -> Result<Address, EndpointsError> {
            let parsed = text.parse::<Address>();
            parsed.map_err(|error| unreadable(format!("{field} {error}")))
        };
        // Azure Stack's begins with a byte order mark.
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        let metadata: Metadata =
            serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
        let Authentication {
            login_endpoint,
            audiences,
            identity_provider,
        } = metadata.authentication;
        if let Some(provider) = identity_provider.filter(|one| !one.eq_ignore_ascii_case("AAD")) {
            let cloud = cloud.clone();
            return Err(EndpointsError::NoEntra { cloud, provider });
        }
        let audience = audiences.first().map(|first| first.trim_end_matches('/'));
        let audience = audience.filter(|audience| !audience.is_empty());
        Ok(Self {
            resource_manager: match metadata.resource_manager {
                Some(text) => address("resourceManager", &text)?,
                None => cloud.clone(),
            },
            audience: audience
                .ok_or_else(|| unreadable("authentication.audiences is empty".to_owned()))?
                .to_owned(),
            authority_host: address("authentication.loginEndpoint", &login_endpoint)?,
        })
    }
}

impl Default for CloudChoice {
    fn default() -> Self {
        Self::Known(Cloud::default())
    }
}

impl FromStr for CloudChoice {
    type Err = BadCloud;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.contains("://") {
            true => Ok(Self::Custom(text.parse()?)),
            false => Ok(Self::Known(text.parse()?)),
        }
    }
}

impl fmt::Display for CloudChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(cloud) => cloud.fmt(f),
            Self::Custom(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CloudChoice, Endpoints};

    #[test]
    fn choices() {
        let unknown = "unknown cloud \"mars\": use public, usgovernment or china (or AzurePublicCloud, \
             AzureUSGovernmentCloud, AzureChinaCloud), or the https:// address of a custom cloud's Resource Manager";
        let plain = "\"http://arm.test\": must be https:// (http:// only on loopback)";
        let table = [
            ("public", Ok("public")),
            ("AzureUSGovernment", Ok("usgovernment")),
            ("https://arm.test/", Ok("https://arm.test")),
            ("HTTPS://arm.test:30024", Ok("https://arm.test:30024")),
            ("mars", Err(unknown)),
            ("http://arm.test", Err(plain)),
        ];
        for (text, expected) in table {
            let choice = text.parse::<CloudChoice>();
            let shown = choice.map(|choice| choice.to_string());
            let shown = shown.map_err(|error| error.to_string());
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(shown, expected, "{text}");
        }
    }

    #[test]
    fn pages() {
        let good = r#"{"name": "Stack", "resourceManager": "https://arm.test/", "authentication": {"tenant": "common",
            "loginEndpoint": "https://login.test/", "audiences": ["https://audience.test/guid/", "x"],
            "identityProvider": "AAD"}}"#;
        let told = "https://arm.test https://audience.test/guid https://login.test";
        let page = "cloud https://given.test: GET /metadata/endpoints?api-version=2022-09-01";
        let bad = |reason: &str| format!("{page} does not tell where its services are: {reason}");
        let table = [
            (good.to_owned(), told.to_owned()),
            (format!("\u{feff}{good}"), told.to_owned()),
            (
                good.replace("\"resourceManager\": \"https://arm.test/\", ", ""),
                told.replace("arm", "given"),
            ),
            (good.replace("\"AAD\"", "null"), told.to_owned()),
            (
                good.replace("AAD", "ADFS"),
                "cloud https://given.test: its identity provider is ADFS, but federated credentials are Microsoft \
                 Entra's (AAD)"
                    .to_owned(),
            ),
            (
                good.replace("\"https://audience.test/guid/\", \"x\"", ""),
                bad("authentication.audiences is empty"),
            ),
            (
                good.replace("https://login", "http://login"),
                bad("authentication.loginEndpoint \"http://login.test/\": must be https:// (http:// only on loopback)"),
            ),
            (
                good.replace("loginEndpoint", "login"),
                bad("missing field `loginEndpoint` at line 3 column 38"),
            ),
            ("<html>".to_owned(), bad("expected value at line 1 column 1")),
        ];
        for (body, expected) in table {
            let cloud = "https://given.test".parse().unwrap();
            let said = match Endpoints::read(&cloud, body.as_bytes()) {
                Ok(Endpoints {
                    resource_manager,
                    audience,
                    authority_host,
                }) => format!("{resource_manager} {audience} {authority_host}"),
                Err(error) => error.to_string(),
            };
            assert_eq!(said, expected, "{body}");
        }
    }
}
