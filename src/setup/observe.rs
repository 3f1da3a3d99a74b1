//! Looks at Azure and the cluster, and writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::book::{Book, BookError};
use super::cluster::{Cluster, ClusterError};
use super::desired::{Desired, DesiredIdentity, DesiredRole, IssuerSource, ServiceAccountId};
use super::ledger::Ledger;
use super::legal::ISSUER;
use super::pace::{Pacer, Rates};
use super::retry::persist;
use super::roles;
use super::step::IdentityIds;
use crate::azure::arm::{
    ArmError, Client, FederatedCredential, ResourceGroup, RoleAssignment, request,
};

/// What is there, as far as the config asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The issuer of the cluster's tokens, byte for byte.
    pub issuer: String,
    /// The resource group, if it is there.
    pub group: Option<ResourceGroup>,
    /// The identities that are there, by the config's names.
    pub identities: BTreeMap<String, ObservedIdentity>,
    /// The ids of the definitions of every role of the config.
    pub roles: BTreeMap<DesiredRole, String>,
    /// Every ServiceAccount of the config.
    pub service_accounts: BTreeMap<ServiceAccountId, ObservedServiceAccount>,
    /// What earlier runs made.
    pub ledger: Ledger,
    /// The namespace that is to keep the ledger, if it is missing.
    pub no_ledger_namespace: Option<String>,
}

/// A managed identity that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedIdentity {
    /// Its ids.
    pub ids: IdentityIds,
    /// Where it is.
    pub location: String,
    /// All its federated credentials.
    pub credentials: Vec<FederatedCredential>,
    /// The roles it has at the scopes that the config names for it.
    pub assignments: Vec<RoleAssignment>,
}

/// A ServiceAccount of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedServiceAccount {
    /// Its namespace is missing.
    NoNamespace,
    /// It is not there yet.
    Absent,
    /// It is there, with these annotations.
    Present(BTreeMap<String, String>),
}

/// Could not look.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// At Azure.
    #[error(transparent)]
    Arm(#[from] ArmError),
    /// At the cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// In the ledger.
    #[error(transparent)]
    Ledger(#[from] BookError),
    /// The AKS cluster is not there.
    #[error("issuer.aks: no cluster {name} in resource group {group}")]
    NoAksCluster {
        /// The resource group.
        group: String,
        /// The cluster.
        name: String,
    },
    /// The AKS cluster has no issuer.
    #[error(
        "issuer.aks: cluster {name} has no OIDC issuer: enable it with `az aks update --enable-oidc-issuer`"
    )]
    NoAksIssuer {
        /// The cluster.
        name: String,
    },
    /// No role has the name, or nothing is at the scope.
    #[error(
        "roleAssignments: there is no role {role:?} at {scope}, or no such scope: \
         `az role definition list --scope SCOPE` names the roles"
    )]
    NoRole {
        /// The role as the config has it.
        role: String,
        /// The scope.
        scope: String,
    },
    /// The issuer is none that Azure takes.
    #[error(
        "the cluster's issuer is {0:?}, but Azure trusts plain https URLs of at most 600 characters only: \
         enable the cluster's OIDC issuer"
    )]
    BadIssuer(String),
}

/// Looks at all that `desired` names, no faster than `rates`.
///
/// # Errors
/// When Azure or the cluster does not tell.
pub async fn observe(
    desired: &Desired,
    arm: &Client,
    cluster: &Cluster,
    rates: Rates,
) -> Result<Observed, ObserveError> {
    let group = persist(async || arm.find(&request::get_group(&desired.group)).await).await?;
    let mut identities = BTreeMap::new();
    let pacer = Pacer::new(rates.lists);
    if group.is_some() {
        for identity in &desired.identities {
            pacer.turn().await;
            if let Some(found) = observe_identity(desired, arm, identity).await? {
                identities.insert(identity.name.clone(), found);
            }
        }
    }
    let roles = roles::definitions(desired, arm).await?;
    let issuer = observe_issuer(&desired.issuer, arm, cluster).await?;
    let service_accounts = observe_service_accounts(desired, cluster).await?;
    let (ledger, no_ledger_namespace) = observe_ledger(cluster).await?;
    Ok(Observed {
        issuer,
        group,
        identities,
        roles,
        service_accounts,
        ledger,
        no_ledger_namespace,
    })
}

async fn observe_ledger(cluster: &Cluster) -> Result<(Ledger, Option<String>), ObserveError> {
    if let Some(ledger) = Book::of(cluster).read().await? {
        return Ok((ledger, None));
    }
    let namespace = &cluster.ledger_namespace;
    let there = cluster.has_namespace(namespace).await?;
    Ok((Ledger::default(), (!there).then(|| namespace.clone())))
}

async fn observe_identity(
    desired: &Desired,
    arm: &Client,
    identity: &DesiredIdentity,
) -> Result<Option<ObservedIdentity>, ArmError> {
    let name = &identity.name;
    let get = request::get_identity(&desired.group, name);
    let Some(found) = persist(async || arm.find(&get).await).await? else {
        return Ok(None);
    };
    let list = request::list_credentials(&desired.group, name);
    let scopes = identity.roles.iter().map(|role| role.scope.as_str());
    let location = found.location.clone();
    let ids = IdentityIds::from(found);
    Ok(Some(ObservedIdentity {
        credentials: persist(async || arm.list(&list).await).await?,
        assignments: roles::assignments(scopes, &ids.principal_id, arm).await?,
        location,
        ids,
    }))
}

async fn observe_issuer(
    source: &IssuerSource,
    arm: &Client,
    cluster: &Cluster,
) -> Result<String, ObserveError> {
    let issuer = match source {
        IssuerSource::Url(url) => url.clone(),
        IssuerSource::Cluster => cluster.issuer().await?,
        IssuerSource::Aks { group, name } => {
            let get = request::get_cluster(group, name);
            persist(async || arm.find(&get).await)
                .await?
                .ok_or_else(|| ObserveError::NoAksCluster {
                    group: group.name.clone(),
                    name: name.clone(),
                })?
                .issuer
                .ok_or_else(|| ObserveError::NoAksIssuer { name: name.clone() })?
        }
    };
    if (ISSUER.allows)(&issuer) {
        Ok(issuer)
    } else {
        Err(ObserveError::BadIssuer(issuer))
    }
}

async fn observe_service_accounts(
    desired: &Desired,
    cluster: &Cluster,
) -> Result<BTreeMap<ServiceAccountId, ObservedServiceAccount>, ClusterError> {
    let wanted: BTreeSet<_> = desired
        .identities
        .iter()
        .flat_map(|identity| &identity.service_accounts)
        .collect();
    let mut namespaces = BTreeMap::new();
    let mut observed = BTreeMap::new();
    for account in wanted {
        if !namespaces.contains_key(&account.namespace) {
            let there = cluster.has_namespace(&account.namespace).await?;
            namespaces.insert(&account.namespace, there);
        }
        let state = if namespaces.get(&account.namespace) == Some(&true) {
            cluster.annotations(account).await?.map_or(
                ObservedServiceAccount::Absent,
                ObservedServiceAccount::Present,
            )
        } else {
            ObservedServiceAccount::NoNamespace
        };
        observed.insert(account.clone(), state);
    }
    Ok(observed)
}
