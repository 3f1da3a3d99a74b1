//! The rules of the decision table by name, in the order in which `decide` asks them.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::keys::Place;
use super::sources::Sources;
use super::volume::TokenVolume;
use super::{Container, Decision, Reason, Refusal};
use crate::names;

/// A rule of the decision table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The image of a static pod stays as it is.
    Mirror,
    /// Labels and annotations of ours must be text.
    Text,
    /// The pod's label can say no.
    OptOut,
    /// An annotation asks for identity and proxy.
    Proxy,
    /// The pod's label asks for identity.
    Identity,
    /// The Namespace asks for identity, for pods whose ServiceAccount has one.
    Selection,
    /// The proxy does not run on Windows.
    Windows,
    /// The redirect does not fit the node's network.
    HostNetwork,
    /// The annotation of this key must be legal.
    Setting(&'static str),
    /// The proxy's port must be free.
    Port,
    /// The token volume's name must be free, or its own.
    Volume,
}

/// The rules that say whether anything is asked for; the first that does ends them.
pub const ASKING: [Rule; 6] = [
    Rule::Mirror,
    Rule::Text,
    Rule::OptOut,
    Rule::Proxy,
    Rule::Identity,
    Rule::Selection,
];

/// The rules that say whether it fits, and with which settings.
pub const FITTING: [Rule; 17] = [
    Rule::Windows,
    Rule::Setting(names::CAPTURE),
    Rule::HostNetwork,
    Rule::Setting(names::PROXY_PORT),
    Rule::Setting(names::IMDS_PASSTHROUGH),
    Rule::Setting(names::PROXY_LOG_LEVEL),
    Rule::Setting(names::PROXY_CPU_REQUEST),
    Rule::Setting(names::PROXY_CPU_LIMIT),
    Rule::Setting(names::PROXY_MEMORY_REQUEST),
    Rule::Setting(names::PROXY_MEMORY_LIMIT),
    Rule::Setting(names::RESOURCE_IDS),
    Rule::Setting(names::TOKEN_EXPIRATION),
    Rule::Setting(names::SKIP_CONTAINERS),
    Rule::Port,
    Rule::Volume,
    Rule::Setting(names::CLIENT_ID),
    Rule::Setting(names::TENANT_ID),
];

const DEFAULT: &str = "default";

/// What a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Look {
    /// The object, and what of it; `default` where no object says anything.
    pub from: String,
    /// The label's or annotation's key, the field or the name.
    pub key: String,
    /// What stands there; none where nothing does.
    pub value: Option<String>,
}

impl Rule {
    /// The rule that a decision stopped at; none where all rules were passed.
    #[must_use]
    pub fn stopping(decision: &Decision) -> Option<Self> {
        match decision {
            Decision::Inject(_) => None,
            Decision::Skip(reason) => Some(match reason {
                // Never the engine's own decision.
                Reason::NamespaceNotOptedIn => return None,
                Reason::MirrorPod => Rule::Mirror,
                Reason::OptedOut => Rule::OptOut,
                Reason::NotRequested => Rule::Selection,
            }),
            Decision::Refuse(refusal) => Some(Rule::refusing(refusal)),
        }
    }

