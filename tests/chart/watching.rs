//! Prometheus reads the rules, and the dashboard's expressions.

use serde_json::{Value, json};

use crate::everything;
use crate::render::{helm, rules};

#[test]
fn prometheus_reads_the_rules_and_the_dashboard() {
    let objects = helm(&everything()).unwrap();
    let rule = objects.iter().find(|it| it["kind"] == "PrometheusRule");
    assert_eq!(rules(&rule.unwrap()["spec"]).as_deref(), Ok("3\n"));
    let dashboard = objects.iter().find(|it| it["kind"] == "ConfigMap").unwrap();
    let dashboard = dashboard["data"]["identity-injector.json"]
        .as_str()
        .unwrap();
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let records: Vec<Value> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| {
            target["expr"]
                .as_str()
                .unwrap()
                .replace("$__rate_interval", "5m")
        })
        .enumerate()
        .map(|(index, expr)| json!({"record": format!("panel_{index}"), "expr": expr}))
        .collect();
    let count = format!("{}\n", records.len());
    assert_eq!(
        rules(&json!({"groups": [{"name": "dashboard", "rules": records}]})),
        Ok(count)
    );
}
