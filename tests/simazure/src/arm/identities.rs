//! User-assigned managed identities and their federated credentials.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::Call;
use super::credentials::{FederatedCredential, Invalid, MOST};
use super::error::Refusal;
use super::groups::{Group, location, patch_tags, resource_id, tags};
use super::path::Place;
use super::reply::Reply;
use super::resources::Resources;
use crate::TENANT;
use crate::entra::directory::{Application, Change};

const KIND: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";

/// Regions whose identities can have no federated credentials.
const WITHOUT_CREDENTIALS: [&str; 2] = ["malaysiasouth", "newzealandnorth"];

/// A user-assigned managed identity.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) name: String,
    location: String,
    tags: Value,
    isolation: String,
    pub(super) client_id: Uuid,
    pub(super) principal_id: Uuid,
    credentials: BTreeMap<String, FederatedCredential>,
    /// Until when a write of a credential runs.
    writing: Option<Timestamp>,
}

impl Identity {
    fn json(&self, group: &Group) -> Value {
        json!({
            "id": self.id(group),
            "name": self.name,
            "type": KIND,
            "location": self.location,
            "tags": self.tags,
            "properties": {
                "tenantId": TENANT,
                "principalId": self.principal_id.to_string(),
                "clientId": self.client_id.to_string(),
                "isolationScope": self.isolation,
            },
        })
    }

    fn id(&self, group: &Group) -> String {
        resource_id(&group.name, KIND, &self.name)
    }

    /// Begins a write of a credential. They must come one after the other.
    fn begin_write(&mut self, until: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        if self.writing.is_some_and(|until| now < until) {
            return Err(Refusal::ConcurrentCredentialWrites(self.name.clone()));
        }
        self.writing = Some(until);
        Ok(())
    }

    /// What an identity can't have beside what it has.
    fn check(&self, key: &str, asked: &FederatedCredential) -> Result<(), Refusal> {
        if WITHOUT_CREDENTIALS.contains(&self.location.as_str()) {
            return Err(Refusal::CredentialsNotEnabled);
        }
        let duplicate = self.credentials.iter().any(|(other, credential)| {
            other != key && credential.issuer == asked.issuer && credential.claim == asked.claim
        });
        if duplicate {
            return Err(Refusal::DuplicateCredential);
        }
        if !self.credentials.contains_key(key) && self.credentials.len() >= MOST {
            return Err(Invalid::TooMany.into());
        }
        Ok(())
    }
}

impl Group {
    pub(super) fn identity(&self, name: &str) -> Result<&Identity, Refusal> {
        self.identities
            .get(&name.to_lowercase())
            .ok_or_else(|| self.lacks(KIND, name))
    }

    pub(super) fn identities_json(&self) -> Vec<Value> {
        self.identities.values().map(|one| one.json(self)).collect()
    }
}

impl Resources {
    pub(super) fn answer_identity(&mut self, at: &Place, call: &Call) -> Result<Reply, Refusal> {
        match call.method.as_str() {
            "GET" => {
                let group = self.group(&at.group)?;
                Ok(Reply::ok(group.identity(&at.name)?.json(group)))
            }
            "PUT" => self.put_identity(at, call),
            "PATCH" => {
                let group = self.group_mut(&at.group)?;
                group.identity(&at.name)?;
                if let Some(identity) = group.identities.get_mut(&at.name.to_lowercase()) {
                    patch_tags(&mut identity.tags, &call.body);
                }
                Ok(Reply::ok(group.identity(&at.name)?.json(group)))
            }
            "DELETE" => {
                let group = self.group_mut(&at.group)?;
                let removed = group.identities.remove(&at.name.to_lowercase());
                if let Some(identity) = &removed {
                    let scope = identity.id(group).to_lowercase();
                    self.assignments.forget(&scope);
                    self.announce_deletion(identity, call.now);
                }
                Ok(Reply::deleted(removed.is_some()))
            }
            other => Err(Refusal::MethodNotAllowed(other.to_owned())),
        }
    }

    pub(super) fn announce_deletion(&mut self, identity: &Identity, now: Timestamp) {
        self.directory
            .send(identity.client_id, Change::Deleted, now);
    }

