//! Who owns which key of an object, and the writes that respect it: server-side apply and the plain update.
//!
//! Ownership goes as deep as the keys of `metadata.annotations`, `metadata.labels` and `data`, and is kept where the
//! real server keeps it, in `metadata.managedFields`. Pure: an object and a request in, an object out.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::kind::Key;
use crate::place::{Path, Section, leaves, set, unset};
use crate::refusal::{Conflict, Refusal};

/// The writer of a request, and when it writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub(crate) manager: &'a str,
    /// RFC 3339.
    pub(crate) now: &'a str,
}

/// One entry of `managedFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    manager: String,
    operation: String,
    time: String,
    paths: BTreeSet<Path>,
}

impl Owner {
    fn is(&self, manager: &str, operation: &str) -> bool {
        self.manager == manager && self.operation == operation
    }

    /// The owner as the real server's conflict message names it.
    fn described(&self) -> String {
        if self.operation == UPDATE {
            format!("{:?} using v1 at {}", self.manager, self.time)
        } else {
            format!("{:?}", self.manager)
        }
    }
}

const APPLY: &str = "Apply";
const UPDATE: &str = "Update";

/// Server-side apply of `applied`, whose kind and names are already known to be those of `key`.
///
/// # Errors
/// [`Refusal::ApplyConflict`] when another manager owns a key with another value and `force` is not set;
/// [`Refusal::BadRequest`] when `applied` has fields beyond those this file keeps owners for.
pub(crate) fn apply(
    key: &Key,
    live: Option<&Value>,
    applied: &Value,
    writer: Writer<'_>,
    force: bool,
) -> Result<Value, Refusal> {
    only_owned_fields(applied)?;
    let mut object = live.cloned().unwrap_or_else(|| bare(key));
    let mut owners = owners(&object);
    let wanted = leaves(applied);
    let present = leaves(&object);

    let taken = |path: &Path| {
        present
            .get(path)
            .is_some_and(|value| Some(value) != wanted.get(path))
    };
    let mut conflicts = Vec::new();
    for owner in owners
        .iter_mut()
        .filter(|owner| !owner.is(writer.manager, APPLY))
    {
        for path in wanted.keys().filter(|path| taken(path)) {
            if owner.paths.contains(path) {
                conflicts.push(Conflict {
                    owner: owner.described(),
                    path: path.to_string(),
                });
            }
            owner.paths.remove(path);
        }
    }
    if !force && !conflicts.is_empty() {
        conflicts.sort();
        return Err(Refusal::ApplyConflict(conflicts));
    }

    let applied_before = claim(&mut owners, APPLY, writer, wanted.keys().cloned().collect());
    for path in applied_before {
        let orphan = !owners.iter().any(|owner| owner.paths.contains(&path));
        if orphan && !wanted.contains_key(&path) {
            unset(&mut object, &path);
        }
    }
    for (path, value) in wanted {
        set(&mut object, &path, value);
    }
    record(&mut object, owners);
    Ok(object)
}

/// A create or replace by other means than apply: what `written` changes becomes the writer's, without conflicts.
pub(crate) fn update(live: Option<&Value>, mut written: Value, writer: Writer<'_>) -> Value {
    let before = live.map(leaves).unwrap_or_default();
    let after = leaves(&written);
    let mut owners = live.map(owners).unwrap_or_default();
    for owner in &mut owners {
        owner
            .paths
            .retain(|path| before.get(path) == after.get(path));
    }
    let changed = after
        .iter()
        .filter(|(path, value)| before.get(*path) != Some(value));
    let mut mine: BTreeSet<Path> = changed.map(|(path, _)| path.clone()).collect();
    if let Some(owner) = owners.iter().find(|owner| owner.is(writer.manager, UPDATE)) {
        mine.extend(owner.paths.iter().cloned());
    }
    claim(&mut owners, UPDATE, writer, mine);
    record(&mut written, owners);
    written
}

fn bare(key: &Key) -> Value {
    let mut metadata = json!({"name": key.name});
    if !key.namespace.is_empty() {
        metadata["namespace"] = json!(key.namespace);
    }
    json!({"kind": key.kind.name(), "apiVersion": key.kind.api_version(), "metadata": metadata})
}

