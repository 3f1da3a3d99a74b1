//! Entra elsewhere: a private authority with a CA of its own, and the sovereign clouds.

use http::Method;
use serde_json::json;

use crate::peers::TempFile;
use crate::process::{command, free_port, inject, terminate, wait_for};
use crate::running::{METADATA, TOKEN, raw};
use crate::support::{arm, claims};

const AUDIENCE: &str = "api://AzureADTokenExchange";

/// A simulated Azure with one identity that trusts `ns/sa` of the simulated cluster: its client id.
async fn identity(azure: &simazure::Simulation, issuer: &str) -> String {
    let group = format!("/subscriptions/{}/resourceGroups/rg", azure.subscription);
    let path = format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id");
    let credential = format!("{path}/federatedIdentityCredentials/fic");
    let located = json!({"location": "westus2"});
    let subject = "system:serviceaccount:ns:sa";
    let trusted =
        json!({"properties": {"issuer": issuer, "subject": subject, "audiences": [AUDIENCE]}});
    arm(azure, Method::PUT, &group, Some(located.clone())).await;
    let made = arm(azure, Method::PUT, &path, Some(located)).await;
    arm(azure, Method::PUT, &credential, Some(trusted)).await;
    made["properties"]["clientId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_private_one_is_trusted_by_its_ca_file_alone() {
    crate::peers::install_provider();
    let kube = simkube::start(simkube::Options::default()).await.unwrap();
    let azure = simazure::start(simazure::Options {
        issuer_cas: vec![kube.ca_pem().to_owned()],
        ..Default::default()
    })
    .unwrap();
    let client_id = identity(&azure, kube.issuer()).await;
    kube.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}}))
        .unwrap();
    kube.put(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa", "namespace": "ns"}}))
        .unwrap();
    let token = TempFile::new(&kube.token("ns", "sa", AUDIENCE).unwrap());
    let authority = azure.authority.replace("localhost", "127.0.0.1");
    let other = simazure::start(simazure::Options::default()).unwrap();
    // The CA file, the status, and what is said of the certificate.
    let table = [
        (Some(&azure.ca_file), 200, ""),
        (None, 503, "invalid peer certificate: UnknownIssuer"),
        (Some(&other.ca_file), 503, "invalid peer certificate"),
    ];
    for (ca_file, status, said) in table {
        let port = free_port();
        let mut environment = vec![
            ("PROXY_PORT", port.as_str()),
            ("AZURE_CLIENT_ID", &client_id),
            ("AZURE_TENANT_ID", azure.tenant),
            ("AZURE_FEDERATED_TOKEN_FILE", token.0.to_str().unwrap()),
        ];
        environment.extend(ca_file.map(|file| ("SSL_CERT_FILE", file.to_str().unwrap())));
        let proxy = command(&environment)
            .arg(format!("--authority-host={authority}"))
            .spawn()
            .unwrap();
        wait_for(&port).await;
        let address = format!("127.0.0.1:{port}").parse().unwrap();
        let target = format!("{TOKEN}?resource=https://vault.azure.net");
        let reply = raw(address, &Method::GET, &target, METADATA).await;
        assert_eq!(reply.status, status, "{ca_file:?}: {}", reply.text);
        let body = reply.json();
        if let Some(token) = body["access_token"].as_str() {
            assert_eq!(claims(token)["appid"], client_id);
        } else {
            let sentence = body["message"].as_str().unwrap();
            let host = authority.trim_end_matches('/');
            assert!(sentence.contains(said), "{ca_file:?}: {sentence}");
            assert!(sentence.contains(host), "{ca_file:?}: {sentence}");
        }
        terminate(proxy).await;
    }
}

#[tokio::test]
async fn a_pod_gets_that_of_its_cloud() {
    let table = [
        ("", "https://login.microsoftonline.com/"),
        ("AzurePublicCloud", "https://login.microsoftonline.com/"),
        ("AzureCloud", "https://login.microsoftonline.com/"),
        (
            "AzureUSGovernmentCloud",
            "https://login.microsoftonline.us/",
        ),
        ("AzureUSGovernment", "https://login.microsoftonline.us/"),
        ("usgovernment", "https://login.microsoftonline.us/"),
        ("AzureChinaCloud", "https://login.chinacloudapi.cn/"),
        ("china", "https://login.chinacloudapi.cn/"),
    ];
    for (cloud, authority) in table {
        let pod = inject(&[("AZURE_ENVIRONMENT", cloud)]).await;
        for name in ["azwi-proxy", "httpbin"] {
            let variables = crate::support::container(&pod, name)["env"].clone();
            let expected = json!({"name": "AZURE_AUTHORITY_HOST", "value": authority});
            let variables = variables.as_array().unwrap();
            assert!(
                variables.contains(&expected),
                "{cloud}, {name}: {variables:?}"
            );
        }
    }
}
