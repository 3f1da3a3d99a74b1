//! Every value of values.yaml is used: another one renders otherwise, in the objects that it is about and in no other.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::render::{helm, read};
use crate::{everything, merged};

#[derive(Deserialize)]
struct Row {
    value: String,
    #[serde(default = "everything")]
    given: Value,
    other: Value,
    #[serde(default = "nothing")]
    beside: Value,
    changes: BTreeSet<String>,
}

#[test]
fn every_value_changes_what_it_is_about() {
    let rows: Vec<Row> = serde_json::from_value(read("tests/chart/used.yaml")).unwrap();
    let listed: Vec<&str> = rows.iter().map(|row| row.value.as_str()).collect();
    let mut values = Vec::new();
    leaves(&read("manifests/chart/values.yaml"), "", &mut values);
    let rows_of = |value: &String| listed.iter().filter(|it| **it == value).count();
    let wrong: Vec<_> = values.iter().filter(|it| rows_of(it) != 1).collect();
    assert!(
        wrong.is_empty() && listed.len() == values.len(),
        "no row, or two: {wrong:?}"
    );
    for Row {
        value,
        given,
        other,
        beside,
        changes,
    } in rows
    {
        let before = helm(&given).unwrap();
        let after = helm(&merged(merged(given, &beside), &at(&value, other))).unwrap();
        assert_eq!(differing(&before, &after), changes, "{value}");
    }
}

fn nothing() -> Value {
    json!({})
}

/// The places of what is no map, or an empty one.
fn leaves(value: &Value, place: &str, into: &mut Vec<String>) {
    match value.as_object().filter(|map| !map.is_empty()) {
        None => into.push(place.to_owned()),
        Some(map) => {
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                leaves(value, &format!("{place}/{key}"), into);
            }
        }
    }
}

/// That value at that place, with nothing beside.
fn at(place: &str, value: Value) -> Value {
    let keys = place.split('/').skip(1).collect::<Vec<_>>();
    keys.iter().rfold(value, |inner, key| {
        let key = key.replace("~1", "/").replace("~0", "~");
        Value::Object([(key, inner)].into_iter().collect())
    })
}

fn differing(before: &[Value], after: &[Value]) -> BTreeSet<String> {
    let [before, after] = [before, after].map(|objects| {
        let named = |it: &Value| {
            (
                [&it["kind"], &it["metadata"]["name"]].map(Value::to_string),
                it.clone(),
            )
        };
        objects.iter().map(named).collect::<BTreeMap<_, _>>()
    });
    let names = before.keys().chain(after.keys());
    let differ = names.filter(|name| before.get(*name) != after.get(*name));
    differ
        .map(|[kind, _]| kind.trim_matches('"').to_owned())
        .collect()
}
