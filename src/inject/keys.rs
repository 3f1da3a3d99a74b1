//! Keys that do nothing where they stand: misspelt, or on the wrong object. The top cause of "my pod was not injected".

use std::cmp::Reverse;
use std::fmt;

use serde_json::Value;

use super::warning::Warning;
use super::{Annotations, Pod};
use crate::names;

/// Where a key can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A label of the pod.
    PodLabel,
    /// An annotation of the pod.
    PodAnnotation,
    /// An annotation of its ServiceAccount.
    ServiceAccount,
    /// An annotation of its Namespace.
    Namespace,
}

/// A key that somebody set, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
}

/// Keys a pod's annotations may have; a Namespace's too, for all its pods, but for the status.
const POD: [&str; 11] = [
    names::INJECT_PROXY,
    names::PROXY_PORT,
    names::TOKEN_EXPIRATION,
    names::SKIP_CONTAINERS,
    names::CAPTURE,
    names::IMDS_PASSTHROUGH,
    names::PROXY_CPU_REQUEST,
    names::PROXY_CPU_LIMIT,
    names::PROXY_MEMORY_REQUEST,
    names::PROXY_MEMORY_LIMIT,
    names::PROXY_LOG_LEVEL,
];
const SERVICE_ACCOUNT: [&str; 4] = [
    names::CLIENT_ID,
    names::TENANT_ID,
    names::TOKEN_EXPIRATION,
    names::RESOURCE_IDS,
];

/// How many letters prefix and name of a misspelt key may differ by, each.
const NEAR: usize = 3;

impl Place {
    /// The objects whose annotations are looked up, nearest first.
    pub const NEAREST: [Place; 3] = [
        Place::PodAnnotation,
        Place::ServiceAccount,
        Place::Namespace,
    ];

    /// Whether the key means something here.
    #[must_use]
    pub fn knows(self, key: &str) -> bool {
        match self {
            Place::PodLabel => key == names::USE,
            Place::PodAnnotation => POD.contains(&key) || key == names::STATUS,
            Place::ServiceAccount => SERVICE_ACCOUNT.contains(&key),
            Place::Namespace => POD.contains(&key) || key == names::SELECT,
        }
    }

    /// Where the key means something, if anywhere.
    fn of(key: &str) -> Option<Self> {
        let places = [
            Place::PodLabel,
            Place::PodAnnotation,
            Place::ServiceAccount,
            Place::Namespace,
        ];
        places.into_iter().find(|place| place.knows(key))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::PodLabel => "pod label",
            Place::PodAnnotation => "pod annotation",
            Place::ServiceAccount => "ServiceAccount annotation",
            Place::Namespace => "Namespace annotation",
        })
    }
}

/// As sentences about a pod name it: with the object, where that is another one.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.place {
            Place::PodLabel | Place::PodAnnotation => Ok(()),
            Place::ServiceAccount => f.write_str(" on the ServiceAccount"),
            Place::Namespace => f.write_str(" on the Namespace"),
        }
    }
}

/// Warnings of the keys of a pod and what stands around it.
pub fn warnings(
    pod: Pod<'_>,
    service_account: &Annotations,
    namespace: &Annotations,
) -> Vec<Warning> {
    let labels = pod.label_keys().map(|key| (Place::PodLabel, key));
    let annotations = pod.annotation_keys().map(|key| (Place::PodAnnotation, key));
    let accounts = service_account
        .keys()
        .map(|key| (Place::ServiceAccount, key));
    let namespaces = namespace.keys().map(|key| (Place::Namespace, key));
    labels
        .chain(annotations)
        .chain(accounts)
        .chain(namespaces)
        .filter_map(|(place, key)| warning(place, key))
        .collect()
}

/// Warnings of keys in any metadata above a Deployment's, CronJob's or other workload's pod template, which its pods
/// never see, where the template does not carry them too.
#[must_use]
pub fn above_template(workload: &Value, template: &str) -> Vec<Warning> {
    let at = |pointer| workload.pointer(pointer).map(Pod);
    let above = template.match_indices('/');
    let above: Vec<_> = above.filter_map(|(end, _)| at(&template[..end])).collect();
    let template = at(template);
    let stands = |pod: &Pod<'_>, key: &str| match key {
        names::USE => pod.label(key).is_some(),
        _ => pod.annotation(key).is_some(),
    };
    [names::USE]
        .into_iter()
        .chain(POD)
        .filter(|key| above.iter().any(|above| stands(above, key)))
        .filter(|key| !template.is_some_and(|template| stands(&template, key)))
        .map(|key| Warning::AboveTemplate { key })
        .collect()
}

fn warning(place: Place, key: &str) -> Option<Warning> {
    // The reference's custom token endpoints are asked for by keys of the operator's choosing.
    if !names::resembles_ours(key)
        || place.knows(key)
        || key.starts_with("azure.workload.identity/use-")
    {
        return None;
    }
    if let Some(belongs) = Place::of(key) {
        return Some(Warning::WrongObject {
            key: key.to_owned(),
            place,
            belongs,
        });
    }
    let lower = key.to_ascii_lowercase();
    let (prefix, name) = lower.split_once('/')?;
    let known = names::ANNOTATIONS.iter().chain([&names::USE]);
    let known = known.filter_map(|known| Some((known, known.split_once('/')?)));
    let near = known.clone().filter(|(_, (known_prefix, known_name))| {
        // A third of a short name is another word.
        strsim::levenshtein(prefix, known_prefix) <= NEAR
            && strsim::levenshtein(name, known_name) <= NEAR.min(known_name.len() / 3)
    });
    let nearest = near.min_by_key(|(known, _)| {
        let distance = strsim::levenshtein(&lower, known);
        (distance, Reverse(alike(&lower, known)))
    });
    let key = key.to_owned();
    if let Some((meant, _)) = nearest {
        return Some(Warning::Misspelt { key, place, meant });
    }
    let ours = known
        .map(|(_, (known_prefix, _))| known_prefix)
        .any(|known| known == prefix);
    ours.then_some(Warning::UnknownKey { key, place })
}

