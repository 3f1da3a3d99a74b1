//! The two containers that are injected, in the shapes of the Kubernetes API: the redirect and the proxy.

use serde::Serialize;

use super::headers::Accepted;
use super::parts::{
    Mount, Variable, accepted_headers, identity_header, identity_variables, mount, variable,
};
use super::{Passthrough, Plan, Pod, Proxy, Resources};
use crate::names;

/// A container of ours.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container<'a> {
    name: &'static str,
    image: &'a str,
    image_pull_policy: &'static str,
    args: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<Variable<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle: Option<Lifecycle>,
    resources: Requirements,
    security_context: SecurityContext,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volume_mounts: Vec<Mount<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_policy: Option<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Lifecycle {
    post_start: Handler,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Handler {
    Exec { command: Vec<String> },
}

#[derive(Clone, Debug, Serialize)]
struct Requirements {
    limits: Amounts,
    requests: Amounts,
}

#[derive(Clone, Debug, Serialize)]
struct Amounts {
    cpu: String,
    memory: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SecurityContext {
    allow_privilege_escalation: bool,
    capabilities: Capabilities,
    privileged: bool,
    read_only_root_filesystem: bool,
    run_as_group: i64,
    run_as_non_root: bool,
    run_as_user: i64,
    seccomp_profile: SeccompProfile,
}

#[derive(Clone, Debug, Serialize)]
struct Capabilities {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    add: &'static [&'static str],
    drop: [&'static str; 1],
}

#[derive(Clone, Debug, Serialize)]
struct SeccompProfile {
    r#type: &'static str,
}

/// The init container that sends 169.254.169.254:80 to the proxy: root with one capability, never privileged.
#[must_use]
pub fn redirect_container<'a>(plan: &'a Plan, proxy: &Proxy) -> Container<'a> {
    let exemption = match proxy.imds_passthrough {
        Passthrough::Allow => format!("--exempt-uid={}", names::PROXY_UID),
        Passthrough::Deny => "--no-exempt".to_owned(),
    };
    Container {
        name: names::INIT_CONTAINER,
        image: &plan.proxy_image,
        image_pull_policy: "IfNotPresent",
        args: vec!["redirect".to_owned(), port(proxy), exemption],
        env: Vec::new(),
        lifecycle: None,
        resources: requirements(&proxy.resources),
        security_context: SecurityContext::of(0, &["NET_ADMIN"]),
        volume_mounts: Vec::new(),
        restart_policy: None,
    }
}

/// The proxy's container; as a native sidecar it is an init container that stays.
#[must_use]
pub fn proxy_container<'a>(
    plan: &'a Plan,
    proxy: &'a Proxy,
    pod: Pod<'a>,
    volume: &'a str,
) -> Container<'a> {
    let mut env = identity_variables(&plan.identity);
    env.push(identity_header());
    let headers = Accepted::missing(pod, None);
    env.extend(headers.sources);
    env.extend(headers.values.map(accepted_headers));
    let map = proxy.resource_ids.as_deref();
    env.extend(map.map(|map| variable(names::PROXY_RESOURCE_IDS, map)));
    let mut wait = vec![names::BINARY.to_owned(), "proxy".to_owned()];
    wait.extend(["--wait".to_owned(), port(proxy)]);
    Container {
        name: names::PROXY_CONTAINER,
        image: &plan.proxy_image,
        image_pull_policy: "IfNotPresent",
        args: vec![
            "proxy".to_owned(),
            port(proxy),
            format!("--imds-passthrough={}", proxy.imds_passthrough),
            format!("--log-level={}", proxy.log_level),
        ],
        env,
        // Holds what follows until the proxy listens.
        lifecycle: Some(Lifecycle {
            post_start: Handler::Exec { command: wait },
        }),
        resources: requirements(&proxy.resources),
        security_context: SecurityContext::of(names::PROXY_UID, &[]),
        volume_mounts: vec![mount(volume)],
        restart_policy: plan.native_sidecar.then_some("Always"),
    }
}

fn port(proxy: &Proxy) -> String {
    format!("--port={}", proxy.port)
}

fn requirements(resources: &Resources) -> Requirements {
    Requirements {
        limits: Amounts {
            cpu: resources.cpu_limit.to_string(),
            memory: resources.memory_limit.to_string(),
        },
        requests: Amounts {
            cpu: resources.cpu_request.to_string(),
            memory: resources.memory_request.to_string(),
        },
    }
}

impl SecurityContext {
    /// Nothing that Pod Security's `restricted` forbids, but for the user and these capabilities.
    fn of(user: i64, capabilities: &'static [&'static str]) -> Self {
        SecurityContext {
            allow_privilege_escalation: false,
            capabilities: Capabilities {
                add: capabilities,
                drop: ["ALL"],
            },
            privileged: false,
            read_only_root_filesystem: true,
            run_as_group: user,
            run_as_non_root: user != 0,
            run_as_user: user,
            seccomp_profile: SeccompProfile {
                r#type: "RuntimeDefault",
            },
        }
    }
}
