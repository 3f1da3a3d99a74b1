//! The decision table (product contract, section 3).

use super::settings::boolean;
use super::sources::Sources;
use super::volume::TokenVolume;
use super::{
    Annotations, Capture, Container, Decision, Identity, Input, List, Plan, Pod, Proxy, Reason,
    Refusal, Settings, Verdict, Warning,
};
use super::{headers, keys};
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
        Ok(Request::Nothing) => return skip(Reason::NotRequested, not_requested(sources)),
        Ok(Request::Identity) => false,
        Ok(Request::IdentityAndProxy) => true,
    };
    match plan(input, sources, proxy) {
        Ok(plan) => {
            let warnings = warnings(input, sources, &plan);
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
    !pod.mirror() && pod.label(names::USE).is_none_or(|value| boolean(names::USE, value) != Ok(false))
}

/// Whether the ServiceAccount can change what the pod gets. Where it can't, an unknown one is no reason to refuse.
#[must_use]
pub fn needs_service_account(pod: &serde_json::Value, namespace: &Annotations) -> bool {
    let pod = Pod(pod);
    let asks =
        |value: Option<&str>| value.is_some_and(|value| boolean(names::USE, value) != Ok(false));
    let proxy = pod
        .annotation(names::INJECT_PROXY)
        .or_else(|| namespace.get(names::INJECT_PROXY));
    asks(pod.label(names::USE)) || asks(proxy) || namespace.get(names::SELECT).is_some()
}

fn request(sources: Sources<'_>) -> Result<Request, Refusal> {
    let label = sources
        .pod
        .label(names::USE)
        .map(|value| boolean(names::USE, value))
        .transpose()?;
    if label == Some(false) {
        return Ok(Request::OptedOut);
    }
    if sources.proxy_requested()? {
        return Ok(Request::IdentityAndProxy);
    }
    let selected =
        sources.selects_by_service_account()? && client_id(sources.service_account).is_some();
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
    let settings = sources.settings(proxy)?;
    if let Some(proxy) = &settings.proxy {
        refuse_port_in_use(sources.pod, proxy)?;
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
            client_id: client_id(sources.service_account).map(str::to_owned),
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

/// Why a pod that asks for nothing may have been meant to.
fn not_requested(sources: Sources<'_>) -> Vec<Warning> {
    let selected = client_id(sources.service_account).map(|_| Warning::NotRequested {
        service_account: sources.pod.service_account_name().to_owned(),
    });
    let keys = keys::warnings(sources.pod, sources.service_account, sources.namespace);
    most(selected.into_iter().chain(keys))
}

fn warnings(input: &Input<'_>, sources: Sources<'_>, plan: &Plan) -> Vec<Warning> {
    let mut warnings = identity_warnings(input, sources, plan);
    warnings.extend(keys::warnings(
        sources.pod,
        sources.service_account,
        sources.namespace,
    ));
    warnings.extend(skip_warnings(sources.pod, &plan.settings));
    warnings.extend(container_warnings(sources.pod, plan));
    if plan.settings.proxy.is_some() {
        warnings.extend(proxy_warnings(sources.pod, plan));
    }
    most(warnings)
}

fn most(warnings: impl IntoIterator<Item = Warning>) -> Vec<Warning> {
    warnings.into_iter().take(super::warning::MOST).collect()
}

fn identity_warnings(input: &Input<'_>, sources: Sources<'_>, plan: &Plan) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let service_account = sources.pod.service_account_name().to_owned();
    let unexpanded = [names::CLIENT_ID, names::TENANT_ID]
        .into_iter()
        .find(|key| {
            sources
                .service_account
                .get(key)
                .is_some_and(|value| ["${", "$(", "{{"].iter().any(|open| value.contains(open)))
        });
    match (input.service_account, &plan.identity.client_id) {
        (None, _) => warnings.push(Warning::NoServiceAccount { service_account }),
        (Some(_), None) => warnings.push(Warning::NoClientId { service_account }),
        (Some(_), Some(client_id)) => match unexpanded {
            Some(key) => warnings.push(Warning::Unexpanded {
                service_account,
                key,
            }),
            None if uuid::Uuid::try_parse(client_id).is_err() => {
                warnings.push(Warning::ClientIdNotAGuid { service_account });
            }
            None => {}
        },
    }
    if plan.identity.tenant_id.is_none() {
        warnings.push(Warning::NoTenant);
    }
    warnings
}

fn skip_warnings(pod: Pod<'_>, settings: &Settings) -> Vec<Warning> {
    let unknown = settings
        .skip_containers
        .iter()
        .filter(|name| pod.container(name).is_none());
    unknown
        .map(|name| match name.contains(',') {
            true => Warning::CommaInSkipList {
                entry: name.clone(),
            },
            false => Warning::UnknownSkipped {
                container: name.clone(),
            },
        })
        .collect()
}

fn container_warnings(pod: Pod<'_>, plan: &Plan) -> Vec<Warning> {
    let token_volume = TokenVolume::of(pod, &plan.identity.audience).name();
    let ours = [
        (names::AZURE_CLIENT_ID, plan.identity.client_id.as_deref()),
        (names::AZURE_TENANT_ID, plan.identity.tenant_id.as_deref()),
        (
            names::AZURE_AUTHORITY_HOST,
            Some(&*plan.identity.authority_host),
        ),
    ];
    let mut warnings = Vec::new();
    for container in pod
        .containers()
        .filter(|container| plan.settings.reaches(container.name()))
    {
        for (variable, value) in ours {
            let own = container
                .variable(variable)
                .and_then(|entry| entry.get("value")?.as_str());
            if own.is_some_and(|own| {
                value.is_some_and(|value| own.trim_end_matches('/') != value.trim_end_matches('/'))
            }) {
                warnings.push(Warning::OwnValue {
                    container: container.name().to_owned(),
                    variable,
                });
            }
        }
        let mounted = container.mount_at(names::TOKEN_MOUNT);
        if mounted.is_some_and(|mount| mount.get("name").is_none_or(|name| name != token_volume)) {
            warnings.push(Warning::MountInUse {
                container: container.name().to_owned(),
            });
        }
    }
    warnings
}

fn proxy_warnings(pod: Pod<'_>, plan: &Plan) -> Vec<Warning> {
    let own = |container: &Container<'_>| !container.injected();
    let unknowable = pod
        .containers()
        .filter(own)
        .filter(|container| headers::unknowable(*container));
    let mut warnings: Vec<Warning> = unknowable
        .map(|container| Warning::HeaderNotHandedOn {
            container: container.name().to_owned(),
        })
        .collect();
    // What was put before them by hand, or by another mutator, stays there.
    let ours = [names::INIT_CONTAINER, names::PROXY_CONTAINER]
        .into_iter()
        .filter_map(|name| pod.container(name));
    let place = ours
        .filter(|ours| ours.list == List::Init)
        .map(|ours| ours.index)
        .max()
        .unwrap_or(0);
    let before = pod
        .list(List::Init)
        .filter(own)
        .filter(|container| container.index < place);
    warnings.extend(before.map(|container| Warning::BeforeProxy {
        container: container.name().to_owned(),
    }));
    if !plan.native_sidecar && ends_or_initialises(pod) {
        warnings.push(Warning::ClassicSidecar);
    }
    warnings
}

/// Whether a sidecar that is an ordinary container does not suit the pod.
fn ends_or_initialises(pod: Pod<'_>) -> bool {
    let restarts = pod
        .spec("restartPolicy")
        .is_none_or(|policy| policy == "Always");
    !restarts || pod.list(List::Init).any(|container| !container.injected())
}

fn client_id(service_account: &Annotations) -> Option<&str> {
    service_account.non_empty(names::CLIENT_ID)
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