fn only_owned_fields(applied: &Value) -> Result<(), Refusal> {
    let legal = [
        ("", ["kind", "apiVersion", "metadata", "data"]),
        ("/metadata", ["name", "namespace", "annotations", "labels"]),
    ];
    for (pointer, legal) in legal {
        let fields = applied.pointer(pointer).and_then(Value::as_object);
        for (name, value) in fields.into_iter().flatten() {
            if !value.is_null() && !legal.contains(&name.as_str()) {
                let legal = legal.join(", ");
                return Err(Refusal::BadRequest(format!(
                    "simkube applies no field {pointer}/{name}; at this place it has {legal}"
                )));
            }
        }
    }
    Ok(())
}

/// Makes `paths` the writer's whole share and gives back what it was. The time moves only with the share.
fn claim(
    owners: &mut Vec<Owner>,
    operation: &str,
    writer: Writer<'_>,
    paths: BTreeSet<Path>,
) -> BTreeSet<Path> {
    if let Some(owner) = owners
        .iter_mut()
        .find(|owner| owner.is(writer.manager, operation))
    {
        if owner.paths != paths {
            owner.time = writer.now.to_owned();
        }
        return std::mem::replace(&mut owner.paths, paths);
    }
    owners.push(Owner {
        manager: writer.manager.to_owned(),
        operation: operation.to_owned(),
        time: writer.now.to_owned(),
        paths,
    });
    BTreeSet::new()
}

fn owners(object: &Value) -> Vec<Owner> {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    entries.into_iter().flatten().map(owner).collect()
}

fn owner(entry: &Value) -> Owner {
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let mut paths = BTreeSet::new();
    for section in Section::ALL {
        let map = entry["fieldsV1"]
            .pointer(&section.field_pointer())
            .and_then(Value::as_object);
        let names = map
            .into_iter()
            .flatten()
            .filter_map(|(name, _)| name.strip_prefix("f:"));
        paths.extend(names.map(|key| Path {
            section,
            key: key.to_owned(),
        }));
    }
    Owner {
        manager: text("manager"),
        operation: text("operation"),
        time: text("time"),
        paths,
    }
}

/// Writes the entries of those who own anything, apply before update as the real server sorts them.
fn record(object: &mut Value, mut owners: Vec<Owner>) {
    owners.retain(|owner| !owner.paths.is_empty());
    owners.sort_by(|a, b| {
        (&a.operation, &a.time, &a.manager).cmp(&(&b.operation, &b.time, &b.manager))
    });
    let entries: Vec<Value> = owners.iter().map(entry).collect();
    object["metadata"]["managedFields"] = json!(entries);
}

fn entry(owner: &Owner) -> Value {
    let mut fields = Value::Object(Map::new());
    for path in &owner.paths {
        let mut map = &mut fields;
        for step in path.section.steps() {
            map = &mut map[format!("f:{step}")];
        }
        map[format!("f:{}", path.key)] = json!({});
    }
    json!({
        "manager": owner.manager, "operation": owner.operation, "apiVersion": "v1", "time": owner.time,
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    })
}

#[cfg(test)]
mod tests {
    use super::{Writer, apply, update};
    use crate::kind::{Key, Kind};
    use serde_json::{Value, json};

    const NOW: &str = "2026-01-01T00:00:00Z";
    const LATER: &str = "2026-01-02T00:00:00Z";

