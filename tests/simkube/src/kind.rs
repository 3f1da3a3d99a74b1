//! The kinds of objects there are, and the paths they are served at.

/// A kind of object of the core group, version v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Namespace,
    ServiceAccount,
    ConfigMap,
    Pod,
}

impl Kind {
    const ALL: [Self; 4] = [
        Self::Namespace,
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Pod,
    ];

    /// The kind's name in objects.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::ServiceAccount => "ServiceAccount",
            Self::ConfigMap => "ConfigMap",
            Self::Pod => "Pod",
        }
    }

    /// The kind's name in paths.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::ServiceAccount => "serviceaccounts",
            Self::ConfigMap => "configmaps",
            Self::Pod => "pods",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn with_plural(plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.plural() == plural)
    }
}

/// What names one object. The namespace of a Namespace is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        let namespace = if kind == Kind::Namespace {
            ""
        } else {
            namespace
        };
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
        Some(match parts[..] {
            ["version"] => Self::Version,
            [".well-known", "openid-configuration"] => Self::Discovery,
            ["openid", "v1", "jwks"] => Self::Jwks,
            ["api", "v1", plural] => Self::Collection(Kind::with_plural(plural)?, None),
            ["api", "v1", "namespaces", name] => Self::Object(Key::new(Kind::Namespace, "", name)),
            ["api", "v1", "namespaces", namespace, plural] => {
                Self::Collection(namespaced(plural)?, Some(namespace.to_owned()))
            }
            ["api", "v1", "namespaces", namespace, plural, name] => {
                Self::Object(Key::new(namespaced(plural)?, namespace, name))
            }
            [
                "api",
                "v1",
                "namespaces",
                namespace,
                "serviceaccounts",
                name,
                "token",
            ] => Self::Token(Key::new(Kind::ServiceAccount, namespace, name)),
            _ => return None,
        })
    }
}

fn namespaced(plural: &str) -> Option<Kind> {
    Kind::with_plural(plural).filter(|kind| *kind != Kind::Namespace)
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
            ("/api/v1/secrets", None),
            ("/", None),
        ];
        for (path, want) in cases {
            assert_eq!(Target::of(path), want, "{path}");
        }
    }
}
