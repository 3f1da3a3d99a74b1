//! The `IDENTITY_HEADER` values that the pod's containers set themselves, handed to the proxy so that it accepts them.

use serde_json::Value;

use super::parts::{self, Variable};
use super::{Container, Pod};
use crate::names;

/// What the proxy's environment needs, beyond what it holds already.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Accepted<'a> {
    /// Variables that the kubelet fills from a Secret, ConfigMap or field, one for each source.
    pub sources: Vec<Variable<'a>>,
    /// The whole list of values, one a line, where it grows; a source stands in it as `$(VARIABLE)`.
    pub values: Option<String>,
}

/// How a container sets its header.
enum Own<'a> {
    /// Not at all, or as we would.
    Known,
    Literal(&'a str),
    Source(&'a Value),
    /// In a way that means another value in the proxy's container.
    Unknowable,
}

impl<'a> Accepted<'a> {
    /// What is missing in a proxy's environment, empty for a proxy that is yet to be made.
    #[must_use]
    pub fn missing(pod: Pod<'a>, proxy: Option<Container<'a>>) -> Self {
        let held = |name: &str| proxy.and_then(|proxy| proxy.variable(name));
        let list =
            held(names::ACCEPTED_IDENTITY_HEADERS).and_then(|entry| entry.get("value")?.as_str());
        let mut lines: Vec<String> = list
            .into_iter()
            .flat_map(str::lines)
            .map(str::to_owned)
            .collect();
        let mut known = Vec::new();
        while let Some(entry) = held(&numbered(known.len())) {
            known.push(entry.get("valueFrom").unwrap_or(&Value::Null));
        }
        let (held_lines, held_sources) = (lines.len(), known.len());
        for container in pod.containers().filter(|container| !container.injected()) {
            let line = match Own::of(container) {
                Own::Known | Own::Unknowable => continue,
                Own::Literal(value) => value.to_owned(),
                Own::Source(source) => {
                    let place = known
                        .iter()
                        .position(|known| *known == source)
                        .unwrap_or_else(|| {
                            known.push(source);
                            known.len() - 1
                        });
                    format!("$({})", numbered(place))
                }
            };
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let sources = known.into_iter().enumerate().skip(held_sources);
        Accepted {
            sources: sources
                .map(|(place, source)| parts::same_source(numbered(place), source))
                .collect(),
            values: (lines.len() > held_lines).then(|| lines.join("\n")),
        }
    }
}

/// Whether a container's header can't be handed on.
#[must_use]
pub fn unknowable(container: Container<'_>) -> bool {
    matches!(Own::of(container), Own::Unknowable)
}

impl<'a> Own<'a> {
    fn of(container: Container<'a>) -> Self {
        let Some(entry) = container.variable(names::IDENTITY_HEADER) else {
            return Own::Known;
        };
        let source = entry.get("valueFrom").filter(|source| source.is_object());
        match (entry.get("value").and_then(Value::as_str), source) {
            // References to variables of that container, which the proxy's does not have.
            (Some(value), _) if value.contains("$(") => Own::Unknowable,
            // No header can have it, and our list has one value a line.
            (Some(value), _) if value.contains(['\n', '\r']) => Own::Unknowable,
            (Some(""), _) | (None, None) => Own::Known,
            (Some(value), _) => Own::Literal(value),
            (None, Some(source)) if source["fieldRef"]["fieldPath"] == "metadata.uid" => Own::Known,
            (None, Some(source)) if source.get("resourceFieldRef").is_some() => Own::Unknowable,
            (None, Some(source)) => Own::Source(source),
        }
    }
}

fn numbered(place: usize) -> String {
    format!("{}_{place}", names::ACCEPTED_IDENTITY_HEADERS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_handed_on() {
        let secret = json!({"secretKeyRef": {"name": "s", "key": "k"}});
        let value = |value: &str| json!({"value": value});
        let from = |source: &Value| json!({"valueFrom": source});
        let uid = json!({"fieldRef": {"fieldPath": "metadata.uid"}});
        let name = json!({"fieldRef": {"fieldPath": "metadata.name"}});
        let first = "$(IDENTITY_INJECTOR_ACCEPTED_HEADERS_0)";
        let table = [
            ("none", vec![], 0, None),
            ("our own", vec![from(&uid)], 0, None),
            ("empty", vec![value("")], 0, None),
            ("literal", vec![value("true")], 0, Some("true".to_owned())),
            (
                "the same twice",
                vec![value("true"), value("true")],
                0,
                Some("true".to_owned()),
            ),
            ("secret", vec![from(&secret)], 1, Some(first.to_owned())),
            (
                "secret twice, literal",
                vec![from(&secret), value("a"), from(&secret)],
                1,
                Some(format!("{first}\na")),
            ),
            (
                "a field of the pod",
                vec![from(&name)],
                1,
                Some(first.to_owned()),
            ),
            ("a variable of its own", vec![value("$(S)")], 0, None),
            ("more than a line", vec![value("true\n")], 0, None),
            ("a carriage return", vec![value("true\r")], 0, None),
            (
                "a resource of its own",
                vec![from(
                    &json!({"resourceFieldRef": {"resource": "limits.cpu"}}),
                )],
                0,
                None,
            ),
        ];
        for (case, headers, sources, values) in table {
            let mut containers: Vec<Value> = Vec::new();
            for (index, mut header) in headers.into_iter().enumerate() {
                header["name"] = json!(names::IDENTITY_HEADER);
                containers.push(json!({"name": format!("c{index}"), "env": [header]}));
            }
            let mut pod = json!({"spec": {"containers": containers}});
            let missing = Accepted::missing(Pod(&pod), None);
            assert_eq!(
                (missing.sources.len(), &missing.values),
                (sources, &values),
                "{case}"
            );
            // Once the proxy holds them, nothing is missing.
            let mut env = json!(missing.sources);
            let list = json!({"name": names::ACCEPTED_IDENTITY_HEADERS, "value": missing.values.unwrap_or_default()});
            env.as_array_mut().unwrap().push(list);
            pod["spec"]["initContainers"] = json!([{"name": names::PROXY_CONTAINER, "env": env}]);
            let proxy = Pod(&pod).container(names::PROXY_CONTAINER);
            assert_eq!(
                Accepted::missing(Pod(&pod), proxy),
                Accepted::default(),
                "{case}"
            );
        }
    }
}
