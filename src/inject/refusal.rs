//! Why a pod is refused: each sentence names the key, the value and what would be legal.

use super::keys::Key;

/// A mistake in the pod that injection can't work around.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A boolean that is none.
    #[error("{key}: {value:?} is not a boolean; use true, 1, yes, on, or false, 0, no, off")]
    Boolean {
        /// The label or annotation.
        key: Key,
        /// Its value.
        value: String,
    },
    /// A label or annotation that YAML reads as a number or boolean; the API server takes none.
    #[error("{key}: {value} is not a text; put it in quotes")]
    NotText {
        /// The label or annotation.
        key: String,
        /// Its value, as JSON.
        value: String,
    },
    /// A port that is none.
    #[error("{key}: {value:?} is not a port; use a number from 1 to 65535")]
    Port {
        /// The annotation.
        key: Key,
        /// Its value.
        value: String,
    },
    /// An expiration that is no number of seconds.
    #[error("{key}: {value:?} is not a number of seconds; use a whole number from 3600 to 86400")]
    Expiration {
        /// The annotation.
        key: Key,
        /// Its value.
        value: String,
    },
    /// An expiration the token endpoint or the API server would not take. The text begins as the reference's.
    #[error(
        "token expiration {seconds} not valid. Expected value to be between 3600 and 86400 ({key})"
    )]
    ExpirationRange {
        /// The annotation.
        key: Key,
        /// Its value.
        seconds: i64,
    },
    /// A word that is none of the legal ones.
    #[error("{key}: {value:?} is not known; use {legal}")]
    Word {
        /// The annotation.
        key: Key,
        /// Its value.
        value: String,
        /// The legal values, as a sentence has them.
        legal: &'static str,
    },
    /// A quantity that is none.
    #[error("{key}: {value:?} is not a quantity; use a number with a unit as in 10m, 0.5, 64Mi")]
    Quantity {
        /// The annotation.
        key: Key,
        /// Its value.
        value: String,
    },
    /// A request above its limit.
    #[error(
        "{request_key}: {request} is more than {limit_key}: {limit}; lower the request or raise the limit"
    )]
    RequestAboveLimit {
        /// The request's annotation.
        request_key: Key,
        /// Its value.
        request: String,
        /// The limit's annotation.
        limit_key: Key,
        /// Its value.
        limit: String,
    },
    /// A resource map that is no JSON object of strings.
    #[error("{key}: not a JSON object of resource or object ids to client ids: {reason}")]
    ResourceIds {
        /// The annotation.
        key: Key,
        /// What the JSON reader says.
        reason: String,
    },
    /// The redirect would change the node's own network. The text begins as the reference's.
    #[error(
        "hostNetwork is set to true, cannot inject proxy sidecar with capture redirect; set {key}: env, which needs no redirect",
        key = crate::names::CAPTURE
    )]
    HostNetwork,
    /// The proxy is a Linux program.
    #[error(
        "the pod is made for Windows nodes, where the proxy sidecar does not run; drop {key} and keep the label {label}",
        key = crate::names::INJECT_PROXY,
        label = crate::names::USE
    )]
    Windows,
    /// The proxy's port is taken.
    #[error("container {container:?} uses port {port}, which the proxy sidecar needs; set {key} to a free port", key = crate::names::PROXY_PORT)]
    PortInUse {
        /// The container.
        container: String,
        /// The port.
        port: u16,
    },
    /// A volume of our name holds something else.
    #[error(
        "volume {name:?} is not a service account token for audience {audience:?} at path {path:?}; give it another name",
        name = crate::names::TOKEN_VOLUME,
        path = crate::names::TOKEN_FILE
    )]
    VolumeName {
        /// The audience it would have to have.
        audience: String,
    },
}

impl Refusal {
    /// Every [`Refusal::reason`].
    pub const REASONS: [&str; 11] = [
        "invalid_boolean",
        "not_text",
        "invalid_port",
        "invalid_expiration",
        "invalid_word",
        "invalid_quantity",
        "invalid_resource_ids",
        "host_network",
        "windows",
        "port_in_use",
        "volume_name",
    ];

    /// A short name for metrics and audit annotations; never changes.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::Boolean { .. } => "invalid_boolean",
            Refusal::NotText { .. } => "not_text",
            Refusal::Port { .. } => "invalid_port",
            Refusal::Expiration { .. } | Refusal::ExpirationRange { .. } => "invalid_expiration",
            Refusal::Word { .. } => "invalid_word",
            Refusal::Quantity { .. } | Refusal::RequestAboveLimit { .. } => "invalid_quantity",
            Refusal::ResourceIds { .. } => "invalid_resource_ids",
            Refusal::HostNetwork => "host_network",
            Refusal::Windows => "windows",
            Refusal::PortInUse { .. } => "port_in_use",
            Refusal::VolumeName { .. } => "volume_name",
        }
    }

    /// The HTTP status of the denial: 400 for a value that is wrong by itself, 403 for one that does not fit this pod.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Refusal::HostNetwork
            | Refusal::Windows
            | Refusal::PortInUse { .. }
            | Refusal::VolumeName { .. } => 403,
            _ => 400,
        }
    }
}