    fn put_identity(&mut self, at: &Place, call: &Call) -> Result<Reply, Refusal> {
        let group = self.group_mut(&at.group)?;
        let asked = location(&call.body)?;
        let isolation = isolation(&call.body)?;
        let key = at.name.to_lowercase();
        let created = !group.identities.contains_key(&key);
        let identity = group.identities.entry(key).or_insert_with(|| Identity {
            name: at.name.clone(),
            location: asked.clone(),
            tags: Value::Null,
            isolation: isolation.clone(),
            client_id: Uuid::new_v4(),
            principal_id: Uuid::new_v4(),
            credentials: BTreeMap::new(),
            writing: None,
        });
        if identity.location != asked {
            return Err(Refusal::ResourceLocation {
                name: identity.name.clone(),
                group: group.name.clone(),
                asked,
                actual: identity.location.clone(),
            });
        }
        identity.tags = tags(&call.body);
        identity.isolation = isolation;
        let application = Application {
            client_id: identity.client_id,
            principal_id: identity.principal_id,
            name: identity.name.clone(),
            credentials: BTreeMap::new(),
        };
        let reply = Reply::put(created, group.identity(&at.name)?.json(group));
        if created {
            let client_id = application.client_id;
            let change = Change::Created(application);
            self.directory.send(client_id, change, call.now);
        }
        Ok(reply)
    }

    pub(super) fn credentials(&mut self, at: &Place, call: &Call) -> Result<Vec<Value>, Refusal> {
        let (id, identity) = self.parent(at, call.now)?;
        Ok(identity
            .credentials
            .values()
            .map(|one| one.json(&id, call.is_preview()))
            .collect())
    }

    pub(super) fn answer_credential(
        &mut self,
        at: &Place,
        name: &str,
        call: &Call,
    ) -> Result<Reply, Refusal> {
        let until = call.now + self.lags.write;
        let after = self.lags.write;
        let (id, identity) = self.parent(at, call.now)?;
        let client_id = identity.client_id;
        let key = name.to_lowercase();
        let (reply, change) = match call.method.as_str() {
            "GET" => {
                return match identity.credentials.get(&key) {
                    Some(credential) => Ok(Reply::ok(credential.json(&id, call.is_preview()))),
                    None => Err(Refusal::ResourceNotFound {
                        resource: format!("{KIND}/{}/federatedIdentityCredentials/{name}", at.name),
                        group: at.group.clone(),
                    }),
                };
            }
            "PUT" => {
                let mut credential =
                    FederatedCredential::parse(name, &call.body, call.is_preview())?;
                identity.check(&key, &credential)?;
                identity.begin_write(until, call.now)?;
                let existing = identity.credentials.get(&key);
                if let Some(existing) = existing {
                    credential.name.clone_from(&existing.name);
                }
                let body = credential.json(&id, call.is_preview());
                let reply = Reply::put(existing.is_none(), body);
                identity.credentials.insert(key.clone(), credential.clone());
                (reply, Some(credential))
            }
            "DELETE" => {
                identity.begin_write(until, call.now)?;
                let removed = identity.credentials.remove(&key);
                (Reply::deleted(removed.is_some()), None)
            }
            other => return Err(Refusal::MethodNotAllowed(other.to_owned())),
        };
        let change = Change::Credential(key, change);
        self.directory.send(client_id, change, call.now);
        Ok(Reply { after, ..reply })
    }

    /// The identity that a credential hangs on, and its id. Its provider learns of a new one late, as Entra does.
    fn parent(&mut self, at: &Place, now: Timestamp) -> Result<(String, &mut Identity), Refusal> {
        let missing = || Refusal::ParentNotFound(resource_id(&at.group, KIND, &at.name));
        let client_id = match self.group(&at.group)?.identity(&at.name) {
            Ok(identity) => identity.client_id,
            Err(_) => return Err(missing()),
        };
        if self.directory.known(client_id, now).is_none() {
            return Err(missing());
        }
        let group = self.group_mut(&at.group)?;
        let name = group.name.clone();
        let identity = group
            .identities
            .get_mut(&at.name.to_lowercase())
            .ok_or_else(missing)?;
        Ok((resource_id(&name, KIND, &identity.name), identity))
    }
}

fn isolation(body: &Value) -> Result<String, Refusal> {
    match body["properties"]["isolationScope"].as_str() {
        None => Ok("None".to_owned()),
        Some(scope @ ("None" | "Regional")) => Ok(scope.to_owned()),
        Some(other) => Err(Refusal::InvalidProperty(
            other.to_owned(),
            "isolationScope",
            "it must be None or Regional",
        )),
    }
}
