//! What a kubelet does for a stored pod that asks for a token: it projects the pod's own, and starts the proxy.

#![allow(clippy::unwrap_used, dead_code, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::{Value, json};

use crate::api::Api;
use crate::support::{Program, container, environment, free_port};

/// The pod's proxy, with the environment that the pod gives it, and its port. Its files are in `folder`.
pub async fn start_proxy(
    pod: &Value,
    api: &Api,
    azure: &simazure::Simulation,
    folder: &Path,
) -> (Program, u16) {
    let token_file = folder.join("token");
    std::fs::write(&token_file, projected_token(pod, api).await).unwrap();
    let mut variables = environment(pod, container(pod, "azwi-proxy"), &token_file);
    let ca_file = azure.ca_file.to_str().unwrap().to_owned();
    variables.push(("SSL_CERT_FILE".to_owned(), ca_file));
    let port = free_port();
    let arguments = [
        "proxy",
        &format!("--port={port}"),
        &format!("--imds-url={}", azure.node_imds),
        // What is wrong with a credential is told at once, as in a pod that has run for a while.
        "--credential-wait=0",
    ];
    let binary = Path::new(env!("CARGO_BIN_EXE_identity-injector"));
    let log = folder.join("proxy.log");
    let mut proxy = Program::start(binary, log, &arguments, &variables);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ready = format!("http://127.0.0.1:{port}/readyz");
    proxy.until_ready(&client, &ready).await;
    (proxy, port)
}

/// What the API server issues for the volume that the webhook gave the pod.
async fn projected_token(pod: &Value, api: &Api) -> String {
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let volume = volumes
        .iter()
        .find(|volume| volume["name"] == "azure-identity-token")
        .unwrap();
    let projection = &volume["projected"]["sources"][0]["serviceAccountToken"];
    let metadata = &pod["metadata"];
    let bound = json!({
        "apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"],
    });
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {
            "audiences": [projection["audience"]],
            "expirationSeconds": projection["expirationSeconds"],
            "boundObjectRef": bound,
        },
    });
    let path = format!(
        "/api/v1/namespaces/{}/serviceaccounts/{}/token",
        metadata["namespace"].as_str().unwrap(),
        pod["spec"]["serviceAccountName"].as_str().unwrap()
    );
    let token = api.post(&path, &request.to_string()).await.unwrap();
    token["status"]["token"].as_str().unwrap().to_owned()
}
