//! Addresses that secrets are sent to: Microsoft Entra's and Resource Manager's.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// An https:// address, or http:// on loopback: scheme, host, port and path, no slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(Url);

/// Text that is no such address. It is shown without what may be a secret in it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadAddress {
    /// No URL, or one without a host.
    #[error("{0:?}: an https:// address is expected")]
    NoUrl(String),
    /// Secrets would cross a network in the clear.
    #[error("{0:?}: must be https:// (http:// only on loopback)")]
    NotHttps(String),
    /// Something that a path can't be put behind.
    #[error("{0:?}: must have neither user, query nor fragment")]
    Decorated(String),
}

impl Address {
    /// The address as a URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = plain(text)?;
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if loopback => Ok(Self(url)),
            _ => Err(BadAddress::NotHttps(shown(text))),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// A URL of scheme, host, port and path alone.
///
/// # Errors
/// When it is none.
pub fn plain(text: &str) -> Result<Url, BadAddress> {
    match Url::parse(text) {
        Ok(url) if !url.has_host() => Err(BadAddress::NoUrl(shown(text))),
        Err(_) => Err(BadAddress::NoUrl(shown(text))),
        Ok(url) => {
            let plain = url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none();
            plain
                .then_some(url)
                .ok_or_else(|| BadAddress::Decorated(shown(text)))
        }
    }
}

/// `text` without what may be a secret: all up to the last `@`, and all from `?` or `#`.
#[must_use]
pub fn shown(text: &str) -> String {
    let text = match text.rsplit_once('@') {
        Some((_, rest)) => format!("...@{rest}"),
        None => text.to_owned(),
    };
    match text.split_once(['?', '#']) {
        Some((start, _)) => format!("{start}..."),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses() {
        let table = [
            (
                "https://login.microsoftonline.com/",
                Ok("https://login.microsoftonline.com"),
            ),
            (
                "https://proxy.example/base",
                Ok("https://proxy.example/base"),
            ),
            ("https://127.0.0.1:8443/", Ok("https://127.0.0.1:8443")),
            ("http://127.0.0.1:8080", Ok("http://127.0.0.1:8080")),
            ("http://localhost:8080", Ok("http://localhost:8080")),
            ("http://[::1]:1/", Ok("http://[::1]:1")),
            (
                "http://management.azure.com/",
                Err(
                    r#""http://management.azure.com/": must be https:// (http:// only on loopback)"#,
                ),
            ),
            (
                "management.azure.com",
                Err(r#""management.azure.com": an https:// address is expected"#),
            ),
            ("", Err(r#""": an https:// address is expected"#)),
            (
                "https://user:word@host/",
                Err(r#""...@host/": must have neither user, query nor fragment"#),
            ),
            (
                "http://user:w@rd@host/",
                Err(r#""...@host/": must have neither user, query nor fragment"#),
            ),
            (
                "user:word@host",
                Err(r#""...@host": an https:// address is expected"#),
            ),
            (
                "https://host/?sig=word",
                Err(r#""https://host/...": must have neither user, query nor fragment"#),
            ),
            (
                "https://host/#word",
                Err(r#""https://host/...": must have neither user, query nor fragment"#),
            ),
        ];
        for (text, expected) in table {
            let address = text
                .parse::<Address>()
                .map(|address| address.to_string())
                .map_err(|error| error.to_string());
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(address, expected, "{text}");
        }
    }
}
