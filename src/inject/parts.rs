//! What is injected, in the shapes of the Kubernetes API: variables, mount, volume; the containers are in `sidecar`.
//! They borrow from pod and plan and are written straight to JSON; a tree of maps between costs most of an admission.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::sidecar::Container;
use super::{Capture, Identity, Plan, Proxy};
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
pub(super) fn identity_header() -> Variable<'static> {
    Variable {
        name: names::IDENTITY_HEADER.into(),
        value: None,
        value_from: Some(Source::FieldRef {
            field_path: "metadata.uid",
        }),
    }
}

pub(super) fn variable<'a>(name: &'static str, value: impl Into<Cow<'a, str>>) -> Variable<'a> {
    Variable {
        name: name.into(),
        value: Some(value.into()),
        value_from: None,
    }
}
