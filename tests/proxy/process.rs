//! The binary as a child.

use std::net::{SocketAddr, TcpListener};
use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::peers::{Peer, TempFile};
use crate::running::assertion;

/// Variables or headers.
pub type Pairs<'a> = &'a [(&'a str, &'a str)];

/// The command in an environment of its own.
pub fn command(environment: Pairs<'_>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_identity-injector"));
    command
        .arg("proxy")
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The variables that an injected proxy has, with an Entra of our own.
pub fn identity<'a>(
    port: &'a str,
    authority: &'a str,
    token: &'a TempFile,
) -> [(&'a str, &'a str); 5] {
    [
        ("PROXY_PORT", port),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_AUTHORITY_HOST", authority),
        ("AZURE_FEDERATED_TOKEN_FILE", token.0.to_str().unwrap()),
    ]
}

pub fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

pub async fn wait_for(port: &str) {
    let waited = command(&[("PROXY_PORT", port)])
        .arg("--wait")
        .output()
        .await
        .unwrap();
    assert!(waited.status.success(), "{waited:?}");
}

/// The binary in front of `entra`, ready at that address; its token file goes with the value.
pub async fn serving(entra: &Peer) -> (Child, SocketAddr, TempFile) {
    let file = TempFile::new(&assertion("sa"));
    let port = free_port();
    let proxy = command(&identity(&port, &entra.url, &file))
        .spawn()
        .unwrap();
    wait_for(&port).await;
    (proxy, format!("127.0.0.1:{port}").parse().unwrap(), file)
}

pub async fn terminate(child: Child) -> Output {
    let id = child.id().unwrap().to_string();
    let sent = Command::new("kill")
        .args(["-TERM", &id])
        .status()
        .await
        .unwrap();
    assert!(sent.success());
    child.wait_with_output().await.unwrap()
}

/// The walk's pod, injected in this environment.
pub async fn inject(environment: Pairs<'_>) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_identity-injector"))
        .args(["inject", "-f", "tests/walk/pod.yaml"])
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_saphyr::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap()
}
