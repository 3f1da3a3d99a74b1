//! Our webhook on the node: manifests/base, with the simulated Azure's address.

use std::time::Duration;

use serde_json::Value;

use crate::api::{collection, until};
use crate::manifests::documents;
use crate::world::{SERVICE_ACCOUNT, SYSTEM, WALK, World};

impl World {
    pub async fn install(&self) {
        for file in ["rbac", "certificate", "service", "webhook"] {
            self.create_all(&format!("manifests/base/{file}.yaml"), |_| {})
                .await;
        }
        self.create_all("manifests/base/deployment.yaml", |deployment| {
            let args = &mut deployment["spec"]["template"]["spec"]["containers"][0]["args"];
            let more = [
                format!("--tenant-id={}", self.azure.tenant),
                format!("--authority-host={}", self.azure.authority),
            ];
            args.as_array_mut().unwrap().extend(more.map(Value::from));
        })
        .await;
        let deployment = format!("/apis/apps/v1/namespaces/{SYSTEM}/deployments/identity-injector");
        until(
            "both replicas are ready",
            Duration::from_secs(60),
            async || self.api.get(&deployment).await["status"]["readyReplicas"] == 2,
        )
        .await;
        let probe = WALK.replace(SERVICE_ACCOUNT, "default");
        until(
            "the webhook is called",
            Duration::from_secs(20),
            async || {
                let path = "/api/v1/namespaces/walk/pods?dryRun=All";
                let stored = self.api.post(path, &probe).await;
                stored.is_ok_and(|pod| pod["spec"]["initContainers"].is_array())
            },
        )
        .await;
    }

    pub async fn create_all(&self, file: &str, change: impl Fn(&mut Value)) {
        for mut object in documents(file) {
            change(&mut object);
            self.create(&object).await;
        }
    }

    async fn create(&self, object: &Value) {
        let path = collection(object, SYSTEM).unwrap();
        self.api.post(&path, &object.to_string()).await.unwrap();
    }

    pub async fn webhook_pods(&self) -> Vec<Value> {
        let pods = self
            .api
            .get(&format!("/api/v1/namespaces/{SYSTEM}/pods"))
            .await;
        pods["items"].as_array().unwrap().clone()
    }

    pub async fn webhook_logs(&self) -> String {
        let mut logs = String::new();
        for pod in self.webhook_pods().await {
            let name = pod["metadata"]["name"].as_str().unwrap();
            let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{name}/log?tailLines=20");
            logs += &format!("log of {name}:\n{}\n", self.api.text(&path).await);
        }
        logs
    }
}
