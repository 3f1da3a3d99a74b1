//! The decision table (product contract, section 3).

use super::advice;
use super::settings::boolean;
use super::sources::Sources;
use super::volume::TokenVolume;
use super::{
    Annotations, Capture, Decision, Identity, Input, Passthrough, Plan, Pod, Proxy, Reason,
    Refusal, Settings, Verdict,
};
use crate::names;

/// What a pod asks for, before its settings are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    OptedOut,
    Nothing,
    Identity,
    IdentityAndProxy,
}

/// Decides what one pod gets. Applied to its own result it plans the same again, and the patch is empty.
#[must_use]
pub fn decide(input: &Input<'_>) -> Verdict {
    let none = Annotations::default();
    let sources = Sources::of(input, &none);
    let skip = |reason, warnings| Verdict {
        decision: Decision::Skip(reason),
        warnings,
    };
    let refuse = |refusal| Verdict {
        decision: Decision::Refuse(refusal),
        warnings: Vec::new(),
    };
    if sources.pod.mirror() {
        return skip(Reason::MirrorPod, Vec::new());
    }
    if let Some((key, value)) = sources
        .pod
        .not_texts()
        .find(|(key, _)| names::resembles_ours(key))
    {
        return refuse(Refusal::NotText {
            key: key.to_owned(),
            value: value.to_string(),
        });
    }
    let proxy = match request(sources) {
        Err(refusal) => return refuse(refusal),
        Ok(Request::OptedOut) => return skip(Reason::OptedOut, Vec::new()),
        Ok(Request::Nothing) => return skip(Reason::NotRequested, advice::not_requested(sources)),
        Ok(Request::Identity) => false,
        Ok(Request::IdentityAndProxy) => true,
    };
    match plan(input, sources, proxy) {
        Ok(plan) => {
            let warnings = advice::of_plan(input, sources, &plan);
            Verdict {
                decision: Decision::Inject(Box::new(plan)),
                warnings,
            }
        }
        Err(refusal) => refuse(refusal),
    }
}

/// Whether the Namespace can change what the pod gets. A pod that opted out needs nobody's word.
#[must_use]
pub fn needs_namespace(pod: &serde_json::Value) -> bool {
    let pod = Pod(pod);
    !pod.mirror()
        && pod
            .label(names::USE)
            .is_none_or(|value| boolean(value) != Some(false))
}

/// Whether the ServiceAccount can change what the pod gets. Where it can't, an unknown one is no reason to refuse.
#[must_use]
pub fn needs_service_account(pod: &serde_json::Value, namespace: &Annotations) -> bool {
    let pod = Pod(pod);
    let asks = |value: Option<&str>| value.is_some_and(|value| boolean(value) != Some(false));
    let proxy = pod
        .annotation(names::INJECT_PROXY)
        .or_else(|| namespace.get(names::INJECT_PROXY));
    asks(pod.label(names::USE)) || asks(proxy) || namespace.get(names::SELECT).is_some()
}

fn request(sources: Sources<'_>) -> Result<Request, Refusal> {
    let label = sources.asked_by_label()?;
    if label == Some(false) {
        return Ok(Request::OptedOut);
    }
    if sources.proxy_requested()? {
        return Ok(Request::IdentityAndProxy);
    }
    let selected = sources.selects_by_service_account()? && sources.client_id().is_some();
    Ok(if label == Some(true) || selected {
        Request::Identity
    } else {
        Request::Nothing
    })
}

fn plan(input: &Input<'_>, sources: Sources<'_>, proxy: bool) -> Result<Plan, Refusal> {
    if proxy {
        refuse_unfit(sources)?;
    }
    let mut settings = sources.settings(proxy)?;
    if let Some(proxy) = &mut settings.proxy {
        refuse_port_in_use(sources.pod, proxy)?;
        // The exemption that passthrough needs would hand the container the node's own token.
        if proxy.capture == Capture::Redirect
            && sources.pod.container_of_user(names::PROXY_UID).is_some()
        {
            proxy.imds_passthrough = Passthrough::Deny;
        }
    }
    let defaults = input.defaults;
    if TokenVolume::of(sources.pod, &defaults.audience) == TokenVolume::NameTaken {
        return Err(Refusal::VolumeName {
            audience: defaults.audience.clone(),
        });
    }
    let tenant_id = sources
        .service_account
        .non_empty(names::TENANT_ID)
        .map(str::to_owned);
    Ok(Plan {
        settings,
        identity: Identity {
            client_id: sources.client_id().map(str::to_owned),
            tenant_id: tenant_id.or_else(|| defaults.tenant_id.clone()),
            authority_host: defaults.authority_host.clone(),
            audience: defaults.audience.clone(),
        },
        proxy_image: defaults.proxy_image.clone(),
        native_sidecar: defaults.native_sidecar,
    })
}

fn refuse_unfit(sources: Sources<'_>) -> Result<(), Refusal> {
    if sources.pod.windows() {
        return Err(Refusal::Windows);
    }
    if sources.pod.host_network() && sources.capture()? == Capture::Redirect {
        return Err(Refusal::HostNetwork);
    }
    Ok(())
}

fn refuse_port_in_use(pod: Pod<'_>, proxy: &Proxy) -> Result<(), Refusal> {
    match pod.container_with_port(proxy.port) {
        Some(container) => Err(Refusal::PortInUse {
            container: container.name().to_owned(),
            port: proxy.port,
        }),
        None => Ok(()),
    }
}

impl Settings {
    /// Whether a container of that name gets identity.
    #[must_use]
    pub fn reaches(&self, container: &str) -> bool {
        container != names::INIT_CONTAINER
            && !self
                .skip_containers
                .iter()
                .any(|skipped| skipped == container)
    }
}
