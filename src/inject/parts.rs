//! What is injected, in the shapes of the Kubernetes API: variables, mount, volume, both containers.
//! They borrow from pod and plan and are written straight to JSON; a tree of maps between costs most of an admission.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::headers::Accepted;
use super::{Capture, Identity, Passthrough, Plan, Pod, Proxy, Resources};
use crate::names;

/// The value of an operation.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Part<'a> {
    /// An object to put things in.
    Empty {},
    /// An annotation's value.
    Text(Cow<'a, str>),
    /// An entry of `env`.
    Variable(Variable<'a>),
    /// An entry of `volumeMounts`.
    Mount(Mount<'a>),
    /// An entry of `volumes`.
    Volume(Volume<'a>),
    /// An entry of `initContainers` or `containers`.
    Container(Box<Container<'a>>),
    /// A list that was not there.
    List(Vec<Part<'a>>),
}

/// A container's variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_from: Option<Source<'a>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Source<'a> {
    FieldRef {
        field_path: &'static str,
    },
    /// As another container has it.
    #[serde(untagged)]
    Same(&'a Value),
}

/// A container's mount of a volume.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount<'a> {
    name: &'a str,
    mount_path: &'static str,
    read_only: bool,
}

/// The token's volume.
#[derive(Clone, Debug, Serialize)]
pub struct Volume<'a> {
    name: &'static str,
    projected: Projected<'a>,
}

#[derive(Clone, Debug, Serialize)]
struct Projected<'a> {
    sources: [Projection<'a>; 1],
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Projection<'a> {
    ServiceAccountToken {
        path: &'static str,
        expiration_seconds: i64,
        audience: &'a str,
    },
}

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

/// The identity variables, in the reference's order; one that is not known is left out.
#[must_use]
pub fn identity_variables(identity: &Identity) -> Vec<Variable<'_>> {
    let known = [
        (names::AZURE_CLIENT_ID, identity.client_id.as_deref()),
        (names::AZURE_TENANT_ID, identity.tenant_id.as_deref()),
        (names::AZURE_FEDERATED_TOKEN_FILE, Some(names::TOKEN_PATH)),
        (names::AZURE_AUTHORITY_HOST, Some(&*identity.authority_host)),
    ];
    known
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| variable(name, value)))
        .collect()
}

/// The variables that lead an application to the proxy.
#[must_use]
pub fn proxy_variables(proxy: &Proxy) -> Vec<Variable<'static>> {
    let local = format!("http://127.0.0.1:{}", proxy.port);
    let endpoint = format!(
        "http://localhost:{}{}",
        proxy.port,
        names::TOKEN_REQUEST_PATH
    );
    let mut variables = vec![
        variable(names::IDENTITY_ENDPOINT, endpoint),
        identity_header(),
    ];
    match proxy.capture {
        Capture::Redirect => variables.push(variable(names::IMDS_ENDPOINT, names::IMDS_URL)),
        Capture::Env => {
            variables.push(variable(names::IMDS_ENDPOINT, local.clone()));
            variables.push(variable(names::AZURE_POD_IDENTITY_AUTHORITY_HOST, local));
        }
    }
    variables
}

/// The token's mount.
#[must_use]
pub fn mount(volume: &str) -> Mount<'_> {
    Mount {
        name: volume,
        mount_path: names::TOKEN_MOUNT,
        read_only: true,
    }
}

/// The token's volume.
#[must_use]
pub fn volume(plan: &Plan) -> Volume<'_> {
    Volume {
        name: names::TOKEN_VOLUME,
        projected: Projected {
            sources: [Projection::ServiceAccountToken {
                path: names::TOKEN_FILE,
                expiration_seconds: plan.settings.token_expiration,
                audience: &plan.identity.audience,
            }],
        },
    }
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

/// The list of header values that the proxy accepts besides its own.
#[must_use]
pub fn accepted_headers(values: String) -> Variable<'static> {
    variable(names::ACCEPTED_IDENTITY_HEADERS, values)
}

/// A variable whose value comes from where another container has one from.
#[must_use]
pub fn same_source(name: String, source: &Value) -> Variable<'_> {
    Variable {
        name: name.into(),
        value: None,
        value_from: Some(Source::Same(source)),
    }
}

/// The App Service secret: the pod's uid, which a forged request from elsewhere can't know.
fn identity_header() -> Variable<'static> {
    Variable {
        name: names::IDENTITY_HEADER.into(),
        value: None,
        value_from: Some(Source::FieldRef {
            field_path: "metadata.uid",
        }),
    }
}

fn variable<'a>(name: &'static str, value: impl Into<Cow<'a, str>>) -> Variable<'a> {
    Variable {
        name: name.into(),
        value: Some(value.into()),
        value_from: None,
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