/// How many letters two keys begin with alike.
fn alike(one: &str, other: &str) -> usize {
    let pairs = one.chars().zip(other.chars());
    pairs.take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_key_on_each_object() {
        let id = names::CLIENT_ID;
        let table = [
            (Place::PodLabel, names::USE, None),
            (Place::PodLabel, "app", None),
            (
                Place::PodLabel,
                "azure.workload.identity/used",
                Some("misspelt"),
            ),
            (Place::PodLabel, names::INJECT_PROXY, Some("wrong_object")),
            (Place::PodAnnotation, names::USE, Some("wrong_object")),
            (Place::PodAnnotation, names::STATUS, None),
            (Place::PodAnnotation, id, Some("wrong_object")),
            (
                Place::PodAnnotation,
                "azure.workload.identity/use-identity-binding",
                None,
            ),
            (
                Place::PodAnnotation,
                "azure.workload.identity/inject-proxy-side-car",
                Some("misspelt"),
            ),
            (
                Place::PodAnnotation,
                "azure.workload.identity/app",
                Some("unknown_key"),
            ),
            (
                Place::PodAnnotation,
                "azure.workload.identity/proxy-port",
                Some("unknown_key"),
            ),
            (
                Place::Namespace,
                "azure.workload.identity/inject-proxy",
                Some("unknown_key"),
            ),
            (
                Place::ServiceAccount,
                "identity-injector.io/tomorrow",
                Some("unknown_key"),
            ),
            // Whose prefixes these are is not known.
            (
                Place::PodAnnotation,
                "azure.workloads.example/use-case",
                None,
            ),
            (
                Place::PodLabel,
                "identity-injector-operator.example/x",
                None,
            ),
            (Place::PodLabel, "azure.workload", None),
            (
                Place::PodLabel,
                "azure.workload.identity.io/use",
                Some("misspelt"),
            ),
            (
                Place::PodLabel,
                "azure.workload-identity/use",
                Some("misspelt"),
            ),
            (Place::ServiceAccount, id, None),
            (
                Place::ServiceAccount,
                "azure.workload.identity/client_id",
                Some("misspelt"),
            ),
            (
                Place::ServiceAccount,
                "azure.workload-identity/client-id",
                Some("misspelt"),
            ),
            (
                Place::ServiceAccount,
                "azure.workload.identity/Client-ID",
                Some("misspelt"),
            ),
            (
                Place::ServiceAccount,
                names::SKIP_CONTAINERS,
                Some("wrong_object"),
            ),
            (Place::Namespace, names::SELECT, None),
            (Place::Namespace, names::CAPTURE, None),
            (Place::Namespace, id, Some("wrong_object")),
        ];
        for (place, key, expected) in table {
            assert_eq!(
                warning(place, key).map(|warning| warning.reason()),
                expected,
                "{place} {key}"
            );
        }
    }

    #[test]
    fn of_known_keys_equally_near_the_one_that_begins_alike_is_meant() {
        let table = [
            (
                "identity-injector.io/proxy-mem-limit",
                names::PROXY_MEMORY_LIMIT,
            ),
            (
                "identity-injector.io/proxy-mem-request",
                names::PROXY_MEMORY_REQUEST,
            ),
            (
                "identity-injector.io/proxy-cpus-limit",
                names::PROXY_CPU_LIMIT,
            ),
        ];
        for (key, expected) in table {
            let Some(Warning::Misspelt { meant, .. }) = warning(Place::PodAnnotation, key) else {
                panic!("{key} is not warned of");
            };
            assert_eq!(meant, expected, "{key}");
        }
    }

    #[test]
    fn keys_above_the_template() {
        let asks = json!({"labels": {names::USE: "true", "app": "a"}, "annotations": {names::INJECT_PROXY: "true", names::STATUS: "{}"}});
        let both = vec![names::USE, names::INJECT_PROXY];
        // As a CronJob has them: its own, its Jobs', its pods'.
        let table = [
            (
                "on top alone",
                [&asks, &json!({}), &json!({})],
                both.clone(),
            ),
            (
                "between alone",
                [&json!({}), &asks, &json!({})],
                both.clone(),
            ),
            ("on both", [&asks, &asks, &Value::Null], both),
            // As charts that set common labels write it.
            ("on the template too", [&asks, &asks, &asks], vec![]),
            (
                "the label too",
                [&asks, &json!({}), &json!({"labels": {names::USE: "false"}})],
                vec![names::INJECT_PROXY],
            ),
        ];
        for (case, [top, between, pod], expected) in table {
            let template = json!({"metadata": between, "spec": {"template": {"metadata": pod}}});
            let workload = json!({"metadata": top, "spec": {"jobTemplate": template}});
            let found = above_template(&workload, "/spec/jobTemplate/spec/template");
            let expected: Vec<_> = expected
                .into_iter()
                .map(|key| Warning::AboveTemplate { key })
                .collect();
            assert_eq!(found, expected, "{case}");
        }
        assert_eq!(above_template(&json!({"metadata": asks}), ""), [], "a pod");
    }
}
