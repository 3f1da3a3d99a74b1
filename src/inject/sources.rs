//! Where settings are looked up: on the nearest object that says something.

use super::keys::{Key, Place};
use super::{Annotations, Defaults, Input, Pod};
use crate::names;

/// Where settings are looked up.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The pod.
    pub pod: Pod<'a>,
    /// Its Namespace's annotations.
    pub namespace: &'a Annotations,
    /// Its ServiceAccount's annotations.
    pub service_account: &'a Annotations,
    /// The server's defaults.
    pub defaults: &'a Defaults,
}

impl<'a> Sources<'a> {
    /// The sources of a decision; `none` stands in for a ServiceAccount that is not known.
    #[must_use]
    pub fn of(input: &Input<'a>, none: &'a Annotations) -> Self {
        Sources {
            pod: Pod(input.pod),
            namespace: input.namespace,
            service_account: input.service_account.unwrap_or(none),
            defaults: input.defaults,
        }
    }

    /// The annotation of that name on the nearest object that has it, and its value.
    #[must_use]
    pub fn find(self, name: &'static str) -> Option<(Key, &'a str)> {
        // What a ServiceAccount can say, an empty value does not say.
        let empty_counts = !Place::ServiceAccount.knows(name);
        let places = Place::NEAREST.into_iter().filter(|place| place.knows(name));
        let mut values = places.filter_map(|place| {
            let value = match place {
                Place::PodAnnotation => self.pod.annotation(name),
                Place::ServiceAccount => self.service_account.get(name),
                Place::Namespace => self.namespace.get(name),
                Place::PodLabel => self.pod.label(name),
            };
            Some((Key { name, place }, value?))
        });
        values.find(|(_, value)| empty_counts || !value.is_empty())
    }

    /// The identity's client id, which the ServiceAccount alone can say.
    #[must_use]
    pub fn client_id(self) -> Option<&'a str> {
        self.service_account.non_empty(names::CLIENT_ID)
    }
}
