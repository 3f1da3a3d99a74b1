//! The Helm chart: that it installs what kustomize does, uses every value and names every wrong one. `make chart` builds
//! helm and kustomize and runs it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod program;
mod rejected;
#[path = "../support/render.rs"]
mod render;
mod same;
mod schema;
mod used;
mod watching;

use render::read;
use serde_json::Value;

/// All that the chart can do at once.
fn everything() -> Value {
    read("tests/chart/everything.yaml")
}

/// `values` with those of `others`, which go before.
fn merged(mut values: Value, others: &Value) -> Value {
    json_patch::merge(&mut values, others);
    values
}
