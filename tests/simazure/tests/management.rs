//! The real management SDKs for Python read and write the simulation as they do Azure: `make arm-sdk`.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use simazure::{Cluster, Lags, Options};

const ISSUER: &str = "https://westus2.oic.example.test/Tenant/Guid/";
const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\n";

/// What the script walks, in its order.
const CASES: [&str; 10] = [
    "where_i_am",
    "providers",
    "groups",
    "managed_identities",
    "federated_credentials",
    "managed_clusters",
    "pod_identities",
    "role_assignments",
    "by_id",
    "everything_goes",
];

#[test]
fn python() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let simulation = simazure::start(Options {
        clusters: vec![Cluster {
            resource_group: "aks".to_owned(),
            name: "aks".to_owned(),
            issuer: ISSUER.to_owned(),
            kubeconfig: KUBECONFIG.to_owned(),
        }],
        unregistered: vec!["Microsoft.ManagedIdentity".to_owned()],
        lags: Lags {
            operation: Duration::from_secs(2),
            ..Lags::default()
        },
        page_size: 2,
        ..Options::default()
    })
    .unwrap();
    let output = Command::new(root.join("target/sdk/resource-manager/bin/python"))
        .arg(root.join("tests/sdk/resource-manager/manage.py"))
        .env_clear()
        .env("ARM", &simulation.arm)
        .env("REQUESTS_CA_BUNDLE", &simulation.ca_file)
        .env("SUBSCRIPTION", simulation.subscription)
        .env("AZURE_TENANT_ID", simulation.tenant)
        .env("AZURE_CLIENT_ID", simulation.client_id)
        .env("AZURE_CLIENT_SECRET", simulation.client_secret)
        .env("ISSUER", ISSUER)
        .env("KUBECONFIG_TEXT", KUBECONFIG)
        .output()
        .unwrap();
    let walked = String::from_utf8_lossy(&output.stdout);
    let walked: Vec<&str> = walked.lines().collect();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(walked, CASES, "{stderr}");
    assert!(output.status.success(), "{stderr}");
    println!("{} calls of Resource Manager", simulation.calls());
}
