//! The offline command and the webhook are one engine: the same answer to each pod of a corpus.

use std::process::{Command, Output};

use identity_injector::names;
use serde_json::{Value, json};

use crate::world::{ID, World, patch, service_account};

#[tokio::test]
async fn offline_answers_as_the_webhook_does() {
    let world = World::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let (mut admitted, mut patches, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    let (mut refused, mut denials) = (Vec::new(), Vec::new());
    for pod in corpus() {
        let answer = world.review(pod.clone()).await;
        let name = pod["metadata"]["name"].as_str().unwrap();
        if answer["allowed"] == true {
            patches.push(patch(&answer).unwrap_or(json!([])));
            let said = answer["warnings"].as_array().into_iter().flatten();
            warnings.extend(
                said.map(|text| format!("warning: Pod {name}: {}", text.as_str().unwrap())),
            );
            admitted.push(pod);
        } else {
            let message = answer["status"]["message"].as_str().unwrap();
            denials.push(format!("refused: Pod {name}: {message}"));
            refused.push(pod);
        }
    }
    assert!(
        admitted.len() + refused.len() >= 200 && !refused.is_empty(),
        "{} pods",
        admitted.len()
    );
    let printed = offline(folder.path(), &admitted);
    let lines = String::from_utf8(printed.stdout).unwrap();
    let offline_patches: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(offline_patches, patches);
    assert_eq!(
        String::from_utf8(printed.stderr)
            .unwrap()
            .lines()
            .collect::<Vec<_>>(),
        warnings
    );
    let printed = offline(folder.path(), &refused);
    assert_eq!(
        String::from_utf8(printed.stderr)
            .unwrap()
            .lines()
            .collect::<Vec<_>>(),
        denials
    );
    assert!(printed.stdout.is_empty() && printed.status.code() == Some(1));
}

fn offline(folder: &std::path::Path, pods: &[Value]) -> Output {
    let text: Vec<String> = pods.iter().map(Value::to_string).collect();
    let context = service_account("app", ID).to_string();
    std::fs::write(folder.join("pods.yaml"), text.join("\n---\n")).unwrap();
    std::fs::write(folder.join("context.yaml"), context).unwrap();
    Command::new(env!("CARGO_BIN_EXE_identity-injector"))
        .env_clear()
        .current_dir(folder)
        .args([
            "inject",
            "-f",
            "pods.yaml",
            "--service-account",
            "context.yaml",
            "--tenant-id=t",
            "-o",
            "patch",
        ])
        .output()
        .unwrap()
}

/// Every label with every annotation on every spec.
fn corpus() -> impl Iterator<Item = Value> {
    let labels = [
        json!({}),
        json!({names::USE: "true"}),
        json!({names::USE: "false"}),
        json!({names::USE: "perhaps"}),
    ];
    let proxy = |more: Value| {
        let mut annotations = json!({names::INJECT_PROXY: "yes"});
        annotations
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        annotations
    };
    let annotations = vec![
        json!({}),
        json!({names::INJECT_PROXY: "off"}),
        proxy(json!({})),
        proxy(json!({names::CAPTURE: "env", names::PROXY_PORT: "9000"})),
        proxy(json!({names::PROXY_PORT: "0"})),
        json!({names::SKIP_CONTAINERS: "app; ghost", names::TOKEN_EXPIRATION: "7200"}),
        json!({names::TOKEN_EXPIRATION: "1"}),
        json!({"azure.workload.identity/inject-proxy": "true", names::CLIENT_ID: "here"}),
    ];
    let app = json!({"name": "app"});
    let own = json!({"name": "app", "env": [{"name": "AZURE_CLIENT_ID", "value": "own"}, {"name": "IDENTITY_HEADER", "value": "h"}]});
    let first = json!([{"name": "first", "tomorrow": [null]}]);
    let specs = vec![
        json!({"containers": [app]}),
        json!({"containers": [own, {"name": "second", "env": []}], "volumes": []}),
        json!({"containers": [app], "initContainers": first, "restartPolicy": "Never"}),
        json!({"containers": [app], "hostNetwork": true}),
        json!({"containers": [{"name": "app", "ports": [{"containerPort": 8000}]}]}),
        json!({"containers": [app], "nodeSelector": {"kubernetes.io/os": "windows"}}),
        json!({"containers": [app], "serviceAccountName": "app", "volumes": [{"name": "azure-identity-token", "emptyDir": {}}]}),
    ];
    let mut pods = Vec::new();
    for labels in &labels {
        for annotations in &annotations {
            for spec in &specs {
                let mut spec = spec.clone();
                spec["serviceAccountName"] = json!("app");
                let name = format!("pod-{}", pods.len());
                let metadata = json!({"name": name, "namespace": "shop", "labels": labels, "annotations": annotations});
                pods.push(
                    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}),
                );
            }
        }
    }
    pods.into_iter()
}
