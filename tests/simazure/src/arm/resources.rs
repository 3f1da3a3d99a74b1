//! What the subscription holds, and which of it answers a call. Names are looked up without regard to case and
//! answered as first given.

use std::collections::BTreeMap;

use axum::http::HeaderName;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::call::Call;
use super::error::Refusal;
use super::groups::Group;
use super::identities::Identity;
use super::limits::Limits;
use super::operations::Operations;
use super::path::Target;
use super::providers::{self, Providers};
use super::reply::Reply;
use super::role_definitions;
use super::roles::Assignments;
use crate::entra::directory::Directory;
use crate::options::{Lags, Options};

/// The subscription's content, and what is known of it elsewhere.
#[derive(Debug)]
pub(crate) struct Resources {
    /// Entra's knowledge of the identities.
    pub(crate) directory: Directory,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) assignments: Assignments,
    pub(super) operations: Operations,
    pub(super) lags: Lags,
    pub(super) origin: String,
    pub(super) page_size: usize,
    providers: Providers,
    limits: Limits,
}

impl Resources {
    /// The subscription at the start: the clusters of the options and their resource groups.
    pub(crate) fn new(origin: &str, options: &Options) -> Self {
        let mut resources = Self {
            directory: Directory::new(options.lags),
            groups: BTreeMap::new(),
            assignments: Assignments::default(),
            operations: Operations::default(),
            lags: options.lags,
            origin: origin.to_owned(),
            page_size: options.page_size.max(1),
            providers: Providers::without(&options.unregistered),
            limits: Limits::new(options.throttling),
        };
        for cluster in &options.clusters {
            resources.place(cluster);
        }
        resources
    }

    /// Counts a call, then answers it; the header tells how many more of its kind may follow.
    pub(crate) fn answer(&mut self, call: &Call) -> Result<Reply, Refusal> {
        let (header, left): (HeaderName, String) = self.limits.admit(call)?;
        self.settle(call.now);
        if let Some((provider, group)) = call.target.provider() {
            if !self.providers.is_registered(provider) {
                return Err(Refusal::NotRegistered(provider));
            }
            if let (Some(group), "PUT" | "PATCH") = (group, call.method.as_str()) {
                self.group(group)?.refuse_when_being_deleted()?;
            }
        }
        Ok(self.dispatch(call)?.with(header, left))
    }

    fn dispatch(&mut self, call: &Call) -> Result<Reply, Refusal> {
        let method = call.method.as_str();
        match &call.target {
            Target::Group(name) => self.answer_group(name, call),
            Target::Identity(place) => self.answer_identity(place, call),
            Target::Credential(place, name) => self.answer_credential(place, name, call),
            Target::Cluster(place) => self.answer_cluster(place, call),
            Target::Kubeconfig(place) if method == "POST" => self.kubeconfig(place),
            Target::Assignment(scope, name) => self.assignment(scope, name, call),
            Target::Registration(name) if method == "POST" => {
                Ok(Reply::ok(self.providers.register(name)?))
            }
            target if method == "GET" => match self.document(target, call.now)? {
                Some(document) => Ok(document),
                None => self.list(target, call),
            },
            _ => Err(Refusal::MethodNotAllowed(method.to_owned())),
        }
    }

    /// What is read as one document.
    fn document(&self, target: &Target, now: Timestamp) -> Result<Option<Reply>, Refusal> {
        Ok(Some(match target {
            Target::Subscription => Reply::ok(providers::subscription()),
            Target::Provider(name) => Reply::ok(self.providers.one(name)?),
            Target::Definition(id) => Reply::ok(role_definitions::definition(id)?),
            Target::OperationStatus(id) => self.operations.status(*id, now)?,
            Target::OperationResult(id) => self.operations.result(*id, now, &self.origin)?,
            _ => return Ok(None),
        }))
    }

    /// What is read page by page.
    fn list(&mut self, target: &Target, call: &Call) -> Result<Reply, Refusal> {
        let items: Vec<Value> = match target {
            Target::Tenants => vec![providers::tenant()],
            Target::Subscriptions => vec![providers::subscription()],
            Target::Locations => providers::locations().collect(),
            Target::Providers => self.providers.all().collect(),
            Target::Offers(name) => providers::offers(name)?,
            Target::Groups => self.groups.values().map(Group::json).collect(),
            Target::Everything(group) => {
                let group = group.as_deref();
                let group = group.or_else(|| call.query.filtered("resourceGroup"));
                let only = call.query.filtered("resourceType").map(str::to_lowercase);
                let mut items = self.collect(group, Group::everything)?;
                let kind = |item: &Value| item["type"].as_str().map(str::to_lowercase);
                items.retain(|item| only.is_none() || kind(item) == only);
                items
            }
            Target::Identities(group) => self.collect(group.as_deref(), Group::identities_json)?,
            Target::Clusters(group) => self.collect(group.as_deref(), Group::clusters_json)?,
            Target::Credentials(place) => self.credentials(place, call)?,
            Target::Assignments(scope) => return self.assignments(scope, call),
            Target::Definitions(_) => role_definitions::definitions(call).collect(),
            _ => return Err(Refusal::MethodNotAllowed(call.method.to_string())),
        };
        Reply::page(items.into_iter(), call, &self.origin, self.page_size)
    }

    /// What a group holds, or what all groups hold.
    fn collect(
        &self,
        group: Option<&str>,
        of: impl Fn(&Group) -> Vec<Value>,
    ) -> Result<Vec<Value>, Refusal> {
        Ok(match group {
            Some(name) => of(self.group(name)?),
            None => self.groups.values().flat_map(of).collect(),
        })
    }

    /// Whether an identity of the subscription has this principal, arrived in the directory or not.
    pub(super) fn is_principal(&self, principal_id: Uuid) -> bool {
        self.groups
            .values()
            .flat_map(|group| group.identities.values())
            .any(|identity: &Identity| identity.principal_id == principal_id)
    }

    /// Refuses a scope whose resource group, identity or cluster does not exist.
    pub(super) fn scope(&self, scope: &str) -> Result<(), Refusal> {
        let target = match Target::parse(scope) {
            Err(refusal @ Refusal::SubscriptionNotFound(_)) => return Err(refusal),
            // The root, a management group, or a resource of a provider that is not simulated.
            Err(_) => return Ok(()),
            Ok(target) => target,
        };
        match &target {
            Target::Group(name) => self.group(name).map(drop),
            Target::Identity(place) => self.group(&place.group)?.identity(&place.name).map(drop),
            Target::Cluster(place) => self.group(&place.group)?.cluster(&place.name).map(drop),
            _ => Ok(()),
        }
    }

    /// Ends what was to end by now.
    fn settle(&mut self, now: Timestamp) {
        let gone: Vec<String> = self
            .groups
            .iter()
            .filter(|(_, group)| group.deleting.is_some_and(|until| until <= now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.remove_group(&key);
        }
        for group in self.groups.values_mut() {
            group.settle_clusters(now);
        }
    }
}
