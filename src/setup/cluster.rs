//! The cluster as setup sees it: its issuer, namespaces, ServiceAccounts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, Patch, PatchParams};
use kube::core::Status;
use serde::Deserialize;
use serde_json::json;

use super::desired::ServiceAccountId;
use super::step::IdentityIds;
use crate::names::{CLIENT_ID, FIELD_MANAGER, TENANT_ID};

const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// The API server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A permission is missing.
    #[error(
        "{operation}: forbidden: {message}; bind the setup job's role to the signed-in account"
    )]
    Forbidden {
        /// The call.
        operation: String,
        /// The API server's words.
        message: String,
    },
    /// Someone else holds an annotation with another value; it is not taken from them.
    #[error(
        "ServiceAccount {account}: {conflicts}; not overwritten: change it there, \
         or remove the annotation, and run again"
    )]
    Conflict {
        /// The ServiceAccount.
        account: ServiceAccountId,
        /// Managers and fields, in the API server's words.
        conflicts: String,
    },
    /// The API server refused.
    #[error("{operation}: {code} {message}")]
    Refused {
        /// The call.
        operation: String,
        /// The HTTP status.
        code: u16,
        /// The API server's words.
        message: String,
    },
    /// No answer that reads.
    #[error("{operation}: {source}")]
    NoAnswer {
        /// The call.
        operation: String,
        /// Why.
        source: Box<kube::Error>,
    },
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

/// The issuer of the cluster's tokens, byte for byte.
///
/// # Errors
/// When the API server does not tell.
pub async fn issuer(cluster: &kube::Client) -> Result<String, ClusterError> {
    let operation = || format!("GET {DISCOVERY_PATH}");
    let request = http::Request::get(DISCOVERY_PATH)
        .body(Vec::new())
        .map_err(kube::Error::HttpError)
        .map_err(|error| refusal(operation(), error))?;
    let discovery: Discovery = cluster
        .request(request)
        .await
        .map_err(|error| refusal(operation(), error))?;
    Ok(discovery.issuer)
}

/// Whether there is such a namespace.
///
/// # Errors
/// When the API server does not tell.
pub async fn has_namespace(cluster: &kube::Client, name: &str) -> Result<bool, ClusterError> {
    let namespaces: Api<Namespace> = Api::all(cluster.clone());
    let found = namespaces
        .get_metadata_opt(name)
        .await
        .map_err(|error| refusal(format!("GET Namespace {name}"), error))?;
    Ok(found.is_some())
}

/// The annotations of a ServiceAccount, if there is one.
///
/// # Errors
/// When the API server does not tell.
pub async fn annotations(
    cluster: &kube::Client,
    account: &ServiceAccountId,
) -> Result<Option<BTreeMap<String, String>>, ClusterError> {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.clone(), &account.namespace);
    let found = accounts
        .get_metadata_opt(&account.name)
        .await
        .map_err(|error| refusal(format!("GET ServiceAccount {account}"), error))?;
    Ok(found.map(|object| object.metadata.annotations.unwrap_or_default()))
}

/// Gives a ServiceAccount the annotations of an identity, by server-side apply: all else on it stays, an absent one is made.
///
/// # Errors
/// When another manager holds the annotations with other values, or the API server refuses.
pub async fn annotate(
    cluster: &kube::Client,
    account: &ServiceAccountId,
    ids: &IdentityIds,
) -> Result<(), ClusterError> {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.clone(), &account.namespace);
    let patch = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": account.name,
            "annotations": {CLIENT_ID: ids.client_id, TENANT_ID: ids.tenant_id},
        },
    });
    let applied = accounts
        .patch(
            &account.name,
            &PatchParams::apply(FIELD_MANAGER),
            &Patch::Apply(patch),
        )
        .await;
    match applied {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Err(ClusterError::Conflict {
            account: account.clone(),
            conflicts: conflicts(&status),
        }),
        Err(error) => Err(refusal(format!("PATCH ServiceAccount {account}"), error)),
    }
}

// The causes read `conflict with "MANAGER" using v1`; the message alone names no field of each.
fn conflicts(status: &Status) -> String {
    let causes = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| format!("{} at {}", cause.message, cause.field))
        .collect::<Vec<_>>();
    if causes.is_empty() {
        status.message.clone()
    } else {
        causes.join(", ")
    }
}

fn refusal(operation: String, error: kube::Error) -> ClusterError {
    match error {
        kube::Error::Api(status) if status.code == 403 => ClusterError::Forbidden {
            operation,
            message: status.message,
        },
        kube::Error::Api(status) => ClusterError::Refused {
            operation,
            code: status.code,
            message: status.message,
        },
        error => ClusterError::NoAnswer {
            operation,
            source: Box::new(error),
        },
    }
}
