//! A plan as explicit RFC 6902 operations on the raw pod: append, or insert where the order asks for it;
//! create a missing parent once; never remove, never rewrite a list.

use std::borrow::Cow;
use std::collections::BTreeSet;

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use super::addition::Addition;
use super::headers::Accepted;
use super::parts::Part;
use super::status::Status;
use super::volume::TokenVolume;
use super::{Capture, Container, List, Plan, Pod, Proxy, parts, sidecar};
use crate::names;

/// What the pod lacks, in the order in which it is added; nothing where it lacks nothing.
#[must_use]
pub fn additions<'a>(pod: &'a Value, plan: &'a Plan) -> Vec<Addition<'a>> {
    // A status that can't be read says nothing about what was there before.
    let status = Status::of(Pod(pod)).ok().flatten().unwrap_or_default();
    Builder::built(pod, plan, status).operations
}

/// The same as a patch that can be applied.
#[must_use]
pub fn patch(pod: &Value, plan: &Plan) -> Patch {
    let additions = additions(pod, plan).into_iter();
    Patch(additions.map(PatchOperation::from).collect())
}

/// What those operations add, by name; nothing where there are none.
#[must_use]
pub fn added(pod: &Value, plan: &Plan) -> Option<Status> {
    let built = Builder::built(pod, plan, Status::default());
    (!built.operations.is_empty()).then_some(built.status)
}

struct Builder<'a> {
    pod: Pod<'a>,
    plan: &'a Plan,
    operations: Vec<Addition<'a>>,
    status: Status,
    /// Parents that operations of this pass create.
    created: BTreeSet<String>,
    /// Whether something mounts the token volume.
    mounted: bool,
}

impl<'a> Builder<'a> {
    fn built(pod: &'a Value, plan: &'a Plan, status: Status) -> Self {
        let mut builder = Builder {
            pod: Pod(pod),
            plan,
            operations: Vec::new(),
            status,
            created: BTreeSet::new(),
            mounted: false,
        };
        if pod.is_object() {
            builder.add();
        }
        builder
    }

    fn add(&mut self) {
        // Containers first, while their places are still those of the pod as it came.
        let volume = TokenVolume::of(self.pod, &self.plan.identity.audience);
        self.mounted = self
            .pod
            .containers()
            .any(|container| container.mounts(volume.name()));
        for container in self
            .pod
            .containers()
            .filter(|container| self.plan.settings.reaches(container.name()))
        {
            self.add_to_container(container, volume.name());
        }
        if let Some(proxy) = &self.plan.settings.proxy {
            self.add_proxy(proxy, volume.name());
        }
        if self.mounted && volume == TokenVolume::Absent {
            self.status.volumes.insert(names::TOKEN_VOLUME.to_owned());
            self.append(
                &["spec"],
                "volumes",
                self.pod.spec("volumes"),
                "volumes",
                vec![Part::Volume(parts::volume(self.plan))],
            );
        }
        if !self.operations.is_empty() {
            self.add_roots();
            self.add_status();
        }
    }

    fn add_to_container(&mut self, container: Container<'a>, volume: &'a str) {
        let mut variables = parts::identity_variables(&self.plan.identity);
        if let Some(proxy) = self
            .plan
            .settings
            .proxy
            .as_ref()
            .filter(|_| !container.injected())
        {
            variables.extend(parts::proxy_variables(proxy));
        }
        variables.retain(|variable| container.variable(&variable.name).is_none());
        let index = container.index.to_string();
        let path = ["spec", container.list.key(), &index];
        let reads_token = match container.variable(names::AZURE_FEDERATED_TOKEN_FILE) {
            Some(own) => own
                .get("value")
                .is_some_and(|file| file == names::TOKEN_PATH),
            None => true,
        };
        if !variables.is_empty() {
            let added = self
                .status
                .env
                .entry(container.name().to_owned())
                .or_default();
            added.extend(variables.iter().map(|variable| variable.name.to_string()));
            let created = format!("{}/env", container.name());
            let variables = variables.into_iter().map(Part::Variable).collect();
            self.append(&path, "env", container.raw.get("env"), &created, variables);
        }
        if reads_token && container.mount_at(names::TOKEN_MOUNT).is_none() {
            self.mounted = true;
            self.status.mounts.insert(container.name().to_owned());
            let created = format!("{}/volumeMounts", container.name());
            self.append(
                &path,
                "volumeMounts",
                container.raw.get("volumeMounts"),
                &created,
                vec![Part::Mount(parts::mount(volume))],
            );
        }
    }

