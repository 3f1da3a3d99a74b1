//! Which warnings a pod deserves: what was not done, or will not work, of all that can be seen now.

use super::sources::Sources;
use super::volume::TokenVolume;
use super::{
    Capture, Container, Input, List, Plan, Pod, Settings, Warning, headers, keys, warning,
};
use crate::names;

/// Why a pod that asks for nothing may have been meant to.
pub fn not_requested(sources: Sources<'_>) -> Vec<Warning> {
    let selected = sources.client_id().map(|_| Warning::NotRequested {
        service_account: sources.pod.service_account_name().to_owned(),
    });
    let keys = keys::warnings(sources.pod, sources.service_account, sources.namespace);
    most(selected.into_iter().chain(keys))
}

/// What a person should know of a pod that gets something.
pub fn of_plan(input: &Input<'_>, sources: Sources<'_>, plan: &Plan) -> Vec<Warning> {
    let mut warnings = identity_warnings(input, sources, plan);
    warnings.extend(keys::warnings(
        sources.pod,
        sources.service_account,
        sources.namespace,
    ));
    // A Namespace's list is for all its pods; few have every container of it.
    if sources.pod.annotation(names::SKIP_CONTAINERS).is_some() {
        warnings.extend(skip_warnings(sources.pod, &plan.settings));
    }
    warnings.extend(container_warnings(sources.pod, plan));
    if let Some(proxy) = &plan.settings.proxy {
        if proxy.capture == Capture::Redirect {
            warnings.extend(redirect_warnings(sources));
        }
        warnings.extend(proxy_warnings(sources.pod, plan));
    }
    most(warnings)
}

fn most(warnings: impl IntoIterator<Item = Warning>) -> Vec<Warning> {
    warnings.into_iter().take(warning::MOST).collect()
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
            if own.is_some_and(|own| value.is_some_and(|value| differs(own, value))) {
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

/// Whether two values mean different things, as far as can be told: GUIDs and hosts have no case.
fn differs(own: &str, ours: &str) -> bool {
    !own.contains("$(")
        && !own
            .trim_end_matches('/')
            .eq_ignore_ascii_case(ours.trim_end_matches('/'))
}

fn redirect_warnings(sources: Sources<'_>) -> Vec<Warning> {
    let forbidden = sources.namespace.pod_security();
    let same_user = sources.pod.container_of_user(names::PROXY_UID);
    let forbidden = forbidden.map(|level| Warning::PodSecurity { level });
    let same_user = same_user.map(|container| Warning::ProxysUser {
        container: container.name().to_owned(),
    });
    forbidden.into_iter().chain(same_user).collect()
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
    let native = pod
        .container(names::PROXY_CONTAINER)
        .map_or(plan.native_sidecar, |proxy| proxy.list == List::Init);
    if !native && ends_or_initialises(pod) {
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
