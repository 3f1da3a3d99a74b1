//! What a pod asks for, read from its annotations, its ServiceAccount's, its Namespace's and the server's defaults.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::sources::Sources;
use super::{Refusal, Resources};
use crate::names;

/// What was asked for, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Seconds the projected token lives, 3600 to 86400.
    pub token_expiration: i64,
    /// Containers left alone.
    pub skip_containers: Vec<String>,
    /// The proxy's settings; none where only identity is asked for.
    pub proxy: Option<Proxy>,
}

/// The proxy sidecar's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proxy {
    /// The port it listens on.
    pub port: u16,
    /// How requests for IMDS reach it.
    pub capture: Capture,
    /// What becomes of the other IMDS paths.
    pub imds_passthrough: Passthrough,
    /// Its log level.
    pub log_level: String,
    /// Requests and limits of both injected containers.
    pub resources: Resources,
    /// JSON map of resource or object ids to client ids.
    pub resource_ids: Option<String>,
}

/// How requests for IMDS reach the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
pub enum Capture {
    /// An init container redirects 169.254.169.254:80 (needs NET_ADMIN).
    #[default]
    Redirect,
    /// Variables steer the SDKs that honour them; no privilege needed.
    Env,
}

/// What becomes of IMDS paths other than identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
pub enum Passthrough {
    /// They reach the node's IMDS.
    #[default]
    Allow,
    /// They are answered 404.
    Deny,
}

impl Capture {
    /// The word users write.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Capture::Redirect => "redirect",
            Capture::Env => "env",
        }
    }
}

impl Passthrough {
    /// The word users write.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Passthrough::Allow => "allow",
            Passthrough::Deny => "deny",
        }
    }
}

impl fmt::Display for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Passthrough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Sources<'_> {
    /// Everything asked for, the proxy's part only where the proxy is.
    ///
    /// # Errors
    /// For the first value that is not legal; the proxy's come first, as in the reference.
    pub fn settings(self, proxy: bool) -> Result<Settings, Refusal> {
        Ok(Settings {
            proxy: proxy.then(|| self.proxy()).transpose()?,
            token_expiration: self.token_expiration()?,
            skip_containers: self.skip_containers(),
        })
    }

    /// Whether the proxy is asked for.
    ///
    /// # Errors
    /// When the value is no boolean.
    pub fn proxy_requested(self) -> Result<bool, Refusal> {
        self.get(names::INJECT_PROXY)
            .map_or(Ok(false), |value| boolean(names::INJECT_PROXY, value))
    }

    /// Whether the Namespace gives identity to every pod whose ServiceAccount has a client id.
    ///
    /// # Errors
    /// When the value is none of the two.
    pub fn selects_by_service_account(self) -> Result<bool, Refusal> {
        let Some(value) = self.get(names::SELECT) else {
            return Ok(false);
        };
        match value {
            "service-account" => Ok(true),
            "requested" => Ok(false),
            _ => {
                let legal = "requested or service-account";
                Err(Refusal::Word {
                    key: names::SELECT,
                    value: value.to_owned(),
                    legal,
                })
            }
        }
    }

    /// How requests for IMDS reach the proxy.
    ///
    /// # Errors
    /// When the value is none of the two.
    pub fn capture(self) -> Result<Capture, Refusal> {
        let words = [("redirect", Capture::Redirect), ("env", Capture::Env)];
        self.word(
            names::CAPTURE,
            words,
            "redirect or env",
            self.defaults.capture,
        )
    }

    /// The port the proxy listens on.
    ///
    /// # Errors
    /// When the value is none.
    pub fn port(self) -> Result<u16, Refusal> {
        self.get(names::PROXY_PORT)
            .map_or(Ok(names::DEFAULT_PROXY_PORT), port)
    }

    fn proxy(self) -> Result<Proxy, Refusal> {
        let passthrough = [("allow", Passthrough::Allow), ("deny", Passthrough::Deny)];
        Ok(Proxy {
            capture: self.capture()?,
            port: self.port()?,
            imds_passthrough: self.word(
                names::IMDS_PASSTHROUGH,
                passthrough,
                "allow or deny",
                self.defaults.imds_passthrough,
            )?,
            log_level: self.log_level()?,
            resources: self.resources()?,
            resource_ids: self.resource_ids()?,
        })
    }

    fn token_expiration(self) -> Result<i64, Refusal> {
        let key = names::TOKEN_EXPIRATION;
        let Some(value) = self.get(key) else {
            return Ok(self.defaults.token_expiration);
        };
        let seconds: i64 = value.parse().map_err(|_| Refusal::Expiration {
            key,
            value: value.to_owned(),
        })?;
        if (3600..=86400).contains(&seconds) {
            Ok(seconds)
        } else {
            Err(Refusal::ExpirationRange { key, seconds })
        }
    }

    fn skip_containers(self) -> Vec<String> {
        let names = self.get(names::SKIP_CONTAINERS).unwrap_or_default();
        names
            .split(';')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn log_level(self) -> Result<String, Refusal> {
        let words = ["error", "warn", "info", "debug", "trace"].map(|word| (word, word));
        self.word(
            names::PROXY_LOG_LEVEL,
            words,
            "error, warn, info, debug or trace",
            "info",
        )
        .map(str::to_owned)
    }

    fn resource_ids(self) -> Result<Option<String>, Refusal> {
        let key = names::RESOURCE_IDS;
        let Some(text) = self.get(key) else {
            return Ok(None);
        };
        serde_json::from_str::<BTreeMap<String, String>>(text).map_err(|error| {
            Refusal::ResourceIds {
                key,
                reason: error.to_string(),
            }
        })?;
        Ok(Some(text.to_owned()))
    }

    fn word<T, const N: usize>(
        self,
        key: &'static str,
        words: [(&str, T); N],
        legal: &'static str,
        default: T,
    ) -> Result<T, Refusal> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        let known = words
            .into_iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(value));
        known
            .map(|(_, meaning)| meaning)
            .ok_or_else(|| Refusal::Word {
                key,
                value: value.to_owned(),
                legal,
            })
    }
}

/// Reads a boolean. The empty text is true, since the reference injects on the key's presence.
///
/// # Errors
/// When the value is none of the known ones.
pub fn boolean(key: &'static str, value: &str) -> Result<bool, Refusal> {
    match value.to_ascii_lowercase().as_str() {
        "" | "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(Refusal::Boolean {
            key,
            value: value.to_owned(),
        }),
    }
}

fn port(value: &str) -> Result<u16, Refusal> {
    let port = value.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| Refusal::Port {
        key: names::PROXY_PORT,
        value: value.to_owned(),
    })
}
