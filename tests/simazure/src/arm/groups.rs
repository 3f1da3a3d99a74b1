//! Resource groups.

use std::collections::BTreeMap;

use axum::http::{StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::Call;
use super::error::Refusal;
use super::identities::Identity;
use super::managed_cluster::ManagedCluster;
use super::operations::{result_url, wait};
use super::reply::Reply;
use super::resources::Resources;
use crate::SUBSCRIPTION;

/// A resource group and what is in it, by lower-case name.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) location: String,
    tags: Value,
    /// When it will be gone, once its deletion began.
    pub(super) deleting: Option<Timestamp>,
    pub(super) identities: BTreeMap<String, Identity>,
    pub(super) clusters: BTreeMap<String, ManagedCluster>,
}

impl Group {
    pub(super) fn new(name: &str, location: &str) -> Self {
        Self {
            name: name.to_owned(),
            location: location.to_owned(),
            tags: json!({}),
            deleting: None,
            identities: BTreeMap::new(),
            clusters: BTreeMap::new(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let state = match self.deleting {
            Some(_) => "Deleting",
            None => "Succeeded",
        };
        json!({
            "id": group_id(&self.name),
            "name": self.name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": self.location,
            "tags": self.tags,
            "properties": {"provisioningState": state},
        })
    }

    pub(super) fn everything(&self) -> Vec<Value> {
        let generic = |mut item: Value| {
            if let Some(document) = item.as_object_mut() {
                document.retain(|key, _| {
                    ["id", "name", "type", "location", "tags"].contains(&key.as_str())
                });
            }
            item
        };
        let all = self
            .identities_json()
            .into_iter()
            .chain(self.clusters_json());
        all.map(generic).collect()
    }

    pub(super) fn refuse_when_being_deleted(&self) -> Result<(), Refusal> {
        match self.deleting {
            Some(_) => Err(Refusal::GroupBeingDeleted(self.name.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn lacks(&self, kind: &str, name: &str) -> Refusal {
        Refusal::ResourceNotFound {
            resource: format!("{kind}/{name}"),
            group: self.name.clone(),
        }
    }
}

impl Resources {
    pub(super) fn group(&self, name: &str) -> Result<&Group, Refusal> {
        self.groups
            .get(&name.to_lowercase())
            .ok_or_else(|| Refusal::GroupNotFound(name.to_owned()))
    }

    pub(super) fn group_mut(&mut self, name: &str) -> Result<&mut Group, Refusal> {
        self.groups
            .get_mut(&name.to_lowercase())
            .ok_or_else(|| Refusal::GroupNotFound(name.to_owned()))
    }

    pub(super) fn answer_group(&mut self, name: &str, call: &Call) -> Result<Reply, Refusal> {
        match call.method.as_str() {
            "GET" => Ok(Reply::ok(self.group(name)?.json())),
            "HEAD" => Ok(Reply::status(match self.group(name) {
                Ok(_) => StatusCode::NO_CONTENT,
                Err(refusal) => refusal.status(),
            })),
            "PUT" => self.put_group(name, &call.body),
            "PATCH" => {
                let group = self.group_mut(name)?;
                group.refuse_when_being_deleted()?;
                patch_tags(&mut group.tags, &call.body);
                Ok(Reply::ok(group.json()))
            }
            "DELETE" => self.delete_group(name, call.now),
            other => Err(Refusal::MethodNotAllowed(other.to_owned())),
        }
    }

    fn put_group(&mut self, name: &str, body: &Value) -> Result<Reply, Refusal> {
        if !(1..=90).contains(&name.chars().count()) {
            return Err(Refusal::InvalidGroupName(name.to_owned()));
        }
        let asked = location(body)?;
        let key = name.to_lowercase();
        let created = !self.groups.contains_key(&key);
        let group = self
            .groups
            .entry(key)
            .or_insert_with(|| Group::new(name, &asked));
        group.refuse_when_being_deleted()?;
        if group.location != asked {
            return Err(Refusal::GroupLocation {
                asked,
                actual: group.location.clone(),
            });
        }
        group.tags = tags(body);
        Ok(Reply::put(created, group.json()))
    }

    /// Begins to delete; a second request joins the first.
    fn delete_group(&mut self, name: &str, now: Timestamp) -> Result<Reply, Refusal> {
        let ends = now + self.lags.operation;
        let until = *self.group_mut(name)?.deleting.get_or_insert(ends);
        let operation = self.operations.start(until);
        let location = result_url(&self.origin, operation);
        Ok(Reply::status(StatusCode::ACCEPTED).poll(header::LOCATION, &location, wait(until, now)))
    }

    /// Takes a group away, and with it what was in it or assigned at it.
    pub(super) fn remove_group(&mut self, key: &str) {
        if let Some(group) = self.groups.remove(key) {
            self.assignments.forget(&group_id(&group.name));
            let now = group.deleting.unwrap_or_default();
            for identity in group.identities.values() {
                self.announce_deletion(identity, now);
            }
        }
    }
}

pub(super) fn group_id(group: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}")
}

/// A resource's id as its provider writes it, the group's segment in lower case: ids are to be compared without case.
pub(super) fn resource_id(group: &str, kind: &str, name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/{group}/providers/{kind}/{name}")
}

/// The location as Azure stores it: `West US 2` is `westus2`.
pub(super) fn location(body: &Value) -> Result<String, Refusal> {
    let location = body["location"]
        .as_str()
        .unwrap_or_default()
        .replace(' ', "")
        .to_lowercase();
    if location.is_empty() {
        return Err(Refusal::LocationRequired);
    }
    Ok(location)
}

/// The tags of a PUT, which replace the old ones: none given is none left.
pub(super) fn tags(body: &Value) -> Value {
    match &body["tags"] {
        tags @ Value::Object(_) => tags.clone(),
        _ => json!({}),
    }
}

/// The tags of a PATCH: those given replace the old ones, none given leaves them.
pub(super) fn patch_tags(tags: &mut Value, body: &Value) {
    if let asked @ Value::Object(_) = &body["tags"] {
        *tags = asked.clone();
    }
}
