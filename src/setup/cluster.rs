//! The cluster as setup sees it: its issuer, namespaces, ServiceAccounts.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Status;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::desired::ServiceAccountId;
use super::found::FoundAccount;
use super::step::IdentityIds;
use crate::kubernetes;
use crate::names::{CLIENT_ID, FIELD_MANAGER, TENANT_ID};
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

    /// The annotations of a ServiceAccount, if there is one.
    ///
    /// # Errors
    /// When the API server does not tell.
    pub async fn annotations(
        &self,
        account: &ServiceAccountId,
    ) -> Result<Option<BTreeMap<String, String>>, ClusterError> {
        let accounts = self.service_accounts(account);
        let asked = accounts.get_metadata_opt(&account.name);
        let operation = format!("GET ServiceAccount {account}");
        let found = self.ask(operation, asked).await?;
        Ok(found.map(|object| object.metadata.annotations.unwrap_or_default()))
    }

    /// Gives a ServiceAccount the annotations of an identity, by server-side apply: all else on it stays, an absent one
    /// is made.
    ///
    /// # Errors
    /// When another manager holds the annotations with other values, or the API server refuses.
    pub async fn annotate(
        &self,
        account: &ServiceAccountId,
        ids: &IdentityIds,
    ) -> Result<(), ClusterError> {
        let patch = Patch::Apply(json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {
                "name": account.name,
                "annotations": {CLIENT_ID: ids.client_id, TENANT_ID: ids.tenant_id},
            },
        }));
        let accounts = self.service_accounts(account);
        let how = PatchParams::apply(FIELD_MANAGER);
        let asked = accounts.patch(&account.name, &how, &patch);
        let operation = format!("PATCH ServiceAccount {account}");
        self.ask(operation, asked).await.map(|_| ())
    }

    /// A token of a ServiceAccount for one audience, as its pods get it.
    ///
    /// # Errors
    /// When the API server gives none.
    pub async fn token(
        &self,
        account: &ServiceAccountId,
        audience: &str,
    ) -> Result<SecretString, ClusterError> {
        let wanted = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(vec![audience.to_owned()]),
                // The shortest that the API server gives.
                expiration_seconds: Some(600),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let accounts = self.service_accounts(account);
        let how = PostParams::default();
        let asked = accounts.create_token_request(&account.name, &how, &wanted);
        let operation = format!("POST TokenRequest of ServiceAccount {account}");
        let answer = self.ask(operation, asked).await?;
        let token = answer.status.and_then(|status| status.token);
        Ok(token.unwrap_or_default().into())
    }

    /// A ServiceAccount's version and managers, if there is one.
    ///
    /// # Errors
    /// When the API server does not tell.
    pub async fn find_account(
        &self,
        account: &ServiceAccountId,
    ) -> Result<Option<FoundAccount>, ClusterError> {
        let accounts = self.service_accounts(account);
        let asked = accounts.get_metadata_opt(&account.name);
        let operation = format!("GET ServiceAccount {account}");
        let found = self.ask(operation, asked).await?;
        Ok(found.map(|object| FoundAccount {
            version: object.metadata.resource_version,
            managers: object
                .metadata
                .managed_fields
                .into_iter()
                .flatten()
                .filter_map(|entry| entry.manager)
                .collect(),
        }))
    }

    /// Takes off a ServiceAccount what setup applied to it. The version keeps one that is gone from being made again.
    ///
    /// # Errors
    /// When it has another version by now, or the API server refuses.
    pub async fn unannotate(
        &self,
        account: &ServiceAccountId,
        version: Option<&str>,
    ) -> Result<(), ClusterError> {
        let patch = Patch::Apply(json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account.name, "resourceVersion": version},
        }));
        let accounts = self.service_accounts(account);
        let how = PatchParams::apply(FIELD_MANAGER);
        let asked = accounts.patch(&account.name, &how, &patch);
        let operation = format!("PATCH ServiceAccount {account}");
        self.ask(operation, asked).await.map(|_| ())
    }

    /// Deletes a ServiceAccount of this version; one that is gone is deleted.
    ///
    /// # Errors
    /// When it has another version by now, or the API server refuses.
    pub async fn delete_account(
        &self,
        account: &ServiceAccountId,
        version: Option<String>,
    ) -> Result<(), ClusterError> {
        let how = DeleteParams {
            preconditions: Some(Preconditions {
                resource_version: version,
                uid: None,
            }),
            ..DeleteParams::default()
        };
        let accounts = self.service_accounts(account);
        let asked = accounts.delete(&account.name, &how);
        match self
            .ask(format!("DELETE ServiceAccount {account}"), asked)
            .await
        {
            Ok(_) | Err(ClusterError::Refused { code: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn service_accounts(&self, account: &ServiceAccountId) -> Api<ServiceAccount> {
        Api::namespaced(self.client.clone(), &account.namespace)
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
