//! The decision engine: a pod as it came, its ServiceAccount's and Namespace's annotations and the server's
//! defaults in; a verdict and a patch out. Pure, synchronous, total: no clock, no I/O, no panic on any JSON.
//!
//! ```text
//! Input -sources, settings-> Settings -decide-> Verdict { Decision = Inject(Plan) | Skip(Reason) | Refuse(Refusal), warnings }
//! (pod, Plan) -additions (from parts, with a status)-> RFC 6902 operations on the raw pod; patch: the same, to be applied
//! Input -explain-> Explanation { the rules that made the verdict, Verdict, additions }
//! pod with a status -uninject-> RFC 6902 operations that bring back the pod as it came
//! ```

mod addition;
mod advice;
mod annotations;
mod decide;
mod explain;
mod flags;
mod headers;
mod keys;
mod parts;
mod patch;
mod pod;
mod quantity;
mod refusal;
mod resources;
mod rule;
mod settings;
mod sidecar;
mod sources;
mod status;
mod template;
mod uninject;
mod volume;
mod warning;

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::names;

pub use addition::Addition;
pub use annotations::{Annotations, PodSecurity};
pub use decide::{decide, needs_namespace, needs_service_account};
pub use explain::{Explanation, Step, explain};
pub use flags::{Flags, NativeSidecar};
pub use keys::{Key, Place, above_template};
pub use patch::{additions, patch};
pub use pod::{Container, List, Pod};
pub use quantity::{NotAQuantity, Quantity};
pub use refusal::Refusal;
pub use resources::Resources;
pub use rule::Look;
pub use settings::{Capture, Passthrough, Proxy, Settings};
pub use status::{Status, UnreadableStatus};
pub use template::template;
pub use uninject::uninject;
pub use warning::{LENGTH as WARNING_LENGTH, MOST as MOST_WARNINGS, Warning};

/// What a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The pod, or a pod template, as raw JSON.
    pub pod: &'a Value,
    /// The annotations of its ServiceAccount; none where that is not known.
    pub service_account: Option<&'a Annotations>,
    /// The annotations of its Namespace.
    pub namespace: &'a Annotations,
    /// The server's defaults.
    pub defaults: &'a Defaults,
}

/// What the server's flags decide for every pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Tenant of pods whose ServiceAccount names none.
    pub tenant_id: Option<String>,
    /// Microsoft Entra's address, slash at the end kept.
    pub authority_host: String,
    /// Audience of the projected token.
    pub audience: String,
    /// Image of both injected containers.
    pub proxy_image: String,
    /// Whether the proxy runs as a native sidecar (an init container that stays).
    pub native_sidecar: bool,
    /// How requests for IMDS reach the proxy.
    pub capture: Capture,
    /// What becomes of the other IMDS paths.
    pub imds_passthrough: Passthrough,
    /// Seconds the projected token lives.
    pub token_expiration: i64,
    /// Requests and limits of the injected containers.
    pub resources: Resources,
}

/// The outcome for one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What is done.
    pub decision: Decision,
    /// What a person should know.
    pub warnings: Vec<Warning>,
}

/// What is done with one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It gets what the plan says, as far as it lacks it.
    Inject(Box<Plan>),
    /// It stays as it is.
    Skip(Reason),
    /// It may not be created.
    Refuse(Refusal),
}

/// Why a pod stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its label says so.
    OptedOut,
    /// Nothing asks for injection.
    NotRequested,
    /// It is the image of a static pod.
    MirrorPod,
    /// Its Namespace has no opt-in label; only offline, since the API server does not ask for such pods.
    NamespaceNotOptedIn,
}

impl Reason {
    /// A short name for metrics, logs and audit annotations; never changes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::OptedOut => "opted_out",
            Reason::NotRequested => "not_requested",
            Reason::MirrorPod => "mirror_pod",
            Reason::NamespaceNotOptedIn => "namespace_not_opted_in",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (label, proxy) = (names::USE, names::INJECT_PROXY);
        match self {
            Reason::OptedOut => write!(f, "the pod's label {label} says no"),
            Reason::NotRequested => write!(
                f,
                "nothing asks for it: no annotation {proxy} on pod or Namespace, no label {label} on the pod"
            ),
            Reason::MirrorPod => write!(f, "the image of a static pod can't be changed"),
            Reason::NamespaceNotOptedIn => {
                write!(f, "the Namespace has no label {label}: \"true\"")
            }
        }
    }
}

/// Everything that decides what a pod gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What was asked for.
    pub settings: Settings,
    /// The identity.
    pub identity: Identity,
    /// Image of the injected containers.
    pub proxy_image: String,
    /// Whether the proxy runs as a native sidecar.
    pub native_sidecar: bool,
}

/// Who the pod is at Microsoft Entra.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// From the ServiceAccount alone.
    pub client_id: Option<String>,
    /// From the ServiceAccount, else the server.
    pub tenant_id: Option<String>,
    /// Microsoft Entra's address.
    pub authority_host: String,
    /// Audience of the projected token.
    pub audience: String,
}
