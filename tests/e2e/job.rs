//! The rights that manifests/setup gives: each command of setup runs by them, and by none fewer. The Job itself runs on the node of
//! tests/node.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::api::collection;
use crate::manifests::{documents, kustomized};
use crate::rights::rights;
use crate::world::{BINARY, World, text};

/// Stands for identity-injector-system, which other cases use.
const NAMESPACE: &str = "job";
/// The config's namespace.
const APPS: &str = "job-apps";
const NAME: &str = "identity-injector-setup";
const ACCOUNT: &str = "job:identity-injector-setup";
const LEDGER: &str = "/api/v1/namespaces/job/configmaps/identity-injector-setup";
const REPORT: &str = "/api/v1/namespaces/job/configmaps/identity-injector-setup-report";
const CONFIG: &str = "
subscription: 5ab5c21b-7101-4000-8000-000000000001
resourceGroup: {name: job, location: westus2}
issuer: auto
identities:
  - name: idA
    serviceAccounts: [{namespace: job-apps, name: made}]
";
/// A ServiceAccount that setup makes.
const MADE: &str = "/api/v1/namespaces/job-apps/serviceaccounts/made";

impl World {
    pub async fn jobs_rights_are_least(&self) {
        self.api.namespace(NAMESPACE, json!({})).await;
        self.api.namespace(APPS, json!({})).await;
        let objects = self.make("manifests/setup").await;
        let kinds: Vec<_> = objects.iter().map(|object| &object["kind"]).collect();
        assert_eq!(kinds.len(), 7, "{kinds:?}");
        let ended = self.as_job("apply").await;
        assert!(ended.status.success(), "{}", text(&ended));
        assert!(!text(&ended).contains("WARN"), "{}", text(&ended));
        self.assert_told().await;
        self.assert_least(&objects, async || {
            self.unmake().await;
            self.as_job("apply").await
        })
        .await;
    }

    /// The report, and the Events of it and of the ServiceAccount.
    async fn assert_told(&self) {
        let map = self.api.get(REPORT).await;
        let report: Value =
            serde_json::from_str(map["data"]["report.json"].as_str().unwrap()).unwrap();
        assert_eq!(report["done"], true, "{report}");
        let account = &report["identities"][0]["serviceAccounts"][0];
        assert_eq!(account["outcome"], "created", "{report}");
        let made = self.api.get(MADE).await;
        for (object, reason) in [(&made, "IdentityAnnotated"), (&map, "SetupDone")] {
            let metadata = &object["metadata"];
            let namespace = metadata["namespace"].as_str().unwrap();
            let events = self
                .api
                .get(&format!(
                    "/apis/events.k8s.io/v1/namespaces/{namespace}/events"
                ))
                .await;
            let events = events["items"].as_array().unwrap().iter();
            let of_object: Vec<_> = events
                .filter(|event| event["regarding"]["uid"] == metadata["uid"])
                .map(|event| {
                    (
                        &event["reason"],
                        &event["type"],
                        &event["reportingController"],
                    )
                })
                .collect();
            assert_eq!(
                of_object,
                [(
                    &json!(reason),
                    &json!("Normal"),
                    &json!("identity-injector")
                )]
            );
        }
    }

