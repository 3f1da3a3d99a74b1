//! The cluster's ServiceAccounts: read, annotated, asked for tokens, taken back.

use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use secrecy::SecretString;
use serde_json::json;

use super::cluster::{Cluster, ClusterError};
use super::desired::ServiceAccountId;
use super::found::FoundAccount;
use super::step::IdentityIds;
use crate::names::{CLIENT_ID, FIELD_MANAGER, TENANT_ID};

impl Cluster {
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

    /// The uid of a ServiceAccount, if there is one.
    ///
    /// # Errors
    /// When the API server does not tell.
    pub async fn uid(&self, account: &ServiceAccountId) -> Result<Option<String>, ClusterError> {
        let accounts = self.service_accounts(account);
        let asked = accounts.get_metadata_opt(&account.name);
        let operation = format!("GET ServiceAccount {account}");
        let found = self.ask(operation, asked).await?;
        Ok(found.and_then(|object| object.metadata.uid))
    }

    /// Gives a ServiceAccount the annotations of an identity, by server-side apply: all else on it stays, an absent one
    /// is made. Gives its uid.
    ///
    /// # Errors
    /// When another manager holds the annotations with other values, or the API server refuses.
    pub async fn annotate(
        &self,
        account: &ServiceAccountId,
        ids: &IdentityIds,
    ) -> Result<Option<String>, ClusterError> {
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
        let applied = self.ask(operation, asked).await?;
        Ok(applied.metadata.uid)
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

    /// A ServiceAccount's uid, version and managers, if there is one.
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
            uid: object.metadata.uid,
            client_id: object
                .metadata
                .annotations
                .and_then(|mut annotations| annotations.remove(CLIENT_ID)),
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

    /// Takes off a ServiceAccount what setup applied to it. The uid keeps one that is gone from being made again.
    ///
    /// # Errors
    /// When it has another version by now, or the API server refuses.
    pub async fn unannotate(
        &self,
        account: &ServiceAccountId,
        version: Option<&str>,
        uid: Option<&str>,
    ) -> Result<(), ClusterError> {
        let patch = Patch::Apply(json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account.name, "resourceVersion": version, "uid": uid},
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
}
