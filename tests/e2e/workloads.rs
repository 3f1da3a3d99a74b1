//! Pods that the real controllers make: of a Deployment, of a Job, under a quota. Warnings as a client sees them.

use serde_json::{Value, json};

use crate::support::container;
use crate::world::{SERVICE_ACCOUNT, World, until};

impl World {
    /// Pods of controllers have no name yet when we see them, and come with more than their authors wrote.
    pub async fn controllers_make_patched_pods(&self) {
        let proxied = json!({"azure.workload.identity/inject-proxy-sidecar": "true"});
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"of": "web"}}, "template": template("web", &proxied, "Always")},
        });
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"},
            "spec": {"completions": 2, "parallelism": 2, "template": template("once", &proxied, "Never")},
        });
        self.api
            .post(
                "/apis/apps/v1/namespaces/walk/deployments",
                &deployment.to_string(),
            )
            .await
            .unwrap();
        self.api
            .post("/apis/batch/v1/namespaces/walk/jobs", &job.to_string())
            .await
            .unwrap();
        for (workload, owner) in [("web", "ReplicaSet"), ("once", "Job")] {
            for pod in self.pods("walk", workload, 2).await {
                assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], owner);
                assert!(
                    pod["metadata"]["generateName"]
                        .as_str()
                        .unwrap()
                        .starts_with(workload),
                    "{workload}"
                );
                assert_eq!(
                    container(&pod, "azwi-proxy")["restartPolicy"],
                    "Always",
                    "a {owner}'s pod ends by itself"
                );
                let env = container(&pod, "app")["env"].as_array().unwrap();
                assert!(
                    env.iter().any(|entry| entry["name"] == "AZURE_CLIENT_ID"),
                    "{workload}: {env:?}"
                );
            }
        }
    }

    /// A namespace that counts requests and limits admits the sidecar, whose every resource is said.
    pub async fn quota_admits_the_sidecar(&self) {
        self.api
            .namespace("quota", json!({"azure.workload.identity/use": "true"}))
            .await;
        self.api.service_account("quota", SERVICE_ACCOUNT).await;
        let hard = json!({"requests.cpu": "2", "requests.memory": "2Gi", "limits.cpu": "2", "limits.memory": "2Gi"});
        let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "all"}, "spec": {"hard": hard}});
        self.api
            .post(
                "/api/v1/namespaces/quota/resourcequotas",
                &quota.to_string(),
            )
            .await
            .unwrap();
        until("the quota counts", async || {
            !self
                .api
                .get("/api/v1/namespaces/quota/resourcequotas/all")
                .await["status"]["used"]
                .is_null()
        })
        .await;
        let annotations = json!({"azure.workload.identity/inject-proxy-sidecar": "true"});
        let mut pod = pod("counted", &annotations);
        let pods = "/api/v1/namespaces/quota/pods";
        let refused = self.api.post(pods, &pod.to_string()).await.unwrap_err();
        let message = refused["message"].as_str().unwrap();
        assert!(
            message.contains("limits.cpu for: app;") && !message.contains("azwi-"),
            "{message}"
        );
        pod["spec"]["containers"][0]["resources"] =
            json!({"limits": {"cpu": "100m", "memory": "64Mi"}});
        self.api.post(pods, &pod.to_string()).await.unwrap();
    }

    /// Whoever types `kubectl apply` reads why a pod is not what was meant: of a pod, and of a workload's template.
    pub async fn warnings_reach_the_client(&self) {
        let misspelt = json!({"azure.workload.identity/inject-proxy-side-car": "true"});
        let pod = pod("warned", &misspelt);
        let path = "/api/v1/namespaces/walk/pods?dryRun=All";
        let (_, said) = self.api.post_heard(path, &pod.to_string()).await;
        let expected = [
            "not injected: pod has no label azure.workload.identity/use, but ServiceAccount workload-identity-sa has a client-id",
            "pod annotation azure.workload.identity/inject-proxy-side-car is not known; is inject-proxy-sidecar meant?",
        ];
        assert_eq!(said, expected);
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "warned", "labels": {"azure.workload.identity/use": "true"}},
            "spec": {"selector": {"matchLabels": {"of": "warned"}}, "template": template("warned", &json!({}), "Always")},
        });
        let path = "/apis/apps/v1/namespaces/walk/deployments?dryRun=All";
        let (_, said) = self.api.post_heard(path, &deployment.to_string()).await;
        let expected = [
            "azure.workload.identity/use does nothing here; set it on the pod template",
            "not injected: pod has no label azure.workload.identity/use, but ServiceAccount workload-identity-sa has a client-id",
        ];
        assert_eq!(said, expected);
    }

    async fn pods(&self, namespace: &str, workload: &str, count: usize) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector=of%3D{workload}");
        let mut pods = Vec::new();
        until("the controllers make the pods", async || {
            pods = self.api.get(&path).await["items"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            pods.len() >= count
        })
        .await;
        pods
    }
}

/// A pod template whose own container says nothing of identity.
fn template(workload: &str, annotations: &Value, restart: &str) -> Value {
    json!({
        "metadata": {"labels": {"of": workload}, "annotations": annotations},
        "spec": {
            "serviceAccountName": SERVICE_ACCOUNT, "restartPolicy": restart,
            "containers": [{"name": "app", "image": "registry.example/app:1"}],
        },
    })
}

fn pod(name: &str, annotations: &Value) -> Value {
    let mut pod = template(name, annotations, "Always");
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!(name);
    pod
}
