//! What the API server stores of the pods it asks us about.

use std::process::Command;

use http::StatusCode;
use serde_json::{Value, json};

use crate::api::without_api_access;
use crate::support::container;
use crate::world::{BINARY, SERVICE_ACCOUNT, WALK, World, text};

impl World {
    pub async fn walk_pod_is_patched(&self) {
        let pod = self
            .api
            .post("/api/v1/namespaces/walk/pods", WALK)
            .await
            .unwrap();
        let names: Vec<_> = pod["spec"]["initContainers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| &c["name"])
            .collect();
        assert_eq!(names, ["azwi-proxy-init", "azwi-proxy"]);
        let app = container(&pod, "httpbin");
        let value = |name: &str| {
            app["env"]
                .as_array()
                .unwrap()
                .iter()
                .find(|e| e["name"] == name)
                .unwrap()["value"]
                .clone()
        };
        assert_eq!(
            value("IDENTITY_HEADER"),
            "true",
            "the pod's own value stays"
        );
        assert_eq!(value("AZURE_CLIENT_ID"), self.client_id().await);
        assert_eq!(value("AZURE_TENANT_ID"), self.azure.tenant);
        assert_eq!(
            value("AZURE_FEDERATED_TOKEN_FILE"),
            "/var/run/secrets/azure/tokens/azure-identity-token"
        );
        assert_eq!(value("AZURE_AUTHORITY_HOST"), self.azure.authority.as_str());
    }

    pub async fn unlabelled_is_untouched(&self) {
        self.api.service_account("plain", SERVICE_ACCOUNT).await;
        let pod = self
            .api
            .post("/api/v1/namespaces/plain/pods", WALK)
            .await
            .unwrap();
        assert!(pod["spec"]["initContainers"].is_null(), "{pod}");
        assert!(pod["metadata"]["annotations"]["identity-injector.io/status"].is_null());
    }

    pub async fn refusals_are_shown(&self) {
        let port = "azure.workload.identity/proxy-sidecar-port: \"8000\"";
        let expiration = "azure.workload.identity/service-account-token-expiration";
        let seconds = "is not a number of seconds; use a whole number from 3600 to 86400";
        let of_port = |value| {
            format!(
                "azure.workload.identity/proxy-sidecar-port: \"{value}\" is not a port; use a number from 1 to 65535"
            )
        };
        let of_range = |value| {
            format!(
                "token expiration {value} not valid. Expected value to be between 3600 and 86400 ({expiration})"
            )
        };
        // what of the walk's pod is replaced by what, and the sentence
        let table = [
            ("\"8000\"", "\"80000\"".to_owned(), of_port("80000")),
            ("\"8000\"", "http".to_owned(), of_port("http")),
            (port, format!("{expiration}: \"3599\""), of_range(3599)),
            (port, format!("{expiration}: \"86401\""), of_range(86401)),
            (
                port,
                format!("{expiration}: 3600s"),
                format!("{expiration}: \"3600s\" {seconds}"),
            ),
        ];
        for (old, new, sentence) in table {
            let pod = WALK.replace("httpbin-pod", "refused").replace(old, &new);
            let status = self
                .api
                .post("/api/v1/namespaces/walk/pods", &pod)
                .await
                .unwrap_err();
            assert_eq!(status["code"], 400);
            let denied = "admission webhook \"pods.identity-injector.io\" denied the request: ";
            assert_eq!(status["message"], format!("{denied}{sentence}"));
        }
    }

    pub async fn skipped_containers_get_nothing(&self) {
        let mut pod: Value = serde_saphyr::from_str(WALK).unwrap();
        pod["metadata"]["name"] = json!("skipping");
        pod["metadata"]["annotations"]["azure.workload.identity/skip-containers"] =
            json!("plain; other");
        let containers = pod["spec"]["containers"].as_array_mut().unwrap();
        for name in ["plain", "other"] {
            containers.push(json!({"name": name, "image": "example.com/app:1"}));
        }
        let pod = self
            .api
            .post("/api/v1/namespaces/walk/pods", &pod.to_string())
            .await
            .unwrap();
        for (name, reached) in [("httpbin", true), ("plain", false), ("other", false)] {
            let mounts = container(&pod, name)["volumeMounts"].to_string();
            assert_eq!(mounts.contains("azure-identity-token"), reached, "{name}");
            assert_eq!(container(&pod, name)["env"].is_array(), reached, "{name}");
        }
    }

    pub async fn dry_run(&self) {
        let pod = WALK.replace("httpbin-pod", "dry");
        let pod = self
            .api
            .post("/api/v1/namespaces/walk/pods?dryRun=All", &pod)
            .await
            .unwrap();
        assert_eq!(pod["spec"]["initContainers"][1]["name"], "azwi-proxy");
        assert_eq!(
            self.api.get("/api/v1/namespaces/walk/pods/dry").await["code"],
            404
        );
    }

    /// A pod with fields of the newest API, which no client library of the last year knows.
    pub async fn patch_equals_stored(&self) {
        let pod = WALK.replace("httpbin-pod", "newest").replace(
            "spec:\n",
            "spec:\n  hostnameOverride: newest.example\n  resources: {requests: {cpu: 20m}, limits: {cpu: 1}}\n",
        );
        let defaulted = self
            .api
            .post("/api/v1/namespaces/plain/pods?dryRun=All", &pod)
            .await
            .unwrap();
        let mut patched = defaulted.clone();
        let patch = self.review(&defaulted).await.unwrap();
        json_patch::patch(&mut patched, &patch).unwrap();
        let stored = self
            .api
            .post("/api/v1/namespaces/walk/pods", &pod)
            .await
            .unwrap();
        assert_eq!(stored["spec"]["hostnameOverride"], "newest.example");
        assert_eq!(stored["spec"]["resources"]["requests"]["cpu"], "20m");
        assert_eq!(self.defaulted(&patched).await, essence(&stored));
        assert!(
            self.review(&stored).await.is_none(),
            "a second pass adds something"
        );
    }

    pub async fn offline_equals_stored(&self) {
        let folder = self.folder.path();
        let account = self
            .api
            .get(&format!(
                "/api/v1/namespaces/walk/serviceaccounts/{SERVICE_ACCOUNT}"
            ))
            .await;
        std::fs::write(folder.join("sa.json"), account.to_string()).unwrap();
        let output = Command::new(BINARY)
            .args([
                "inject",
                "-f",
                "tests/walk/pod.yaml",
                "-o",
                "json",
                "--service-account",
            ])
            .arg(folder.join("sa.json"))
            .args([
                "--tenant-id",
                self.azure.tenant,
                "--authority-host",
                &self.azure.authority,
            ])
            .output()
            .unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{}",
            text(&output)
        );
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        let stored = self
            .api
            .get("/api/v1/namespaces/walk/pods/httpbin-pod")
            .await;
        // The API server makes lists of its own before it asks us, so other parents are created.
        let mut essences = [self.defaulted(&printed).await, essence(&stored)];
        for essence in &mut essences {
            let status = &mut essence["annotations"]["identity-injector.io/status"];
            let mut written: Value = serde_json::from_str(status.as_str().unwrap()).unwrap();
            assert!(written.as_object_mut().unwrap().remove("created").is_some());
            *status = written;
        }
        assert_eq!(essences[0], essences[1]);
    }

