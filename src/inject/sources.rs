//! Where settings are looked up: on the nearest object that says something.

use super::keys::Place;
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

    /// The value of an annotation, and the nearest object it stands on.
    #[must_use]
    pub fn find(self, key: &str) -> Option<(Place, &'a str)> {
        // What a ServiceAccount can say, an empty value does not say.
        let empty_counts = !Place::ServiceAccount.knows(key);
        let places = Place::NEAREST.into_iter().filter(|place| place.knows(key));
        let mut values = places.filter_map(|place| {
            let value = match place {
                Place::PodAnnotation => self.pod.annotation(key),
                Place::ServiceAccount => self.service_account.get(key),
                Place::Namespace => self.namespace.get(key),
                Place::PodLabel => self.pod.label(key),
            };
            Some((place, value?))
        });
        values.find(|(_, value)| empty_counts || !value.is_empty())
    }

    /// The identity's client id, which the ServiceAccount alone can say.
    #[must_use]
    pub fn client_id(self) -> Option<&'a str> {
        self.service_account.non_empty(names::CLIENT_ID)
    }

    /// The value of an annotation.
    #[must_use]
    pub fn get(self, key: &str) -> Option<&'a str> {
        self.find(key).map(|(_, value)| value)
    }
}