    fn refusing(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::NotText { .. } => Rule::Text,
            Refusal::Boolean { key, .. } if key.name == names::USE => Rule::OptOut,
            Refusal::Boolean { .. } => Rule::Proxy,
            Refusal::Word { key, .. } if key.name == names::SELECT => Rule::Selection,
            Refusal::Word { key, .. }
            | Refusal::Port { key, .. }
            | Refusal::Expiration { key, .. }
            | Refusal::ExpirationRange { key, .. }
            | Refusal::Quantity { key, .. }
            | Refusal::ResourceIds { key, .. }
            | Refusal::RequestAboveLimit { limit_key: key, .. } => Rule::Setting(key.name),
            Refusal::HostNetwork => Rule::HostNetwork,
            Refusal::Windows => Rule::Windows,
            Refusal::PortInUse { .. } => Rule::Port,
            Refusal::VolumeName { .. } => Rule::Volume,
        }
    }

    /// Whether it is asked where only identity is asked for.
    #[must_use]
    pub fn of_identity(self) -> bool {
        match self {
            Rule::Windows | Rule::HostNetwork | Rule::Port => false,
            Rule::Setting(key) => [
                names::TOKEN_EXPIRATION,
                names::SKIP_CONTAINERS,
                names::CLIENT_ID,
                names::TENANT_ID,
            ]
            .contains(&key),
            _ => true,
        }
    }

    /// A short name; a setting's is its key without prefix.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Rule::Mirror => "mirror-pod",
            Rule::Text => "not-text",
            Rule::OptOut => "opted-out",
            Rule::Proxy => "proxy-requested",
            Rule::Identity => "identity-requested",
            Rule::Selection => "selected",
            Rule::Windows => "windows",
            Rule::HostNetwork => "host-network",
            Rule::Setting(key) => key.split_once('/').map_or(key, |(_, name)| name),
            Rule::Port => "port-free",
            Rule::Volume => "token-volume",
        }
    }

    /// What it looks at.
    #[must_use]
    pub fn look(self, sources: Sources<'_>) -> Look {
        let pod = sources.pod;
        match self {
            Rule::Mirror => {
                let value = pod.annotation(names::MIRROR_POD);
                Look::new("pod annotation", names::MIRROR_POD, value)
            }
            Rule::Text => {
                let other = pod.not_texts().find(|(key, _)| names::resembles_ours(key));
                let value = other.map(|(key, value)| format!("{key}: {value}"));
                Look::new("pod", "labels and annotations", value.as_deref())
            }
            Rule::OptOut | Rule::Identity => {
                Look::new("pod label", names::USE, pod.label(names::USE))
            }
            Rule::Proxy => Look::annotation(names::INJECT_PROXY, sources),
            Rule::Selection => Look::annotation(names::SELECT, sources),
            Rule::Setting(key) if sources.find(key).is_none() => Look::default_of(key),
            Rule::Setting(key) => Look::annotation(key, sources),
            Rule::Windows => Look::new("pod", "spec.os.name or nodeSelector", pod.os()),
            Rule::HostNetwork => {
                let value = pod.spec("hostNetwork").map(Value::to_string);
                Look::new("pod", "spec.hostNetwork", value.as_deref())
            }
            Rule::Port => {
                // A port that is none is refused before.
                let port = sources.port().unwrap_or(names::DEFAULT_PROXY_PORT);
                let container = pod.container_with_port(port).map(Container::name);
                Look::new("pod container with port", &port.to_string(), container)
            }
            Rule::Volume => {
                let value = match TokenVolume::of(pod, &sources.defaults.audience) {
                    TokenVolume::Present(name) => Some(name),
                    TokenVolume::Absent => None,
                    TokenVolume::NameTaken => Some(names::TOKEN_VOLUME),
                };
                Look::new("pod volume", names::TOKEN_VOLUME, value)
            }
        }
    }
}

impl Look {
    /// At nothing, since no object says anything of this key or name.
    #[must_use]
    pub fn default_of(key: &str) -> Self {
        Look::new(DEFAULT, key, None)
    }

    fn new(from: &str, key: &str, value: Option<&str>) -> Self {
        Look {
            from: from.to_owned(),
            key: key.to_owned(),
            value: value.map(str::to_owned),
        }
    }

    fn annotation(name: &'static str, sources: Sources<'_>) -> Self {
        if let Some((key, value)) = sources.find(name) {
            return Look::new(&key.place.to_string(), name, Some(value));
        }
        let places = Place::NEAREST.iter().filter(|place| place.knows(name));
        let places: Vec<String> = places.map(Place::to_string).collect();
        Look::new(&places.join(" or "), name, None)
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Look { from, key, value } = self;
        match value {
            Some(value) => write!(f, "{from} {key}: {value:?}"),
            None if from == DEFAULT => write!(f, "{from}: {key} not set"),
            None => write!(f, "{from} {key}: none"),
        }
    }
}
