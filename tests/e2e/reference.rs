//! azure-workload-identity 1.6.0 itself (tests/reference), asked before us as its name comes first: pods get each thing once.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Certificates, Program, free_port};
use crate::webhook::CONFIGURATIONS;
use crate::world::{World, base64_of, until};

const AUDIENCE: &str = "api://AzureADTokenExchange";
const NAME: &str = "azure-wi-webhook-mutating-webhook-configuration";
/// controller-runtime's default; the reference has no flag for it.
const PORT: u16 = 9443;

impl World {
    pub async fn converges_beside_the_reference(&self) {
        let (_reference, certificates) = self.start_reference().await;
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": NAME},
            "webhooks": [{
                "name": "mutation.azure-workload-identity.io", "admissionReviewVersions": ["v1"],
                "clientConfig": {
                    "url": format!("https://127.0.0.1:{PORT}/mutate-v1-pod"),
                    "caBundle": base64_of(&certificates.ca_pem),
                },
                "failurePolicy": "Fail", "matchPolicy": "Equivalent", "reinvocationPolicy": "IfNeeded",
                "objectSelector": {"matchLabels": {"azure.workload.identity/use": "true"}},
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
                }],
                "sideEffects": "None",
            }],
        });
        let configuration = configuration.to_string();
        self.api.post(CONFIGURATIONS, &configuration).await.unwrap();
        until("we say that it is here", async || {
            self.webhook
                .printed()
                .contains("azure-workload-identity is installed too")
        })
        .await;
        let proxy = json!({"azure.workload.identity/inject-proxy-sidecar": "true"});
        let env = json!({
            "azure.workload.identity/inject-proxy-sidecar": "true", "identity-injector.io/capture": "env",
        });
        let table = [
            ("identity", json!({}), false),
            ("identity and proxy", proxy, true),
            ("env capture", env, true),
        ];
        for (case, annotations, proxies) in table {
            // The reference is asked once its configuration has reached the API server.
            until(case, async || {
                let pod = self.created_beside(&annotations).await;
                pod["spec"]["volumes"]
                    .to_string()
                    .contains("azure-workload-identity-reserved-")
            })
            .await;
            let pod = self.created_beside(&annotations).await;
            assert_eq!(
                proxies,
                pod.to_string().contains("azwi-proxy"),
                "{case}: {pod}"
            );
            each_thing_once(case, &pod);
            let again = self.review(&pod).await;
            assert!(again.is_none(), "{case}: {again:?}");
        }
        self.api.delete(&format!("{CONFIGURATIONS}/{NAME}")).await;
        until("we say that it is gone", async || {
            self.webhook.printed().contains(&format!("{NAME} is gone"))
        })
        .await;
    }

    async fn start_reference(&self) -> (Program, Certificates) {
        let folder = self.folder.path().join("reference");
        let certificates = Certificates::make(&folder);
        let binary = Path::new("tests/cluster/bin/reference-webhook");
        assert!(
            binary.exists(),
            "{} is not built: run `make e2e`",
            binary.display()
        );
        let (health, metrics) = (free_port(), free_port());
        let arguments = [
            "--disable-cert-rotation",
            &format!("--webhook-cert-dir={}", folder.display()),
            &format!("--health-addr=127.0.0.1:{health}"),
            &format!("--metrics-addr=127.0.0.1:{metrics}"),
            &format!("--kubeconfig={}", self.cluster.kubeconfig.display()),
        ];
        let environment = [("AZURE_TENANT_ID".to_owned(), self.azure.tenant.to_owned())];
        let log = self.folder.path().join("reference.log");
        let mut program = Program::start(binary, log, &arguments, &environment);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let ready = format!("http://127.0.0.1:{health}/readyz");
        program.until_ready(&client, &ready).await;
        (program, certificates)
    }

    async fn created_beside(&self, annotations: &Value) -> Value {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "beside", "annotations": annotations, "labels": {"azure.workload.identity/use": "true"},
            },
            "spec": {"containers": [{"name": "app", "image": "app"}, {"name": "other", "image": "other"}]},
        });
        let path = "/api/v1/namespaces/walk/pods?dryRun=All";
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.api.post(path, &pod.to_string()).await.unwrap()
    }
}

fn each_thing_once(case: &str, pod: &Value) {
    let names = |list: &Value, key: &str| -> Vec<String> {
        let entries = list.as_array().into_iter().flatten();
        entries
            .filter_map(|it| it[key].as_str().map(str::to_owned))
            .collect()
    };
    let mut lists = Vec::new();
    for list in ["containers", "initContainers", "volumes"] {
        lists.push(names(&pod["spec"][list], "name"));
    }
    for container in ["containers", "initContainers"]
        .iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
    {
        lists.push(names(&container["env"], "name"));
        lists.push(names(&container["volumeMounts"], "mountPath"));
    }
    for list in lists {
        let mut once = list.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), list.len(), "{case}: {list:?}");
    }
    let tokens = pod
        .to_string()
        .matches(&format!("\"audience\":\"{AUDIENCE}\""))
        .count();
    assert_eq!(tokens, 1, "{case}: {pod}");
}
