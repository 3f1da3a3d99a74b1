//! What the subscription holds. Names are looked up without regard to case and answered as first given.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::credentials::{FederatedCredential, Invalid, MOST};
use super::documents::{identity_id, location, subscription, tags};
use super::error::Refusal;
use super::path::{IdentityName, Target};
use super::reply::Reply;
use crate::Cluster;

/// Location of the resource groups that the clusters given at start live in.
const CLUSTER_LOCATION: &str = "westus2";

/// The subscription's content, by lower-case name.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    groups: BTreeMap<String, Group>,
}

/// A resource group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(super) name: String,
    pub(super) location: String,
    pub(super) tags: Value,
    identities: BTreeMap<String, Identity>,
    clusters: BTreeMap<String, Cluster>,
}

/// A user-assigned managed identity.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(super) location: String,
    pub(super) tags: Value,
    pub(crate) client_id: Uuid,
    pub(crate) principal_id: Uuid,
    pub(crate) credentials: BTreeMap<String, FederatedCredential>,
}

impl Resources {
    /// A subscription with these clusters and their resource groups.
    pub(crate) fn with(clusters: Vec<Cluster>) -> Self {
        let mut resources = Self::default();
        for cluster in clusters {
            resources
                .groups
                .entry(cluster.resource_group.to_lowercase())
                .or_insert_with(|| Group {
                    name: cluster.resource_group.clone(),
                    location: CLUSTER_LOCATION.to_owned(),
                    tags: json!({}),
                    identities: BTreeMap::new(),
                    clusters: BTreeMap::new(),
                })
                .clusters
                .insert(cluster.name.to_lowercase(), cluster);
        }
        resources
    }

    /// The identity with this client id.
    pub(crate) fn identity_of(&self, client_id: &str) -> Option<&Identity> {
        let client_id: Uuid = client_id.parse().ok()?;
        self.groups
            .values()
            .flat_map(|group| group.identities.values())
            .find(|identity| identity.client_id == client_id)
    }

    /// Answers an authenticated request.
    pub(crate) fn answer(
        &mut self,
        method: &Method,
        target: &Target,
        body: &Value,
    ) -> Result<Reply, Refusal> {
        match (method.as_str(), target) {
            ("GET", Target::Subscriptions) => Ok(Reply::list(std::iter::once(subscription()))),
            ("GET", Target::Group(name)) => Ok(Reply::ok(self.group(name)?.json())),
            ("HEAD", Target::Group(name)) => Ok(Reply {
                status: match self.group(name) {
                    Ok(_) => StatusCode::NO_CONTENT,
                    Err(refusal) => refusal.status(),
                },
                body: None,
            }),
            ("PUT", Target::Group(name)) => self.put_group(name, body),
            ("GET", Target::Identities(Some(group))) => {
                let group = self.group(group)?;
                Ok(Reply::list(
                    group.identities.values().map(|one| one.json(group)),
                ))
            }
            ("GET", Target::Identities(None)) => {
                Ok(Reply::list(self.groups.values().flat_map(|group| {
                    group.identities.values().map(|one| one.json(group))
                })))
            }
            ("GET", Target::Identity(at)) => {
                let group = self.group(&at.group)?;
                Ok(Reply::ok(group.identity(&at.name)?.json(group)))
            }
            ("PUT", Target::Identity(at)) => self.put_identity(at, body),
            ("DELETE", Target::Identity(at)) => {
                let identities = &mut self.group_mut(&at.group)?.identities;
                Ok(Reply::deleted(
                    identities.remove(&at.name.to_lowercase()).is_some(),
                ))
            }
            ("GET", Target::Credentials(at)) => {
                let (id, identity) = self.parent(at)?;
                Ok(Reply::list(
                    identity.credentials.values().map(|one| one.json(&id)),
                ))
            }
            ("GET", Target::Credential(at, name)) => {
                let (id, identity) = self.parent(at)?;
                match identity.credentials.get(&name.to_lowercase()) {
                    Some(credential) => Ok(Reply::ok(credential.json(&id))),
                    None => Err(Refusal::ResourceNotFound {
                        resource: format!(
                            "Microsoft.ManagedIdentity/userAssignedIdentities/{}/federatedIdentityCredentials/{name}",
                            at.name
                        ),
                        group: at.group.clone(),
                    }),
                }
            }
            ("PUT", Target::Credential(at, name)) => self.put_credential(at, name, body),
            ("DELETE", Target::Credential(at, name)) => {
                let (_, identity) = self.parent(at)?;
                Ok(Reply::deleted(
                    identity.credentials.remove(&name.to_lowercase()).is_some(),
                ))
            }
            ("GET", Target::Cluster { group, name }) => {
                let group = self.group(group)?;
                match group.clusters.get(&name.to_lowercase()) {
                    Some(cluster) => Ok(Reply::ok(group.cluster_json(cluster))),
                    None => Err(group.lacks("Microsoft.ContainerService/managedClusters", name)),
                }
            }
            (method, _) => Err(Refusal::MethodNotAllowed(method.to_owned())),
        }
    }

