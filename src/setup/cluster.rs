//! The way to the cluster as setup goes it, its issuer and namespaces; its ServiceAccounts are in `accounts`.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::core::Status;
use serde::Deserialize;
use tokio::time::timeout;

use crate::kubernetes;
use crate::reason::reason;

const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// How long the API server may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The cluster's API server.
#[derive(Clone)]
pub struct Cluster {
    /// The way to it.
    pub client: kube::Client,
    /// Its address, for messages.
    pub address: String,
    /// The namespace of setup's ledger.
    pub ledger_namespace: String,
}

/// The API server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A permission is missing.
    #[error(
        "{operation}: forbidden: {message}; bind the roles of manifests/setup to the signed-in account"
    )]
    Forbidden {
        /// The call.
        operation: String,
        /// The API server's words.
        message: String,
    },
    /// Someone else holds an annotation with another value; it is not taken from them.
    #[error(
        "{operation}: {conflicts}; not overwritten: change it there, or remove the annotation, and run again"
    )]
    Conflict {
        /// The call.
        operation: String,
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
    #[error("{operation}: API server {address}: {reason}")]
    NoAnswer {
        /// The call.
        operation: String,
        /// Who was asked.
        address: String,
        /// Why.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

impl Cluster {
    /// The cluster that `config` leads to, with the ledger in this namespace.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(config: kube::Config, ledger_namespace: &str) -> Result<Self, kubernetes::Error> {
        let address = config.cluster_url.to_string();
        Ok(Self {
            address: address.trim_end_matches('/').to_owned(),
            client: kubernetes::client(config)?,
            ledger_namespace: ledger_namespace.to_owned(),
        })
    }

    /// The issuer of the cluster's tokens, byte for byte.
    ///
    /// # Errors
    /// When the API server does not tell.
    pub async fn issuer(&self) -> Result<String, ClusterError> {
        let asked = async {
            let request = http::Request::get(DISCOVERY_PATH)
                .body(Vec::new())
                .map_err(kube::Error::HttpError)?;
            self.client.request(request).await
        };
        let discovery: Discovery = self.ask(format!("GET {DISCOVERY_PATH}"), asked).await?;
        Ok(discovery.issuer)
    }

    /// Whether there is such a namespace.
    ///
    /// # Errors
    /// When the API server does not tell.
    pub async fn has_namespace(&self, name: &str) -> Result<bool, ClusterError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let asked = namespaces.get_metadata_opt(name);
        let found = self.ask(format!("GET Namespace {name}"), asked).await?;
        Ok(found.is_some())
    }

    pub(super) async fn ask<T>(
        &self,
        operation: String,
        asked: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ClusterError> {
        let reason = match timeout(ANSWER_LIMIT, asked).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(kube::Error::Api(status))) => return Err(refusal(operation, *status)),
            Ok(Err(error)) => reason(&error),
            Err(_) => format!("no answer within {} s", ANSWER_LIMIT.as_secs()),
        };
        Err(ClusterError::NoAnswer {
            operation,
            address: self.address.clone(),
            reason,
        })
    }
}

// The causes read `conflict with "MANAGER" using v1`; the message alone names no field of each.
fn conflicts(status: Status) -> String {
    let causes = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| format!("{} at {}", cause.message, cause.field))
        .collect::<Vec<_>>();
    if causes.is_empty() {
        status.message
    } else {
        causes.join(", ")
    }
}

fn refusal(operation: String, status: Status) -> ClusterError {
    match status.code {
        403 => ClusterError::Forbidden {
            operation,
            message: status.message,
        },
        409 => ClusterError::Conflict {
            operation,
            conflicts: conflicts(status),
        },
        code => ClusterError::Refused {
            operation,
            code,
            message: status.message,
        },
    }
}
