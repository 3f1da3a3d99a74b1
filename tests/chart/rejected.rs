//! Wrong values are refused by a sentence that names them.

use serde::Deserialize;
use serde_json::Value;

use crate::render::{helm, read};

#[derive(Deserialize)]
struct Row {
    values: Value,
    /// Lines, each whole but for what is before it.
    says: Vec<String>,
}

#[test]
fn wrong_values_are_named() {
    let rows: Vec<Row> = serde_json::from_value(read("tests/chart/rejected.yaml")).unwrap();
    let mut missed = String::new();
    for Row { values, says } in rows {
        assert!(!says.is_empty(), "{values}");
        let said = helm(&values).err().unwrap_or_default();
        for line in says {
            if !said.lines().any(|it| it.ends_with(&line)) {
                missed += &format!("{values}: not {line:?}, but {said}\n");
            }
        }
    }
    assert!(missed.is_empty(), "{missed}");
}
