//! What a pod asks for, read from its annotations, its ServiceAccount's, its Namespace's and the server's defaults.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::keys::{Key, Place};
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
        let annotation = self.find(names::INJECT_PROXY);
        annotation.map_or(Ok(false), |(key, value)| legal_boolean(key, value))
    }

    /// What the pod's label says, if anything.
    ///
    /// # Errors
    /// When the value is no boolean.
    pub fn asked_by_label(self) -> Result<Option<bool>, Refusal> {
        let key = Key {
            name: names::USE,
            place: Place::PodLabel,
        };
        let label = self.pod.label(key.name);
        label.map(|value| legal_boolean(key, value)).transpose()
    }

    /// Whether the Namespace gives identity to every pod whose ServiceAccount has a client id.
    ///
    /// # Errors
    /// When the value is none of the two.
    pub fn selects_by_service_account(self) -> Result<bool, Refusal> {
        let words = [("requested", false), ("service-account", true)];
        self.word(names::SELECT, words, "requested or service-account", false)
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
        let Some((key, value)) = self.find(names::PROXY_PORT) else {
            return Ok(names::DEFAULT_PROXY_PORT);
        };
        let port = value.parse().ok().filter(|port| *port > 0);
        port.ok_or_else(|| Refusal::Port {
            key,
            value: value.to_owned(),
        })
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
        let Some((key, value)) = self.find(names::TOKEN_EXPIRATION) else {
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
        let list = self.find(names::SKIP_CONTAINERS);
        list.map_or("", |(_, value)| value)
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
        let Some((key, text)) = self.find(names::RESOURCE_IDS) else {
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
        name: &'static str,
        words: [(&str, T); N],
        legal: &'static str,
        default: T,
    ) -> Result<T, Refusal> {
        let Some((key, value)) = self.find(name) else {
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

/// Reads a boolean; nothing where it is none. The empty text is true, since the reference injects on the key's presence.
#[must_use]
pub fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "" | "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn legal_boolean(key: Key, value: &str) -> Result<bool, Refusal> {
    boolean(value).ok_or_else(|| Refusal::Boolean {
        key,
        value: value.to_owned(),
    })
}
