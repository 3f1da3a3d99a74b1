//! Any values of our annotations, on pod, ServiceAccount and Namespace: decided, and each refusal names its key.

#![no_main]

use identity_injector::inject::{Annotations, Decision, Input, decide};
use identity_injector::names;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

mod server;

fuzz_target!(|bytes: &[u8]| {
    // One annotation a line: a byte that picks object and key, then the value.
    let text = String::from_utf8_lossy(bytes);
    let mut pod = json!({"metadata": {"annotations": {names::INJECT_PROXY: "true"}}, "spec": {"containers": [{"name": "app"}]}});
    let (mut account, mut namespace) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut value = line.chars();
        let Some(pick) = value.next().map(|pick| pick as usize) else {
            continue;
        };
        let key = names::ANNOTATIONS[pick % names::ANNOTATIONS.len()];
        match pick / names::ANNOTATIONS.len() % 3 {
            0 => pod["metadata"]["annotations"][key] = Value::from(value.as_str()),
            1 => account.push((key, value.as_str().to_owned())),
            _ => namespace.push((key, value.as_str().to_owned())),
        }
    }
    let (account, namespace): (Annotations, Annotations) = (
        account.into_iter().collect(),
        namespace.into_iter().collect(),
    );
    let verdict = decide(&Input {
        pod: &pod,
        service_account: Some(&account),
        namespace: &namespace,
        defaults: server::defaults(),
    });
    for warning in &verdict.warnings {
        assert!(warning.text().chars().count() <= 120);
    }
    if let Decision::Refuse(refusal) = verdict.decision {
        let sentence = refusal.to_string();
        assert!(
            names::ANNOTATIONS.iter().any(|key| sentence.contains(key)),
            "{sentence}"
        );
    }
});
