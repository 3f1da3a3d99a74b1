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

    /// Each claim of docs/comparison.md that a review can show, on both: the same pod, sent as the API server sends it.
    pub async fn compares_with_the_reference(&self) {
        let (reference, certificates) = self.start_reference().await;
        let document = std::fs::read_to_string("docs/comparison.md").unwrap();
        let theirs = (certificates.client(), PORT);
        let ours = (self.webhook.client().await, self.webhook.replicas[0].port);
        for (claim, pod, holds) in claims() {
            let mut held = Vec::new();
            for (client, port) in [&theirs, &ours] {
                let response = respond(client, *port, &pod).await;
                held.push(holds(&Answer::of(&pod, &response)));
            }
            println!("       {claim}: reference {}, ours {}", held[0], held[1]);
            assert_eq!(held, [false, true], "{claim}");
            assert!(
                document.contains(&format!("| {claim} |")),
                "docs/comparison.md: {claim}"
            );
        }
        let resident = [reference.id(), self.webhook.replicas[0].program.id()].map(resident);
        println!(
            "       resident, in kB: reference {}, ours, not optimised, {}",
            resident[0], resident[1]
        );
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

/// What a webhook makes of a pod.
struct Answer {
    allowed: bool,
    /// As it would be stored.
    pod: Value,
    warnings: usize,
    audited: bool,
    /// What is added to the result under another name.
    response: Value,
}

impl Answer {
    fn of(pod: &Value, response: &Value) -> Self {
        use base64::Engine;
        let mut after = pod.clone();
        if let Some(patch) = response["patch"].as_str() {
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(patch)
                .unwrap();
            let patch: json_patch::Patch = serde_json::from_slice(&bytes).unwrap();
            json_patch::patch(&mut after, &patch).unwrap();
        }
        Answer {
            allowed: response["allowed"] == true,
            pod: after,
            warnings: response["warnings"].as_array().map_or(0, Vec::len),
            audited: response["auditAnnotations"].is_object(),
            response: response.clone(),
        }
    }

    fn container(&self, name: &str) -> &Value {
        let lists = ["initContainers", "containers"].map(|list| self.pod["spec"][list].as_array());
        let mut all = lists.into_iter().flatten().flatten();
        all.find(|container| container["name"] == name)
            .unwrap_or(&Value::Null)
    }

    fn injected(&self) -> [&Value; 2] {
        ["azwi-proxy", "azwi-proxy-init"].map(|name| self.container(name))
    }
}

type Claim = (&'static str, Value, fn(&Answer) -> bool);

fn claims() -> Vec<Claim> {
    const INJECT: &str = "azure.workload.identity/inject-proxy-sidecar";
    let with = |annotations: Value, spec: Value| {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "compared", "namespace": "walk", "annotations": annotations,
                "labels": {"azure.workload.identity/use": "true"},
            },
            "spec": {"serviceAccountName": "default", "containers": [{"name": "app", "image": "app"}]},
        });
        json_patch::merge(&mut pod, &json!({"spec": spec}));
        pod
    };
    let proxy = |spec: Value| with(json!({INJECT: "true"}), spec);
    vec![
        (
            "fields newer than the program survive",
            proxy(json!({"fieldOfTomorrow": {"a": 1}})),
            |answer| answer.pod["spec"]["fieldOfTomorrow"]["a"] == 1,
        ),
        (
            "`inject-proxy-sidecar: \"false\"` injects no proxy",
            with(json!({INJECT: "false"}), json!({})),
            |answer| {
                answer
                    .injected()
                    .iter()
                    .all(|container| container.is_null())
            },
        ),
        (
            "nothing that is added is privileged",
            proxy(json!({})),
            |answer| {
                answer
                    .injected()
                    .iter()
                    .all(|it| it["securityContext"]["privileged"] != true)
            },
        ),
        (
            "both added containers say what they need",
            proxy(json!({})),
            |answer| {
                answer
                    .injected()
                    .iter()
                    .all(|it| it["resources"]["limits"]["memory"].is_string())
            },
        ),
        (
            "the proxy passes Pod Security `restricted` by itself",
            proxy(json!({})),
            |answer| {
                let security = &answer.injected()[0]["securityContext"];
                security["seccompProfile"]["type"] == "RuntimeDefault"
                    && security["runAsNonRoot"] == true
            },
        ),
        (
            "a pod that runs as root keeps a proxy that does not",
            proxy(json!({"securityContext": {"runAsUser": 0}})),
            |answer| answer.injected()[0]["securityContext"]["runAsUser"] == 1501,
        ),
        (
            "redirect, then proxy, then the pod's own init containers",
            proxy(json!({"initContainers": [{"name": "own", "image": "own"}]})),
            |answer| {
                let list = answer.pod["spec"]["initContainers"].as_array().unwrap();
                let names: Vec<_> = list.iter().map(|it| it["name"].as_str().unwrap()).collect();
                names == ["azwi-proxy-init", "azwi-proxy", "own"]
            },
        ),
        (
            "a port that is none is refused",
            with(
                json!({INJECT: "true", "azure.workload.identity/proxy-sidecar-port": "70000"}),
                json!({}),
            ),
            |answer| !answer.allowed,
        ),
        (
            "a port that the application uses is refused",
            proxy(
                json!({"containers": [{"name": "app", "image": "app", "ports": [{"containerPort": 8000}]}]}),
            ),
            |answer| !answer.allowed,
        ),
        (
            "a missing client id is warned of",
            proxy(json!({})),
            |answer| answer.warnings > 0,
        ),
        (
            "the decision is in the audit log",
            proxy(json!({})),
            |answer| answer.audited,
        ),
        (
            "the init container is of the same image as the proxy",
            proxy(json!({})),
            |answer| {
                answer.response["allowed"] == true
                    && answer.injected()[0]["image"] == answer.injected()[1]["image"]
            },
        ),
    ]
}

async fn respond(client: &reqwest::Client, port: u16, pod: &Value) -> Value {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "e2e", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"}, "operation": "CREATE",
        "namespace": "walk", "object": pod,
    }});
    let url = format!("https://127.0.0.1:{port}/mutate-v1-pod?timeout=5s");
    let reply = client.post(url).json(&review).send().await.unwrap();
    let reply: Value = reply.json().await.unwrap();
    reply["response"].clone()
}

/// Resident memory of a process, in kB.
fn resident(id: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").to_owned()
}
