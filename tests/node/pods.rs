//! Pods: written short, waited for, and what their containers printed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::until;
use crate::support::claims;
use crate::world::{APP, SERVICE_ACCOUNT, World};

/// A pod has its images; this is for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// One line of the application's log.
#[derive(Debug)]
pub struct Answer {
    pub endpoint: String,
    pub status: u16,
    pub body: String,
}

/// A pod that asks for the proxy, with one container `app` that runs so.
pub fn pod(name: &str, arguments: &[&str]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "annotations": {"azure.workload.identity/inject-proxy-sidecar": "true"}},
        "spec": {
            "serviceAccountName": SERVICE_ACCOUNT, "restartPolicy": "Never", "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "app", "image": APP, "args": arguments}],
        },
    })
}

pub fn path(namespace: &str, pod: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{pod}")
}

impl World {
    pub async fn create_pod(&self, namespace: &str, pod: &Value) -> Value {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        self.api.post(&path, &pod.to_string()).await.unwrap()
    }

    /// Waits until the pod's status holds; shows the pod where it never does.
    pub async fn pod_until(&self, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut pod = Value::Null;
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                pod = self.api.get(path).await;
                if holds(&pod) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let in_time = waited.await.is_ok();
        assert!(
            in_time,
            "{path} is not {what} in {PATIENCE:?}: {}",
            self.story(path, &pod).await
        );
        pod
    }

    pub async fn ready(&self, path: &str) -> Value {
        self.pod_until(path, "ready", is_ready).await
    }

    /// Waits for the pod's end, which must be a good one.
    pub async fn succeeded(&self, path: &str) -> Value {
        let ended = |pod: &Value| {
            ["Succeeded", "Failed"]
                .map(Value::from)
                .contains(&pod["status"]["phase"])
        };
        let pod = self.pod_until(path, "at its end", ended).await;
        assert_eq!(
            pod["status"]["phase"],
            "Succeeded",
            "{}",
            self.story(path, &pod).await
        );
        pod
    }

    /// Everything that tells why a pod is as it is.
    async fn story(&self, path: &str, pod: &Value) -> String {
        let status = serde_json::to_string_pretty(&pod["status"]).unwrap();
        let mut story = format!("{status}\n");
        for container in ["azwi-proxy-init", "azwi-proxy", "app"] {
            let log = self
                .api
                .text(&format!("{path}/log?container={container}"))
                .await;
            story += &format!("{container}: {log}\n");
        }
        story
    }

    /// What a container asked and got so far.
    pub async fn answers(&self, path: &str, container: &str) -> Vec<Answer> {
        answers(
            &self
                .api
                .text(&format!("{path}/log?container={container}"))
                .await,
        )
    }

    /// That a container got tokens of the identity from both endpoints, and nothing else.
    pub async fn assert_tokens(&self, path: &str, container: &str) {
        let mut answers = Vec::new();
        until("both endpoints are asked", PATIENCE, async || {
            answers = self.answers(path, container).await;
            answers.len() >= 2
        })
        .await;
        self.assert_only_tokens(path, &answers);
        let endpoints: Vec<_> = answers.iter().map(|answer| &*answer.endpoint).collect();
        assert_eq!(endpoints[..2], ["imds", "app-service"], "{path}");
    }

    pub fn assert_only_tokens(&self, case: &str, answers: &[Answer]) {
        for answer in answers {
            assert_eq!(answer.status, 200, "{case}: {answer:?}");
            let reply: Value = serde_json::from_str(&answer.body).unwrap();
            let claims = claims(reply["access_token"].as_str().unwrap());
            assert_eq!(claims["appid"], self.client_id, "{case}: {answer:?}");
        }
    }

    /// Process of this machine that runs a pod's container, by its command line.
    pub fn process(pod: &Value, command: &str) -> Option<u64> {
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        let read = |id: u64, file: &str| std::fs::read_to_string(format!("/proc/{id}/{file}"));
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.find(|id| {
            // In a name of systemd's, as on kind, an underscore stands for each hyphen.
            let groups = read(*id, "cgroup").unwrap_or_default().replace('_', "-");
            let of_pod = groups.contains(uid);
            let arguments = read(*id, "cmdline").unwrap_or_default().replace('\0', " ");
            of_pod && arguments.starts_with(command)
        })
    }
}

pub fn answers(log: &str) -> Vec<Answer> {
    let answer = |line: &str| {
        let mut words = line.splitn(4, ' ');
        Some(Answer {
            endpoint: words.next()?.to_owned(),
            status: words.next()?.parse().ok()?,
            body: words.nth(1)?.to_owned(),
        })
    };
    log.lines().filter_map(answer).collect()
}

pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The status of a container, in whichever list.
pub fn status<'a>(pod: &'a Value, container: &str) -> &'a Value {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let mut statuses = lists
        .into_iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten();
    statuses
        .find(|status| status["name"] == container)
        .unwrap_or(&Value::Null)
}
