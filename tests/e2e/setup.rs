//! Setup, and the simulated Resource Manager it wrote to.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::arm;
use crate::world::{BINARY, SERVICE_ACCOUNT, World, text};

impl World {
    pub async fn setup_applies(&self) {
        let output = self.setup("apply");
        assert!(output.status.success(), "{}", text(&output));
        let account = self
            .api
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

    pub async fn setup_verifies(&self) {
        let output = self.setup("verify");
        assert!(output.status.success(), "{}", text(&output));
        let line = format!("ok       walk/{SERVICE_ACCOUNT} as userAssignedIdentityA\n");
        assert_eq!(String::from_utf8_lossy(&output.stdout), line);
    }

    pub async fn setup_destroys(&self) {
        let output = self.setup("destroy");
        assert!(output.status.success(), "{}", text(&output));
        for path in [
            &format!("/api/v1/namespaces/walk/serviceaccounts/{SERVICE_ACCOUNT}"),
            "/api/v1/namespaces/identity-injector-system/configmaps/identity-injector-setup",
        ] {
            assert_eq!(self.api.get(path).await["code"], 404, "{path}");
        }
        let groups = format!("/subscriptions/{}/resourcegroups", self.azure.subscription);
        let groups = self.arm(reqwest::Method::GET, &groups, None).await;
        assert!(!groups.to_string().contains("myResourceGroup"), "{groups}");
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
            // The simulated Entra knows a credential at once.
            .env("SETUP_SETTLE", "0")
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
        arm(&self.azure, method, path, body).await
    }
}