    /// What the comment in manifests/setup/rbac.yaml says.
    pub async fn rights_in_namespaces_do(&self) {
        let roles = "/apis/rbac.authorization.k8s.io/v1";
        self.api
            .delete(&format!("{roles}/clusterrolebindings/{NAME}"))
            .await;
        let subjects = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]);
        let role = |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
        let mut first = self.api.get(&format!("{roles}/clusterroles/{NAME}")).await;
        first["metadata"] = json!({"name": "first"});
        first["rules"].as_array_mut().unwrap().truncate(1);
        let bound = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "first"}, "roleRef": role("first"), "subjects": subjects});
        self.create(&first).await;
        self.create(&bound).await;
        for namespace in [NAMESPACE, APPS] {
            let bound = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": "all", "namespace": namespace}, "roleRef": role(NAME), "subjects": subjects});
            self.create(&bound).await;
        }
        let patch = |namespace| json!({"verb": "patch", "resource": "serviceaccounts", "namespace": namespace});
        self.until_may(ACCOUNT, &patch("plain"), false).await;
        self.until_may(ACCOUNT, &patch(APPS), true).await;
        self.until_may(
            ACCOUNT,
            &json!({"verb": "get", "resource": "namespaces", "name": APPS}),
            true,
        )
        .await;
        self.unmake().await;
        let ended = self.as_job("apply").await;
        assert!(ended.status.success(), "{}", text(&ended));
        assert!(!text(&ended).contains("WARN"), "{}", text(&ended));
    }

    pub async fn verifying_rights_are_least(&self) {
        let objects = self.make_rest("manifests/setup-verify").await;
        assert_eq!(objects.len(), 2);
        let ended = self.as_job("verify").await;
        assert!(ended.status.success(), "{}", text(&ended));
        self.assert_least(&objects, async || self.as_job("verify").await)
            .await;
    }

    pub async fn destroying_rights_are_least(&self) {
        let objects = self.make_rest("manifests/setup-destroy").await;
        assert_eq!(objects.len(), 4);
        self.assert_least(&objects, async || self.as_job("destroy").await)
            .await;
        let ended = self.as_job("destroy").await;
        assert!(ended.status.success(), "{}", text(&ended));
        for path in [MADE, LEDGER] {
            assert_eq!(self.api.get(path).await["code"], 404, "{path}");
        }
    }

    /// Something is to be done again, at the cluster alone.
    async fn unmake(&self) {
        for path in [MADE, LEDGER, REPORT] {
            if self.api.get(path).await["code"] != 404 {
                self.api.delete(path).await;
            }
        }
    }

    /// Each verb of the roles among these objects, taken away, is missed with a sentence that names it.
    async fn assert_least(&self, objects: &[Value], run: impl AsyncFn() -> Output) {
        let rights = rights(objects);
        assert!(!rights.is_empty());
        for right in &rights {
            let ended = self.lacking(ACCOUNT, right, &run).await;
            let (printed, missed) = (text(&ended), right.missed());
            // An Event that can't be written is no failure.
            let is_event = right.resource == "events";
            assert_eq!(ended.status.success(), is_event, "{missed}: {printed}");
            assert!(printed.contains(&missed), "{missed}: {printed}");
        }
        println!("       {} rights, each needed", rights.len());
    }

    /// Makes what is in a folder, but the Job, which is only shown.
    async fn make(&self, folder: &str) -> Vec<Value> {
        let objects = kustomized(folder, "make e2e");
        let text = Value::Array(objects)
            .to_string()
            .replace("identity-injector-system", NAMESPACE);
        let objects: Vec<Value> = serde_json::from_str(&text).unwrap();
        for object in &objects {
            self.create(object).await;
        }
        objects
    }

    /// The same, for what a folder adds to manifests/setup.
    async fn make_rest(&self, folder: &str) -> Vec<Value> {
        let whole = kustomized(folder, "make e2e");
        let rest = documents(Path::new(folder).join("rbac.yaml"));
        assert_eq!(whole.len(), 7 + rest.len(), "{folder}");
        let job = whole.iter().find(|object| object["kind"] == "Job").unwrap();
        self.create(job).await;
        let text = Value::Array(rest)
            .to_string()
            .replace("identity-injector-system", NAMESPACE);
        let rest: Vec<Value> = serde_json::from_str(&text).unwrap();
        for object in &rest {
            self.create(object).await;
        }
        rest
    }

    async fn create(&self, object: &Value) {
        let namespace = object["metadata"]["namespace"]
            .as_str()
            .unwrap_or(NAMESPACE);
        let path = collection(object, namespace).unwrap();
        let dry = if object["kind"] == "Job" {
            "&dryRun=All"
        } else {
            ""
        };
        let path = format!("{path}?fieldValidation=Strict{dry}");
        let (stored, warnings) = self.api.post_heard(&path, &object.to_string()).await;
        stored.unwrap();
        assert_eq!(warnings, [""; 0], "{object}");
    }

    /// Setup with a token of the Job's ServiceAccount.
    async fn as_job(&self, command: &str) -> Output {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{NAME}/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}});
        let token = self.api.post(&path, &request.to_string()).await.unwrap();
        let [mut kubeconfig] = documents(&self.cluster.kubeconfig).try_into().unwrap();
        kubeconfig["users"][0]["user"] = json!({"token": token["status"]["token"]});
        let folder = self.folder.path();
        std::fs::write(folder.join("job.kubeconfig"), kubeconfig.to_string()).unwrap();
        std::fs::write(folder.join("job.yaml"), CONFIG).unwrap();
        let azure = &self.azure;
        let mut binary = Command::new(BINARY);
        binary
            .args([
                "setup",
                command,
                "--arm-url",
                &azure.arm,
                "--authority-host",
                &azure.authority,
            ])
            .env("SETUP_CONFIG", folder.join("job.yaml"))
            .env("SETUP_KUBECONFIG", folder.join("job.kubeconfig"))
            .env("SETUP_LEDGER_NAMESPACE", NAMESPACE)
            .env("SETUP_REPORT", format!("{NAME}-report"))
            .env("SETUP_SETTLE", "0")
            .env("AZURE_TENANT_ID", azure.tenant)
            .env("AZURE_CLIENT_ID", azure.client_id)
            .env("AZURE_CLIENT_SECRET", azure.client_secret)
            .env("SSL_CERT_FILE", &azure.ca_file);
        tokio::task::spawn_blocking(move || binary.output().unwrap())
            .await
            .unwrap()
    }
}
