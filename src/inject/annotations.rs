//! The annotations of a ServiceAccount or Namespace, trimmed to the ones we read, and a Namespace's Pod Security level.

use std::borrow::Cow;

use crate::names;

/// Our own keys and values; small, since the webhook holds one for every ServiceAccount of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    entries: Box<[(Cow<'static, str>, Box<str>)]>,
    pod_security: Option<PodSecurity>,
}

/// A Pod Security level that forbids something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodSecurity {
    /// No privilege beyond a container's usual ones.
    Baseline,
    /// Least privilege.
    Restricted,
}

impl PodSecurity {
    /// The level as the label has it; none for `privileged`, and for what is no level.
    fn of(label: &str) -> Option<Self> {
        [Self::Baseline, Self::Restricted]
            .into_iter()
            .find(|level| level.as_str() == label)
    }

    /// The word of the label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

impl Annotations {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| &**value)
    }

    /// The value of a key, an empty one counting as none.
    #[must_use]
    pub fn non_empty(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.is_empty())
    }

    /// The same, of a Namespace that has that value of the label [`names::POD_SECURITY`].
    #[must_use]
    pub fn with_pod_security(mut self, label: Option<&str>) -> Self {
        self.pod_security = label.and_then(PodSecurity::of);
        self
    }

    /// The Pod Security level that is enforced in the Namespace.
    #[must_use]
    pub fn pod_security(&self) -> Option<PodSecurity> {
        self.pod_security
    }

    /// The keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| &**key)
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Annotations {
    /// Keeps our keys and what may be meant as one, drops the rest.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(annotations: I) -> Self {
        let entries = annotations
            .into_iter()
            .filter(|(key, _)| names::resembles_ours(key.as_ref()))
            .map(|(key, value)| (shared(key.as_ref()), Box::from(value.as_ref())));
        Annotations {
            entries: entries.collect(),
            pod_security: None,
        }
    }
}

/// A known key costs no memory of its own.
fn shared(key: &str) -> Cow<'static, str> {
    match names::ANNOTATIONS.iter().find(|known| **known == key) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(key.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_only_our_keys() {
        let annotations: Annotations = [
            (names::CLIENT_ID, "id"),
            ("azure.workload.identity/client_id", "misspelt"),
            ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
            (names::TENANT_ID, ""),
        ]
        .into_iter()
        .collect();
        assert_eq!(annotations.keys().count(), 3);
        assert_eq!(annotations.get(names::CLIENT_ID), Some("id"));
        assert_eq!(annotations.get(names::TENANT_ID), Some(""));
        assert_eq!(annotations.non_empty(names::TENANT_ID), None);
    }
}