    fn group(&self, name: &str) -> Result<&Group, Refusal> {
        self.groups
            .get(&name.to_lowercase())
            .ok_or_else(|| Refusal::GroupNotFound(name.to_owned()))
    }

    fn group_mut(&mut self, name: &str) -> Result<&mut Group, Refusal> {
        self.groups
            .get_mut(&name.to_lowercase())
            .ok_or_else(|| Refusal::GroupNotFound(name.to_owned()))
    }

    /// The identity that a credential hangs on, and its id.
    fn parent(&mut self, at: &IdentityName) -> Result<(String, &mut Identity), Refusal> {
        let group = self.group_mut(&at.group)?;
        let missing = || Refusal::ParentNotFound(identity_id(&at.group, &at.name));
        let name = group.name.clone();
        let identity = group
            .identities
            .get_mut(&at.name.to_lowercase())
            .ok_or_else(missing)?;
        Ok((identity_id(&name, &identity.name), identity))
    }

    fn put_group(&mut self, name: &str, body: &Value) -> Result<Reply, Refusal> {
        if !(1..=90).contains(&name.chars().count()) {
            return Err(Refusal::InvalidGroupName(name.to_owned()));
        }
        let asked = location(body)?;
        let tags = tags(body);
        let key = name.to_lowercase();
        let created = !self.groups.contains_key(&key);
        let group = self.groups.entry(key).or_insert_with(|| Group {
            name: name.to_owned(),
            location: asked.clone(),
            tags: Value::Null,
            identities: BTreeMap::new(),
            clusters: BTreeMap::new(),
        });
        if group.location != asked {
            return Err(Refusal::GroupLocation {
                asked,
                actual: group.location.clone(),
            });
        }
        group.tags = tags;
        Ok(Reply::put(created, group.json()))
    }

    fn put_identity(&mut self, at: &IdentityName, body: &Value) -> Result<Reply, Refusal> {
        let group = self.group_mut(&at.group)?;
        let asked = location(body)?;
        let tags = tags(body);
        let key = at.name.to_lowercase();
        let created = !group.identities.contains_key(&key);
        let identity = group.identities.entry(key).or_insert_with(|| Identity {
            name: at.name.clone(),
            location: asked.clone(),
            tags: Value::Null,
            client_id: Uuid::new_v4(),
            principal_id: Uuid::new_v4(),
            credentials: BTreeMap::new(),
        });
        if identity.location != asked {
            return Err(Refusal::ResourceLocation {
                name: identity.name.clone(),
                group: group.name.clone(),
                asked,
                actual: identity.location.clone(),
            });
        }
        identity.tags = tags;
        Ok(Reply::put(created, group.identity(&at.name)?.json(group)))
    }

    fn put_credential(
        &mut self,
        at: &IdentityName,
        name: &str,
        body: &Value,
    ) -> Result<Reply, Refusal> {
        let (id, identity) = self.parent(at)?;
        let mut credential = FederatedCredential::parse(name, body)?;
        let key = name.to_lowercase();
        let others = || {
            identity
                .credentials
                .iter()
                .filter(|(other, _)| **other != key)
        };
        if others().any(|(_, other)| {
            other.issuer == credential.issuer && other.subject == credential.subject
        }) {
            return Err(Refusal::DuplicateCredential);
        }
        let existing = identity.credentials.get(&key);
        if existing.is_none() && identity.credentials.len() >= MOST {
            return Err(Invalid::TooMany.into());
        }
        if let Some(existing) = existing {
            credential.name.clone_from(&existing.name);
        }
        let reply = Reply::put(existing.is_none(), credential.json(&id));
        identity.credentials.insert(key, credential);
        Ok(reply)
    }
}

impl Group {
    fn identity(&self, name: &str) -> Result<&Identity, Refusal> {
        self.identities
            .get(&name.to_lowercase())
            .ok_or_else(|| self.lacks("Microsoft.ManagedIdentity/userAssignedIdentities", name))
    }

    fn lacks(&self, kind: &str, name: &str) -> Refusal {
        Refusal::ResourceNotFound {
            resource: format!("{kind}/{name}"),
            group: self.name.clone(),
        }
    }
}
