//! The values' schema is closed, and knows the values there are.

use serde_json::Value;

use crate::render::read;

/// What others have the schema of.
const OPEN: [&str; 7] = [
    // Of a chart that this one is a part of.
    "/properties/global",
    "/properties/affinity/properties/nodeAffinity",
    "/properties/affinity/properties/podAffinity",
    "/properties/affinity/properties/podAntiAffinity",
    "/properties/extraVolumes/items",
    // Setup reads it, and refuses what it does not know.
    "/properties/setup/properties/config",
    "/definitions/variables/items/properties/valueFrom",
];

#[test]
fn every_map_is_closed_or_says_what_its_values_are() {
    let mut open = Vec::new();
    find_open(&schema(), "", &mut open);
    assert_eq!(open, OPEN);
}

#[test]
fn it_knows_the_values_there_are_and_no_others() {
    let mut unequal = Vec::new();
    compare(
        &schema(),
        &schema(),
        &read("manifests/chart/values.yaml"),
        "",
        &mut unequal,
    );
    assert_eq!(unequal, ["/global"]);
}

fn schema() -> Value {
    read("manifests/chart/values.schema.json")
}

fn find_open(schema: &Value, place: &str, open: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            if map.get("type").is_some_and(|it| it == "object")
                && !map.contains_key("additionalProperties")
            {
                open.push(place.to_owned());
            }
            for (key, value) in map {
                find_open(value, &format!("{place}/{key}"), open);
            }
        }
        Value::Array(items) => items.iter().for_each(|it| find_open(it, place, open)),
        _ => {}
    }
}

/// Where the schema has properties, the values have the same keys.
fn compare(root: &Value, schema: &Value, values: &Value, place: &str, unequal: &mut Vec<String>) {
    let reference = schema["$ref"].as_str();
    let schema = reference.map_or(schema, |it| {
        root.pointer(it.trim_start_matches('#')).unwrap()
    });
    let (Some(properties), Some(values)) = (schema["properties"].as_object(), values.as_object())
    else {
        return;
    };
    if values.is_empty() {
        return;
    }
    let keys = properties
        .keys()
        .chain(values.keys().filter(|key| !properties.contains_key(*key)));
    for key in keys {
        let place = format!("{place}/{key}");
        match (properties.get(key), values.get(key)) {
            (Some(schema), Some(value)) => compare(root, schema, value, &place, unequal),
            _ => unequal.push(place),
        }
    }
}