    /// What the webhook answers to a pod, asked over HTTPS as the API server asks.
    pub async fn review(&self, pod: &Value) -> Option<json_patch::Patch> {
        use base64::Engine;
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "e2e", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
            "namespace": "walk", "object": pod,
        }});
        let url = format!(
            "https://127.0.0.1:{}/mutate-v1-pod?timeout=5s",
            self.webhook.replicas[0].port
        );
        let client = self.webhook.client().await;
        let reply = client.post(url).json(&review).send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK.as_u16());
        let reply: Value = reply.json().await.unwrap();
        assert_eq!(reply["response"]["uid"], "e2e");
        let patch = reply["response"]["patch"].as_str()?;
        serde_json::from_slice(
            &base64::engine::general_purpose::STANDARD
                .decode(patch)
                .unwrap(),
        )
        .unwrap()
    }

    /// A pod with the API server's defaults, from a dry run in the namespace where nobody patches.
    pub async fn defaulted(&self, pod: &Value) -> Value {
        let mut pod = pod.clone();
        let metadata = pod["metadata"].as_object_mut().unwrap();
        for set_by_server in [
            "uid",
            "creationTimestamp",
            "resourceVersion",
            "namespace",
            "managedFields",
            "generation",
        ] {
            metadata.remove(set_by_server);
        }
        pod["metadata"]["generateName"] = pod["metadata"]["name"].take();
        pod["metadata"]["name"] = json!(null);
        // The token of the API server's own admission comes again, with a name of its own.
        essence(
            &self
                .api
                .post(
                    "/api/v1/namespaces/plain/pods?dryRun=All",
                    &without_api_access(pod).to_string(),
                )
                .await
                .unwrap(),
        )
    }
}

/// What of a stored pod its author and the webhook decide.
fn essence(pod: &Value) -> Value {
    let pod = without_api_access(pod.clone());
    json!({"labels": pod["metadata"]["labels"], "annotations": pod["metadata"]["annotations"], "spec": pod["spec"]})
}
