//! What is injected, as JSON: variables, mount, volume, both containers.

use serde_json::{Value, json};

use super::headers::Accepted;
use super::{Capture, Identity, Passthrough, Plan, Pod, Proxy, Resources};
use crate::names;

/// The identity variables, in the reference's order; one that is not known is left out.
#[must_use]
pub fn identity_variables(identity: &Identity) -> Vec<Value> {
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
pub fn proxy_variables(proxy: &Proxy) -> Vec<Value> {
    let local = format!("http://127.0.0.1:{}", proxy.port);
    let endpoint = format!(
        "http://localhost:{}{}",
        proxy.port,
        names::TOKEN_REQUEST_PATH
    );
    let mut variables = vec![
        variable(names::IDENTITY_ENDPOINT, &endpoint),
        identity_header(),
    ];
    match proxy.capture {
        Capture::Redirect => variables.push(variable(names::IMDS_ENDPOINT, names::IMDS_URL)),
        Capture::Env => {
            variables.push(variable(names::IMDS_ENDPOINT, &local));
            variables.push(variable(names::AZURE_POD_IDENTITY_AUTHORITY_HOST, &local));
        }
    }
    variables
}

/// The token's mount.
#[must_use]
pub fn mount(volume: &str) -> Value {
    json!({"name": volume, "mountPath": names::TOKEN_MOUNT, "readOnly": true})
}

/// The token's volume.
#[must_use]
pub fn volume(plan: &Plan) -> Value {
    json!({"name": names::TOKEN_VOLUME, "projected": {"sources": [{"serviceAccountToken": {
        "path": names::TOKEN_FILE,
        "expirationSeconds": plan.settings.token_expiration,
        "audience": plan.identity.audience,
    }}]}})
}

/// The init container that sends 169.254.169.254:80 to the proxy: root with one capability, never privileged.
#[must_use]
pub fn redirect_container(plan: &Plan, proxy: &Proxy) -> Value {
    let exemption = match proxy.imds_passthrough {
        Passthrough::Allow => format!("--exempt-uid={}", names::PROXY_UID),
        Passthrough::Deny => "--no-exempt".to_owned(),
    };
    json!({
        "name": names::INIT_CONTAINER,
        "image": plan.proxy_image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["redirect", format!("--port={}", proxy.port), exemption],
        "resources": resources(&proxy.resources),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": 0,
            "runAsNonRoot": false,
            "runAsUser": 0,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    })
}

/// The proxy's container; as a native sidecar it is an init container that stays.
#[must_use]
pub fn proxy_container(plan: &Plan, proxy: &Proxy, pod: Pod<'_>, volume: &str) -> Value {
    let port = format!("--port={}", proxy.port);
    let mut env = identity_variables(&plan.identity);
    env.push(identity_header());
    let headers = Accepted::missing(pod, None);
    env.extend(headers.sources);
    env.extend(headers.values.as_deref().map(accepted_headers));
    env.extend(
        proxy
            .resource_ids
            .as_deref()
            .map(|map| variable(names::PROXY_RESOURCE_IDS, map)),
    );
    let mut container = json!({
        "name": names::PROXY_CONTAINER,
        "image": plan.proxy_image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "proxy",
            port,
            format!("--imds-passthrough={}", proxy.imds_passthrough),
            format!("--log-level={}", proxy.log_level),
        ],
        "env": env,
        // Holds what follows until the proxy listens.
        "lifecycle": {"postStart": {"exec": {"command": [names::BINARY, "proxy", "--wait", port]}}},
        "resources": resources(&proxy.resources),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": names::PROXY_UID,
            "runAsNonRoot": true,
            "runAsUser": names::PROXY_UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [mount(volume)],
    });
    if plan.native_sidecar {
        container["restartPolicy"] = json!("Always");
    }
    container
}

/// The App Service secret: the pod's uid, which a forged request from elsewhere can't know.
fn identity_header() -> Value {
    json!({"name": names::IDENTITY_HEADER, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}})
}

/// The list of header values that the proxy accepts besides its own.
#[must_use]
pub fn accepted_headers(values: &str) -> Value {
    variable(names::ACCEPTED_IDENTITY_HEADERS, values)
}

fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

fn resources(resources: &Resources) -> Value {
    json!({
        "limits": {"cpu": resources.cpu_limit.to_string(), "memory": resources.memory_limit.to_string()},
        "requests": {"cpu": resources.cpu_request.to_string(), "memory": resources.memory_request.to_string()},
    })
}
