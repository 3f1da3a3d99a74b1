//! The kinds of objects there are, and the paths they are served at.

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Namespace,
    ServiceAccount,
    ConfigMap,
    Pod,
    MutatingWebhookConfiguration,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Namespace,
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Pod,
        Self::MutatingWebhookConfiguration,
    ];

    /// The kind's name in objects.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::ServiceAccount => "ServiceAccount",
            Self::ConfigMap => "ConfigMap",
            Self::Pod => "Pod",
            Self::MutatingWebhookConfiguration => "MutatingWebhookConfiguration",
        }
    }

    /// The kind's name in paths.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::ServiceAccount => "serviceaccounts",
            Self::ConfigMap => "configmaps",
            Self::Pod => "pods",
            Self::MutatingWebhookConfiguration => "mutatingwebhookconfigurations",
        }
    }

    /// Its group and version, as objects have it.
    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::MutatingWebhookConfiguration => "admissionregistration.k8s.io/v1",
            _ => "v1",
        }
    }

    /// Whether its objects are in a namespace.
    pub(crate) fn is_namespaced(self) -> bool {
        !matches!(self, Self::Namespace | Self::MutatingWebhookConfiguration)
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn with_plural(api_version: &str, plural: &str) -> Option<Self> {
        let is = |kind: &Self| kind.api_version() == api_version && kind.plural() == plural;
        Self::ALL.into_iter().find(is)
    }
}

/// What names one object. The namespace is empty where the kind has none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        let namespace = if kind.is_namespaced() { namespace } else { "" };
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Version,
    Discovery,
    Jwks,
    /// All objects of a kind, of one namespace or of all.
    Collection(Kind, Option<String>),
    Object(Key),
    /// TokenRequest of a ServiceAccount.
    Token(Key),
}

impl Target {
    /// Names are not percent-decoded: no legal one needs it.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        match parts[..] {
            ["version"] => Some(Self::Version),
            [".well-known", "openid-configuration"] => Some(Self::Discovery),
            ["openid", "v1", "jwks"] => Some(Self::Jwks),
            ["api", "v1", ref rest @ ..] => Self::of_version("v1", rest),
            ["apis", group, version, ref rest @ ..] => {
                Self::of_version(&format!("{group}/{version}"), rest)
            }
            _ => None,
        }
    }

    fn of_version(api_version: &str, parts: &[&str]) -> Option<Self> {
        let kind = |plural| Kind::with_plural(api_version, plural);
        let namespaced = |plural| kind(plural).filter(|kind| kind.is_namespaced());
        Some(match *parts {
            [plural] => Self::Collection(kind(plural)?, None),
            [plural, name] => {
                let kind = kind(plural).filter(|kind| !kind.is_namespaced())?;
                Self::Object(Key::new(kind, "", name))
            }
            ["namespaces", namespace, plural] => {
                Self::Collection(namespaced(plural)?, Some(namespace.to_owned()))
            }
            ["namespaces", namespace, plural, name] => {
                Self::Object(Key::new(namespaced(plural)?, namespace, name))
            }
            ["namespaces", namespace, "serviceaccounts", name, "token"] => {
                let kind = namespaced("serviceaccounts")?;
                Self::Token(Key::new(kind, namespace, name))
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, Kind, Target};

    #[test]
    fn paths_lead_to_targets() {
        let account = || Key::new(Kind::ServiceAccount, "ns", "sa");
        let cases = [
            ("/version", Some(Target::Version)),
            ("/openid/v1/jwks", Some(Target::Jwks)),
            ("/api/v1/pods", Some(Target::Collection(Kind::Pod, None))),
            (
                "/api/v1/namespaces",
                Some(Target::Collection(Kind::Namespace, None)),
            ),
            (
                "/api/v1/namespaces/ns",
                Some(Target::Object(Key::new(Kind::Namespace, "", "ns"))),
            ),
            (
                "/api/v1/namespaces/ns/configmaps",
                Some(Target::Collection(Kind::ConfigMap, Some("ns".to_owned()))),
            ),
            (
                "/api/v1/namespaces/ns/serviceaccounts/sa",
                Some(Target::Object(account())),
            ),
            (
                "/api/v1/namespaces/ns/serviceaccounts/sa/token",
                Some(Target::Token(account())),
            ),
            ("/api/v1/namespaces/ns/pods/sa/token", None),
            ("/api/v1/namespaces/ns/namespaces", None),
            (
                "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/w",
                Some(Target::Object(Key::new(
                    Kind::MutatingWebhookConfiguration,
                    "",
                    "w",
                ))),
            ),
            ("/api/v1/mutatingwebhookconfigurations", None),
            ("/api/v1/pods/p", None),
            ("/api/v1/secrets", None),
            ("/", None),
        ];
        for (path, want) in cases {
            assert_eq!(Target::of(path), want, "{path}");
        }
    }
}
