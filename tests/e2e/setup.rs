//! Setup, and the simulated Resource Manager it wrote to.

use std::process::{Command, Output};

use serde_json::Value;

use crate::world::{BINARY, SERVICE_ACCOUNT, World, text};

impl World {
    pub async fn setup_applies(&self) {
        let output = self.setup("apply");
        assert!(output.status.success(), "{}", text(&output));
        let account = self
            .get(&format!(
                "/api/v1/namespaces/walk/serviceaccounts/{SERVICE_ACCOUNT}"
            ))
            .await;
        let annotations = &account["metadata"]["annotations"];
        assert_eq!(
            annotations["azure.workload.identity/client-id"],
            self.client_id().await
        );
        assert_eq!(
            annotations["azure.workload.identity/tenant-id"],
            self.azure.tenant
        );
    }

    pub async fn setup_is_idempotent(&self) {
        self.azure.clear_journal();
        let output = self.setup("apply");
        assert!(output.status.success(), "{}", text(&output));
        let writes = self.arm_writes();
        assert!(writes.is_empty(), "{writes:?}");
    }

    pub fn setup(&self, command: &str) -> Output {
        Command::new(BINARY)
            .args([
                "setup",
                command,
                "--config",
                "tests/walk/setup.yaml",
                "--arm-url",
                &self.azure.arm,
            ])
            .args(["--authority-host", &self.azure.authority, "--kubeconfig"])
            .arg(&self.cluster.kubeconfig)
            .env("AZURE_TENANT_ID", &self.azure.tenant)
            .env("AZURE_CLIENT_ID", &self.azure.client_id)
            .env("AZURE_CLIENT_SECRET", &self.azure.client_secret)
            .env("SSL_CERT_FILE", &self.azure.ca_file)
            .output()
            .unwrap()
    }

    pub fn arm_writes(&self) -> Vec<String> {
        let entries = self.azure.journal().into_iter();
        let writes = entries
            .filter(|entry| entry.path.starts_with("/subscriptions") && entry.method != "GET");
        writes
            .map(|entry| format!("{} {}", entry.method, entry.path))
            .collect()
    }

    pub fn identity_path(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/myResourceGroup/providers/Microsoft.ManagedIdentity\
             /userAssignedIdentities/userAssignedIdentityA",
            self.azure.subscription
        )
    }

    pub async fn client_id(&self) -> String {
        let identity = self
            .arm(reqwest::Method::GET, &self.identity_path(), None)
            .await;
        identity["properties"]["clientId"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// One call to the simulated Resource Manager, as its administrator.
    pub async fn arm(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let root = reqwest::Certificate::from_pem(self.azure.ca_pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only([root])
            .no_proxy()
            .build()
            .unwrap();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.azure.client_id),
            ("client_secret", self.azure.client_secret),
            ("scope", "https://management.azure.com/.default"),
        ];
        let url = format!(
            "{}{}/oauth2/v2.0/token",
            self.azure.authority, self.azure.tenant
        );
        let token: Value = client
            .post(url)
            .form(&form)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let request = client
            .request(
                method,
                format!("{}{path}?api-version=2024-11-30", self.azure.arm),
            )
            .bearer_auth(token["access_token"].as_str().unwrap());
        let request = body.iter().fold(request, reqwest::RequestBuilder::json);
        request
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap()
            .json()
            .await
            .unwrap()
    }
}
