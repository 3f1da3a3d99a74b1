//! What the chart says to the program is what the program knows.

use std::process::Command;

use serde_json::{Value, json};

use crate::render::{helm, read};

/// Variables that the chart leaves: where it mounts the certificate, and what only a webhook outside its cluster needs.
const LEFT: [&str; 2] = ["WEBHOOK_CERT_DIR", "WEBHOOK_KUBECONFIG"];

/// Every variable of the webhook has a value, and the other way round.
#[test]
fn variables_are_the_programs() {
    let values = json!({
        "certs": {"mode": "files", "existingSecret": "certificate", "clientCAConfigMap": "client-ca"},
        "azure": {"tenantId": "t", "cloud": "public", "authorityHost": "https://login.test/", "audience": "a"},
        "proxy": {
            "capture": "env", "imdsPassthrough": "deny", "nativeSidecar": "never",
            "resources": {"limits": {"cpu": 1, "memory": 1}, "requests": {"cpu": 1, "memory": 1}},
        },
        "log": {"format": "json", "level": "info"},
    });
    let objects = helm(&values).unwrap();
    let deployment = objects.iter().find(|it| it["kind"] == "Deployment");
    let container = &deployment.unwrap()["spec"]["template"]["spec"]["containers"][0];
    let variables = container["env"].as_array().unwrap().iter();
    let mut set: Vec<&str> = variables.map(|it| it["name"].as_str().unwrap()).collect();
    set.extend(LEFT);
    set.sort_unstable();
    let help = help("--help");
    let known = help.split("[env: ").skip(1);
    let mut known: Vec<&str> = known.map(|it| it.split_once('=').unwrap().0).collect();
    known.sort_unstable();
    assert_eq!(set, known);
}

#[test]
fn words_are_the_programs() {
    let schema = read("manifests/chart/values.schema.json");
    let help = help("-h");
    let table = [
        ("certs/properties/mode", "certs"),
        ("log/properties/format", "log-format"),
        ("proxy/properties/capture", "capture"),
        ("proxy/properties/imdsPassthrough", "imds-passthrough"),
        ("proxy/properties/nativeSidecar", "native-sidecar"),
    ];
    for (value, flag) in table {
        let words = schema
            .pointer(&format!("/properties/{value}/enum"))
            .unwrap();
        let words = words.as_array().unwrap().iter().filter_map(Value::as_str);
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let about = help.split_once(&format!("--{flag} <")).unwrap().1;
        let known = about.split_once("[possible values: ").unwrap().1;
        let known = known.split_once(']').unwrap().0;
        assert_eq!(words.join(", "), known, "{value}");
    }
}

fn help(flag: &str) -> String {
    let program = env!("CARGO_BIN_EXE_identity-injector");
    let output = Command::new(program).args(["webhook", flag]).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}
