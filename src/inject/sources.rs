//! Where settings are looked up, and on which objects each key may stand.

use std::fmt;

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

/// An object whose annotations are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The pod.
    Pod,
    /// Its ServiceAccount.
    ServiceAccount,
    /// Its Namespace.
    Namespace,
}

/// The objects that an annotation may stand on, nearest first.
#[must_use]
pub fn origins(key: &str) -> &'static [Origin] {
    match key {
        names::CLIENT_ID | names::TENANT_ID | names::RESOURCE_IDS => &[Origin::ServiceAccount],
        names::SELECT => &[Origin::Namespace],
        names::TOKEN_EXPIRATION => &[Origin::Pod, Origin::ServiceAccount, Origin::Namespace],
        _ => &[Origin::Pod, Origin::Namespace],
    }
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

    /// The value of an annotation, and the object it stands on.
    #[must_use]
    pub fn find(self, key: &str) -> Option<(Origin, &'a str)> {
        // What a ServiceAccount can say, an empty value does not say.
        let empty_counts = !origins(key).contains(&Origin::ServiceAccount);
        origins(key).iter().find_map(|origin| {
            let value = match origin {
                Origin::Pod => self.pod.annotation(key),
                Origin::ServiceAccount => self.service_account.get(key),
                Origin::Namespace => self.namespace.get(key),
            };
            let value = value.filter(|value| empty_counts || !value.is_empty());
            value.map(|value| (*origin, value))
        })
    }

    /// The value of an annotation.
    #[must_use]
    pub fn get(self, key: &str) -> Option<&'a str> {
        self.find(key).map(|(_, value)| value)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Pod => "pod",
            Origin::ServiceAccount => "ServiceAccount",
            Origin::Namespace => "Namespace",
        })
    }
}