    fn map(data: &Value) -> Value {
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"namespace": "ns", "name": "m"}, "data": data})
    }

    /// Data and owners after each of `writes`, the last as an outcome.
    fn written(writes: &[(&str, &str, Value)]) -> Result<(Value, Vec<String>), String> {
        let key = Key::new(Kind::ConfigMap, "ns", "m");
        let mut object = None;
        for (verb, manager, data) in writes {
            let writer = Writer { manager, now: NOW };
            let next = match *verb {
                "update" => update(object.as_ref(), map(data), writer),
                verb => apply(&key, object.as_ref(), &map(data), writer, verb == "force")
                    .map_err(|refusal| refusal.to_string())?,
            };
            object = Some(next);
        }
        let object = object.unwrap();
        let entries = object["metadata"]["managedFields"].as_array().unwrap();
        let owner = |entry: &Value| {
            let text = |name: &str| entry[name].as_str().unwrap().to_owned();
            let fields = entry["fieldsV1"]["f:data"].as_object().unwrap();
            let keys: Vec<_> = fields.keys().map(|key| &key[2..]).collect();
            format!(
                "{} {} {}",
                text("manager"),
                text("operation"),
                keys.join(",")
            )
        };
        Ok((object["data"].clone(), entries.iter().map(owner).collect()))
    }

    #[test]
    fn writes_end_in_data_and_owners() {
        let (a1, a2) = (|| json!({"a": "1"}), || json!({"a": "2"}));
        let cases = [
            (
                "create",
                vec![("apply", "x", a1())],
                a1(),
                vec!["x Apply a"],
            ),
            (
                "the same value is shared",
                vec![("apply", "x", a1()), ("apply", "y", a1())],
                a1(),
                vec!["x Apply a", "y Apply a"],
            ),
            (
                "what is shared stays when one lets go",
                vec![
                    ("apply", "x", a1()),
                    ("apply", "y", a1()),
                    ("apply", "x", json!({})),
                ],
                a1(),
                vec!["y Apply a"],
            ),
            (
                "what only one owned goes with the last key's map",
                vec![("apply", "x", a1()), ("apply", "x", json!({}))],
                Value::Null,
                vec![],
            ),
            (
                "an own value may change",
                vec![("apply", "x", a1()), ("apply", "x", a2())],
                a2(),
                vec!["x Apply a"],
            ),
            (
                "force takes",
                vec![("apply", "x", a1()), ("force", "y", a2())],
                a2(),
                vec!["y Apply a"],
            ),
            (
                "an update takes what it changes",
                vec![
                    ("apply", "x", json!({"a": "1", "b": "1"})),
                    ("update", "y", json!({"a": "2", "b": "1"})),
                ],
                json!({"a": "2", "b": "1"}),
                vec!["x Apply b", "y Update a"],
            ),
            (
                "an update drops what it leaves out",
                vec![
                    ("apply", "x", json!({"a": "1", "b": "1"})),
                    ("update", "y", a1()),
                ],
                a1(),
                vec!["x Apply a"],
            ),
        ];
        for (name, writes, data, owners) in cases {
            let owners = owners.into_iter().map(str::to_owned).collect();
            assert_eq!(written(&writes), Ok((data, owners)), "{name}");
        }
    }

    #[test]
    fn conflicts_name_owner_and_key() {
        let two = json!({"a": "1", "b": "1"});
        let cases = [
            (
                vec![
                    ("apply", "x", json!({"a": "1"})),
                    ("apply", "y", json!({"a": "2"})),
                ],
                "Apply failed with 1 conflict: conflict with \"x\": .data.a",
            ),
            (
                vec![
                    ("update", "x", json!({"a": "1"})),
                    ("apply", "x", json!({"a": "2"})),
                ],
                "Apply failed with 1 conflict: conflict with \"x\" using v1 at 2026-01-01T00:00:00Z: .data.a",
            ),
            (
                vec![
                    ("apply", "x", two),
                    ("apply", "y", json!({"a": "2", "b": "2"})),
                ],
                "Apply failed with 2 conflicts: conflicts with \"x\":\n- .data.a\n- .data.b",
            ),
        ];
        for (writes, message) in cases {
            assert_eq!(written(&writes), Err(message.to_owned()));
        }
    }

    #[test]
    fn an_apply_that_changes_nothing_gives_the_object_back() {
        let key = Key::new(Kind::ConfigMap, "ns", "m");
        let again = |live: Option<&Value>, now: &str| {
            apply(
                &key,
                live,
                &map(&json!({"a": "1"})),
                Writer { manager: "x", now },
                false,
            )
            .unwrap()
        };
        let first = again(None, NOW);
        assert_eq!(again(Some(&first), LATER), first);
    }

    #[test]
    fn fields_without_owners_are_refused() {
        let key = Key::new(Kind::ConfigMap, "ns", "m");
        let mut applied = map(&json!({}));
        applied["immutable"] = json!(true);
        let refusal = apply(
            &key,
            None,
            &applied,
            Writer {
                manager: "x",
                now: NOW,
            },
            false,
        )
        .unwrap_err();
        assert!(refusal.to_string().contains("/immutable"), "{refusal}");
    }
}
