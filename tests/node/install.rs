//! Our webhook on the node: manifests/base, with the simulated Azure's address.

use serde_json::Value;

use crate::api::collection;
use crate::lifecycle::INJECTED;
use crate::manifests::documents;
use crate::shell::readme;
use crate::world::{SYSTEM, World};

impl World {
    /// By the README's commands; the last of them makes a pod in a dry run, which is injected.
    pub fn install(&self) {
        let [by_kustomize, _] = readme();
        let (_removal, commands) = by_kustomize.split_last().unwrap();
        let printed = self.shell.run(&commands.join("\n"));
        assert!(printed.ends_with(INJECTED), "{printed}");
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
