//! Namespaces that forbid, count and limit.

use serde_json::json;

use crate::api::until;
use crate::pods::{self, PATIENCE, pod};
use crate::world::World;

const CAPTURE: &str = "identity-injector.io/capture";

impl World {
    pub async fn restricted_runs(&self) {
        let mut pod = pod("env", &["once"]);
        pod["metadata"]["annotations"][CAPTURE] = json!("env");
        pod["spec"]["securityContext"] = json!({"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}});
        pod["spec"]["containers"][0]["securityContext"] =
            json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        self.create_pod("restricted", &pod).await;
        let path = pods::path("restricted", "env");
        self.succeeded(&path).await;
        self.assert_tokens(&path, "app").await;
    }

    /// The warning comes with the refusal, and with the Deployment whose pods will be refused.
    pub async fn baseline_refuses_the_redirect(&self) {
        self.api
            .service_account("baseline", crate::world::SERVICE_ACCOUNT)
            .await;
        let warning = "Pod Security baseline of the Namespace forbids azwi-proxy-init; set identity-injector.io/capture: env";
        let pod = pod("redirected", &["once"]);
        let (stored, warnings) = self
            .api
            .post_heard("/api/v1/namespaces/baseline/pods", &pod.to_string())
            .await;
        let refused = stored.unwrap_err();
        let message = refused["message"].as_str().unwrap();
        assert!(
            message.contains("NET_ADMIN") && message.contains("baseline"),
            "{message}"
        );
        assert!(warnings.iter().any(|said| said == warning), "{warnings:?}");
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "redirected"},
            "spec": {
                "replicas": 0, "selector": {"matchLabels": {"of": "redirected"}},
                "template": {
                    "metadata": {"labels": {"of": "redirected"}, "annotations": pod["metadata"]["annotations"]},
                    "spec": {"serviceAccountName": crate::world::SERVICE_ACCOUNT, "containers": pod["spec"]["containers"]},
                },
            },
        });
        let path = "/apis/apps/v1/namespaces/baseline/deployments";
        let (stored, warnings) = self.api.post_heard(path, &deployment.to_string()).await;
        stored.unwrap();
        assert!(warnings.iter().any(|said| said == warning), "{warnings:?}");
    }

    pub async fn counted_runs(&self) {
        let namespace = "/api/v1/namespaces/counted";
        let hard = json!({"requests.cpu": "1", "requests.memory": "1Gi", "limits.cpu": "2", "limits.memory": "1Gi"});
        let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "all"}, "spec": {"hard": hard}});
        let limit = json!({
            "type": "Container", "default": {"cpu": "200m", "memory": "64Mi"},
            "min": {"cpu": "1m", "memory": "4Mi"}, "max": {"cpu": "1", "memory": "256Mi"},
        });
        let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "each"}, "spec": {"limits": [limit]}});
        for (plural, object) in [("resourcequotas", quota), ("limitranges", range)] {
            let path = format!("{namespace}/{plural}");
            self.api.post(&path, &object.to_string()).await.unwrap();
        }
        until("the quota counts", PATIENCE, async || {
            let quota = self
                .api
                .get(&format!("{namespace}/resourcequotas/all"))
                .await;
            !quota["status"]["used"].is_null()
        })
        .await;
        self.create_pod("counted", &pod("counted", &["once"])).await;
        let path = pods::path("counted", "counted");
        self.succeeded(&path).await;
        self.assert_tokens(&path, "app").await;
    }
}
