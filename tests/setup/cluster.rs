//! The API server: silent, not there, or behind a kubeconfig that can't be used.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use identity_injector::kubernetes;
use identity_injector::setup::cluster::Cluster;
use identity_injector::setup::look;
use tokio::time::timeout;

use crate::desired;
use crate::peers::{Call, Peer, Reply, arm_error, clients};

const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
";

#[tokio::test(start_paused = true)]
async fn does_not_wait_for_a_silent_api_server() {
    let (arm, cluster) = clients(Arc::new(SilentCluster));
    let desired = desired();
    let looked = timeout(Duration::from_secs(60), look(&desired, &arm, &cluster));
    let error = looked
        .await
        .expect("still waiting")
        .unwrap_err()
        .to_string();
    let said = "GET /.well-known/openid-configuration: API server https://cluster.test: no answer within 30 s";
    assert_eq!(error, said);
}

/// Azure without the group, and an API server that never answers.
#[derive(Debug)]
struct SilentCluster;

impl Peer for SilentCluster {
    fn answer(&self, call: Call) -> Option<Reply> {
        let azure = call.line.starts_with("arm");
        azure.then(|| arm_error(404, "ResourceGroupNotFound", "not there"))
    }
}

async fn connected(name: &str, kubeconfig: Option<&str>) -> Result<Cluster, String> {
    // Another test of this process may have set it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = file(name);
    if let Some(text) = kubeconfig {
        std::fs::write(&file, text).unwrap();
    }
    let config = kubernetes::config(Some(&file)).await;
    let _ = std::fs::remove_file(&file);
    let cluster = config.and_then(|config| Cluster::new(config, "system"));
    cluster.map_err(|error| error.to_string())
}

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("kubeconfig-{}-{name}", std::process::id()))
}

#[tokio::test]
async fn names_an_api_server_that_is_not_there() {
    let cluster = connected("down", Some(KUBECONFIG)).await.unwrap();
    let error = cluster.issuer().await.unwrap_err().to_string();
    let said = "GET /.well-known/openid-configuration: API server http://127.0.0.1:1: ServiceError: client error (Connect): \
                tcp connect error: Connection refused (os error 111)";
    assert_eq!(error, said);
}

#[tokio::test]
async fn says_in_a_line_why_a_kubeconfig_is_of_no_use() {
    let absent = file("absent").display().to_string();
    let broken = file("broken").display().to_string();
    let keyless = KUBECONFIG.replace(
        "user: {}",
        "user: {client-certificate: /no, client-key: /no}",
    );
    let table = [
        (
            "absent",
            None,
            format!(
                "kubeconfig {absent}: failed to read kubeconfig from \"{absent}\": No such file or directory (os error 2)"
            ),
        ),
        (
            "broken",
            Some("token: secret\nb: {"),
            format!("kubeconfig {broken}: unclosed bracket '{{' at line 2, column 4"),
        ),
        (
            "keyless",
            Some(&*keyless),
            "API server client: Failed to infer provided configuration: failed to load client certificate: failed to read \
             file \"/no\": No such file or directory (os error 2)"
                .to_owned(),
        ),
    ];
    for (name, kubeconfig, said) in table {
        let error = connected(name, kubeconfig).await.err();
        assert_eq!(error, Some(said), "{name}");
    }
}
