//! Microsoft Entra's address as the token exchange uses it.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// Microsoft Entra's address, without the slash at the end that the environment variable carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority(String);

/// An address that assertions must not be sent to.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadAuthority {
    /// No URL at all.
    #[error("authority host {0:?}: {1}; an https:// address is expected")]
    NoUrl(String, url::ParseError),
    /// Assertions would cross a network in the clear.
    #[error("authority host {0:?}: must be https:// (http:// only on loopback)")]
    NotHttps(String),
    /// Something that the token path can't be put behind.
    #[error("authority host {0:?}: must have neither user, query nor fragment")]
    Decorated(String),
}

impl Authority {
    /// The token endpoint of `tenant`.
    #[must_use]
    pub fn token_endpoint(&self, tenant: &str) -> String {
        format!("{}/{tenant}/oauth2/v2.0/token", self.0)
    }
}

impl FromStr for Authority {
    type Err = BadAuthority;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|error| BadAuthority::NoUrl(text.to_owned(), error))?;
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            return Err(BadAuthority::NotHttps(text.to_owned()));
        }
        let decorated = !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some();
        if decorated {
            return Err(BadAuthority::Decorated(text.to_owned()));
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Authority;

    #[test]
    fn addresses() {
        let table = [
            (
                "https://login.microsoftonline.com/",
                Ok("https://login.microsoftonline.com/t/oauth2/v2.0/token"),
            ),
            (
                "https://proxy.example/base",
                Ok("https://proxy.example/base/t/oauth2/v2.0/token"),
            ),
            (
                "http://127.0.0.1:8080",
                Ok("http://127.0.0.1:8080/t/oauth2/v2.0/token"),
            ),
            ("http://[::1]:1/", Ok("http://[::1]:1/t/oauth2/v2.0/token")),
            ("http://login.microsoftonline.com/", Err("must be https")),
            ("login.microsoftonline.com", Err("https:// address")),
            ("https://user:word@host/", Err("neither user")),
            ("https://host/?a=b", Err("neither user")),
        ];
        for (text, expected) in table {
            let endpoint = text
                .parse::<Authority>()
                .map(|authority| authority.token_endpoint("t"))
                .map_err(|error| error.to_string());
            match expected {
                Ok(expected) => assert_eq!(endpoint.as_deref(), Ok(expected), "{text}"),
                Err(part) => assert!(endpoint.unwrap_err().contains(part), "{text}"),
            }
        }
    }
}