    fn add_proxy(&mut self, proxy: &'a Proxy, volume: &'a str) {
        let list = if self.plan.native_sidecar {
            List::Init
        } else {
            List::Regular
        };
        let redirect = self.pod.container(names::INIT_CONTAINER);
        let present = self.pod.container(names::PROXY_CONTAINER);
        match present {
            Some(container) if self.status.added(names::PROXY_CONTAINER) => {
                self.add_accepted_headers(container);
            }
            Some(_) => {}
            None => {
                self.mounted = true;
                // A redirect that is there already keeps its place before the proxy.
                let after = redirect
                    .filter(|redirect| redirect.list == list)
                    .map(|redirect| redirect.index + 1);
                let container = sidecar::proxy_container(self.plan, proxy, self.pod, volume);
                self.insert_container(list, after.unwrap_or(0), names::PROXY_CONTAINER, container);
            }
        }
        if proxy.capture == Capture::Redirect && redirect.is_none() {
            // A proxy that is there already keeps its place after the redirect: before it nobody would answer.
            let before = present
                .filter(|proxy| proxy.list == List::Init)
                .map_or(0, |proxy| proxy.index);
            let container = sidecar::redirect_container(self.plan, proxy);
            self.insert_container(List::Init, before, names::INIT_CONTAINER, container);
        }
        // A proxy that is there already may stand in the other list.
        if present.map_or(list, |proxy| proxy.list) == List::Regular {
            self.add_default_container();
        }
    }

    /// Our proxy learns the headers of containers that came after it.
    fn add_accepted_headers(&mut self, proxy: Container<'a>) {
        let missing = Accepted::missing(self.pod, Some(proxy));
        let Some(values) = missing.values else { return };
        let index = proxy.index.to_string();
        let path = ["spec", proxy.list.key(), &index, "env"];
        let end: Vec<&str> = path.into_iter().chain(["-"]).collect();
        for source in missing.sources {
            self.operation(&end, Part::Variable(source));
        }
        // The kubelet expands references to what stands before and takes the last of a name: the list comes anew, at the end.
        self.operation(&end, Part::Variable(parts::accepted_headers(values)));
    }

    fn insert_container(
        &mut self,
        list: List,
        place: usize,
        name: &str,
        container: sidecar::Container<'a>,
    ) {
        let container = Part::Container(Box::new(container));
        let before = self.pod.spec(list.key());
        let exists = before.is_some_and(Value::is_array) || self.created.contains(list.key());
        let added = match list {
            List::Init => &mut self.status.init_containers,
            List::Regular => &mut self.status.containers,
        };
        added.insert(name.to_owned());
        if exists {
            self.operation(&["spec", list.key(), &place.to_string()], container);
        } else {
            self.create(list.key(), before);
            self.operation(&["spec", list.key()], Part::List(vec![container]));
        }
    }

    /// kubectl would else pick the proxy, which stands first among the containers.
    fn add_default_container(&mut self) {
        let first = self
            .pod
            .list(List::Regular)
            .find(|container| !container.injected());
        let mut annotations = self.pod.annotation_keys();
        let chosen = annotations.any(|key| key == names::DEFAULT_CONTAINER);
        let (Some(first), false) = (first, chosen) else {
            return;
        };
        self.annotate(names::DEFAULT_CONTAINER, first.name().into());
        self.status
            .annotations
            .insert(names::DEFAULT_CONTAINER.to_owned());
    }

    fn add_status(&mut self) {
        self.annotations();
        self.status.keep_foreign(self.pod);
        self.status.stamp(self.plan);
        // Plain strings in plain collections always serialise.
        let status = serde_json::to_string(&self.status).unwrap_or_default();
        self.annotate(names::STATUS, status.into());
    }

    /// A pod without metadata or spec gets them before anything is put in.
    fn add_roots(&mut self) {
        for root in ["metadata", "spec"] {
            let before = self.pod.0.get(root);
            if !before.is_some_and(Value::is_object) {
                self.create(root, before);
                self.operations
                    .insert(0, Addition::at(&[root], Part::Empty {}));
            }
        }
    }

    fn annotate(&mut self, key: &str, value: Cow<'a, str>) {
        self.annotations();
        self.operation(&["metadata", "annotations", key], Part::Text(value));
    }

    fn annotations(&mut self) {
        let before = self.pod.metadata("annotations");
        if !before.is_some_and(Value::is_object) && !self.created.contains("annotations") {
            self.create("annotations", before);
            self.operation(&["metadata", "annotations"], Part::Empty {});
        }
    }

    fn create(&mut self, place: &str, before: Option<&Value>) {
        self.status.create(place, before);
        self.created.insert(place.to_owned());
    }

    /// Appends to a list, or creates it with these elements.
    fn append(
        &mut self,
        parent: &[&str],
        key: &str,
        list: Option<&Value>,
        created: &str,
        elements: Vec<Part<'a>>,
    ) {
        let path: Vec<&str> = parent.iter().copied().chain([key]).collect();
        if list.is_some_and(Value::is_array) {
            let end: Vec<&str> = path.iter().copied().chain(["-"]).collect();
            for element in elements {
                self.operation(&end, element);
            }
        } else {
            self.create(created, list);
            self.operation(&path, Part::List(elements));
        }
    }

    fn operation(&mut self, path: &[&str], value: Part<'a>) {
        self.operations.push(Addition::at(path, value));
    }
}
