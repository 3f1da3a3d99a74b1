//! Who asks for a token gets the identity's.

use std::process::Command;

use serde_json::json;
use simazure::journal::Listener;

use crate::pods::{self, pod};
use crate::world::{APP, WALK, WALK_IMAGE, World, run};

impl World {
    /// The walk's pod byte for byte, but for the image; the kubelet mounts the token that simazure verifies.
    pub async fn walk_pod_gets_tokens(&self) {
        let walk = WALK.replace(WALK_IMAGE, APP);
        self.api
            .post("/api/v1/namespaces/walk/pods", &walk)
            .await
            .unwrap();
        let path = pods::path("walk", "httpbin-pod");
        self.ready(&path).await;
        self.assert_tokens(&path, "httpbin").await;
        let init = self
            .api
            .text(&format!("{path}/log?container=azwi-proxy-init"))
            .await;
        println!("       {}", init.trim());
        let asked = self
            .azure
            .journal()
            .into_iter()
            .filter(|entry| entry.listener == Listener::Imds);
        assert_eq!(asked.count(), 0, "the node's IMDS was asked");
    }

    pub async fn other_paths_reach_the_node(&self) {
        let pod = self.api.get(&pods::path("walk", "httpbin-pod")).await;
        let app = World::process(&pod, "/app").unwrap();
        let get = |path: &str| {
            run(Command::new("nsenter")
                .args([
                    "--target",
                    &app.to_string(),
                    "--net",
                    "--",
                    "curl",
                    "--silent",
                    "--noproxy",
                    "*",
                ])
                .args([
                    "--header",
                    "Metadata: true",
                    &format!("http://169.254.169.254{path}"),
                ]))
        };
        let instance = get("/metadata/instance?api-version=2021-02-01");
        assert!(instance.contains(simazure::NODE_NAME), "{instance}");
        let refused = get("/metadata/identity/oauth2/anything?api-version=2018-02-01");
        assert!(refused.contains("error"), "{refused}");
    }

    pub async fn init_container_gets_a_token(&self) {
        let mut pod = pod("initialised", &["nothing"]);
        pod["spec"]["initContainers"] = json!([{"name": "own", "image": APP, "args": ["once"]}]);
        self.create_pod("walk", &pod).await;
        let path = pods::path("walk", "initialised");
        self.ready(&path).await;
        self.assert_tokens(&path, "own").await;
        self.api.delete(&path).await;
    }

    /// What the pod's own fields could get in the way of.
    pub async fn shapes_get_tokens(&self) {
        let ipv6 = "http://[::1]:8000/metadata/identity/oauth2/token";
        let table = [
            (
                "user-of-the-pod",
                json!({"securityContext": {"runAsUser": 1000, "runAsNonRoot": true}}),
            ),
            (
                "the-proxys-user",
                json!({"securityContext": {"runAsUser": 1501, "runAsGroup": 1501}}),
            ),
            (
                "read-only-root",
                json!({"containers": [app(&json!({"securityContext": {"readOnlyRootFilesystem": true}}))]}),
            ),
            ("shared-processes", json!({"shareProcessNamespace": true})),
            (
                "host-aliases",
                json!({"hostAliases": [{"ip": "127.0.0.1", "hostnames": ["app.test"]}]}),
            ),
            (
                "ipv6",
                json!({"containers": [app(&json!({"env": [{"name": "IDENTITY_ENDPOINT", "value": ipv6}]}))]}),
            ),
        ];
        for (name, spec) in &table {
            let mut pod = pod(name, &["once"]);
            let fields = spec.as_object().unwrap().clone();
            pod["spec"].as_object_mut().unwrap().extend(fields);
            self.create_pod("walk", &pod).await;
        }
        for (name, _) in table {
            let path = pods::path("walk", name);
            let ended = self.succeeded(&path).await;
            self.assert_tokens(&path, "app").await;
            if name == "ipv6" {
                assert_eq!(
                    ended["status"]["podIPs"].as_array().unwrap().len(),
                    2,
                    "{name}"
                );
            }
            self.api.delete(&path).await;
        }
    }
}

fn app(fields: &serde_json::Value) -> serde_json::Value {
    let mut app = json!({"name": "app", "image": APP, "args": ["once"]});
    app.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    app
}
