//! The walk on a real Kubernetes API server (tests/cluster), against a simulated Azure (tests/simazure).
//! Cases run in order, on one world. `make e2e` builds what it needs and runs it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use support::{Certificates, Program, ask, claims, container, environment, free_port};

const BINARY: &str = env!("CARGO_BIN_EXE_identity-injector");
const WALK: &str = include_str!("walk/pod.yaml");
const AUDIENCE: &str = "api://AzureADTokenExchange";
const SERVICE_ACCOUNT: &str = "workload-identity-sa";

type Case = (
    &'static str,
    for<'a> fn(&'a World) -> LocalBoxFuture<'a, ()>,
);

/// Each case may rely on the ones before it.
const CASES: [Case; 11] = [
    (
        "setup makes identity, credential and annotations",
        |world| world.setup_applies().boxed_local(),
    ),
    ("setup on a finished state writes nothing", |world| {
        world.setup_is_idempotent().boxed_local()
    }),
    ("every object of manifests/base is accepted", |world| {
        world.manifests_are_accepted().boxed_local()
    }),
    ("the walk's pod is created patched", |world| {
        world.walk_pod_is_patched().boxed_local()
    }),
    ("a pod of an unlabelled namespace is untouched", |world| {
        world.unlabelled_is_untouched().boxed_local()
    }),
    ("a refused pod shows our sentence", |world| {
        world.refusal_is_shown().boxed_local()
    }),
    ("server dry-run is patched and stores nothing", |world| {
        world.dry_run().boxed_local()
    }),
    (
        "json-patch makes what is stored; a second pass makes nothing",
        |world| world.patch_equals_stored().boxed_local(),
    ),
    ("offline inject prints what is stored", |world| {
        world.offline_equals_stored().boxed_local()
    }),
    (
        "the proxy turns the pod's own token into the identity's",
        |world| world.token_is_the_identitys().boxed_local(),
    ),
    (
        "one letter of the subject changed is AADSTS700213, a 400",
        |world| world.wrong_subject_is_named().boxed_local(),
    ),
];

fn main() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let start = Instant::now();
    let failed = runtime.block_on(async {
        let world = World::start().await;
        println!(
            "world ready in {:.1?} (API server {})",
            start.elapsed(),
            world.version().await
        );
        let mut failed = 0;
        for (name, case) in CASES {
            let start = Instant::now();
            let passed = AssertUnwindSafe(case(&world)).catch_unwind().await.is_ok();
            println!(
                "{} {name} ({:.2?})",
                if passed { "ok    " } else { "FAILED" },
                start.elapsed()
            );
            failed += usize::from(!passed);
        }
        if failed > 0 {
            println!("the webhook's log:\n{}", world.webhook.printed());
        }
        failed
    });
    println!("e2e: {} passed, {failed} failed", CASES.len() - failed);
    std::process::exit(i32::from(failed > 0));
}

/// A real API server, a simulated Azure, and our webhook registered between them.
struct World {
    cluster: Cluster,
    kube: kube::Client,
    azure: simazure::Simulation,
    certificates: Certificates,
    webhook: Program,
    webhook_port: u16,
    folder: tempfile::TempDir,
}

/// The API server's process; it stops itself when its standard input ends.
struct Cluster {
    child: Child,
    input: Option<ChildStdin>,
    kubeconfig: PathBuf,
    ca_pem: String,
}

impl Cluster {
    fn start() -> Self {
        let binary = Path::new("tests/cluster/bin/cluster");
        assert!(
            binary.exists(),
            "{} is not built: run `make e2e`",
            binary.display()
        );
        let mut child = Command::new(binary)
            .arg("up")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("no cluster: its reason stands above"));
        let ca_pem = std::fs::read_to_string(ready["ca"].as_str().unwrap()).unwrap();
        Cluster {
            child,
            input,
            kubeconfig: ready["kubeconfig"].as_str().unwrap().into(),
            ca_pem,
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.input.take());
        self.child.wait().unwrap();
    }
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::start();
        let kube = identity_injector::kubernetes::connect(Some(&cluster.kubeconfig))
            .await
            .unwrap();
        let options = simazure::Options {
            issuer_cas: vec![cluster.ca_pem.clone()],
            ..Default::default()
        };
        let azure = simazure::start(options).unwrap();
        let certificates = Certificates::make(&folder.path().join("certs"));
        let (webhook_port, health_port) = (free_port(), free_port());
        let arguments = [
            "webhook",
            &format!("--bind=127.0.0.1:{webhook_port}"),
            &format!("--health=127.0.0.1:{health_port}"),
            &format!("--cert-dir={}", certificates.directory.display()),
            &format!("--kubeconfig={}", cluster.kubeconfig.display()),
            &format!("--tenant-id={}", azure.tenant),
            &format!("--authority-host={}", azure.authority),
            "--drain-delay=0",
        ];
        let mut webhook = Program::start(
            Path::new(BINARY),
            folder.path().join("webhook.log"),
            &arguments,
            &[],
        );
        let ready = format!("http://127.0.0.1:{health_port}/readyz");
        webhook
            .until_ready(
                &reqwest::Client::builder().no_proxy().build().unwrap(),
                &ready,
            )
            .await;
        let world = World {
            cluster,
            kube,
            azure,
            certificates,
            webhook,
            webhook_port,
            folder,
        };
        world.namespace("walk", true).await;
        world.namespace("plain", false).await;
        world.register_webhook().await;
        world
    }

    async fn version(&self) -> String {
        self.kube.apiserver_version().await.unwrap().git_version
    }

    /// The configuration of manifests/base, with our address and authority in place of the Service.
    async fn register_webhook(&self) {
        let text = std::fs::read_to_string("manifests/base/webhook.yaml").unwrap();
        let mut configuration: Value = serde_saphyr::from_str(&text).unwrap();
        let bundle = base64_of(&self.certificates.ca_pem);
        configuration["webhooks"][0]["clientConfig"] = json!({"url": format!("https://127.0.0.1:{}/mutate-v1-pod", self.webhook_port), "caBundle": bundle});
        let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
        self.post(path, &configuration.to_string()).await.unwrap();
        // The API server learns of it through a cache: wait for its effect.
        let deadline = Instant::now() + Duration::from_secs(20);
        let probe = WALK
            .replace("httpbin-pod", "probe")
            .replace(SERVICE_ACCOUNT, "default");
        loop {
            let stored = self
                .post("/api/v1/namespaces/walk/pods?dryRun=All", &probe)
                .await;
            if stored.is_ok_and(|pod| pod["spec"]["initContainers"].is_array()) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the webhook is not called:\n{}",
                self.webhook.printed()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn setup_applies(&self) {
        let output = self.setup("apply");
        assert!(output.status.success(), "{}", text(&output));
        let account = self
            .get(&format!(
                "/api/v1/namespaces/walk/serviceaccounts/{SERVICE_ACCOUNT}"
            ))
            .await;
        let annotations = &account["metadata"]["annotations"];
        assert_eq!(
            annotations["azure.workload.identity/client-id"],
            self.client_id().await
        );
        assert_eq!(
            annotations["azure.workload.identity/tenant-id"],
            self.azure.tenant
        );
    }

    async fn setup_is_idempotent(&self) {
        self.azure.clear_journal();
        let output = self.setup("apply");
        assert!(output.status.success(), "{}", text(&output));
        let writes = self.arm_writes();
        assert!(writes.is_empty(), "{writes:?}");
    }

    async fn manifests_are_accepted(&self) {
        let mut seen = 0;
        for file in std::fs::read_dir("manifests/base").unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for object in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
                let Some(path) = collection(&object) else {
                    continue;
                };
                // Dry-run does not store the Namespace that its neighbours are in.
                let object = object
                    .to_string()
                    .replace("identity-injector-system", "plain");
                let created = self
                    .post(
                        &format!("{path}?dryRun=All&fieldValidation=Strict"),
                        &object,
                    )
                    .await;
                let exists = |status: &Value| status["reason"] == "AlreadyExists";
                assert!(
                    created.as_ref().map_or_else(exists, |_| true),
                    "{created:?}"
                );
                seen += 1;
            }
        }
        assert_eq!(seen, 7);
    }

    async fn walk_pod_is_patched(&self) {
        let pod = self
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

    async fn unlabelled_is_untouched(&self) {
        self.service_account("plain").await;
        let pod = self
            .post("/api/v1/namespaces/plain/pods", WALK)
            .await
            .unwrap();
        assert!(pod["spec"]["initContainers"].is_null(), "{pod}");
        assert!(pod["metadata"]["annotations"]["identity-injector.io/status"].is_null());
    }

    async fn refusal_is_shown(&self) {
        let pod = WALK
            .replace("httpbin-pod", "refused")
            .replace("\"8000\"", "\"80000\"");
        let status = self
            .post("/api/v1/namespaces/walk/pods", &pod)
            .await
            .unwrap_err();
        assert_eq!(status["code"], 400);
        assert_eq!(
            status["message"],
            "admission webhook \"pods.identity-injector.io\" denied the request: \
             azure.workload.identity/proxy-sidecar-port: \"80000\" is not a port; use a number from 1 to 65535"
        );
    }

    async fn dry_run(&self) {
        let pod = WALK.replace("httpbin-pod", "dry");
        let pod = self
            .post("/api/v1/namespaces/walk/pods?dryRun=All", &pod)
            .await
            .unwrap();
        assert_eq!(pod["spec"]["initContainers"][1]["name"], "azwi-proxy");
        assert_eq!(
            self.get("/api/v1/namespaces/walk/pods/dry").await["code"],
            404
        );
    }

    /// A pod with fields of the newest API, which no client library of the last year knows.
    async fn patch_equals_stored(&self) {
        let pod = WALK.replace("httpbin-pod", "newest").replace(
            "spec:\n",
            "spec:\n  hostnameOverride: newest.example\n  resources: {requests: {cpu: 20m}, limits: {cpu: 1}}\n",
        );
        let defaulted = self
            .post("/api/v1/namespaces/plain/pods?dryRun=All", &pod)
            .await
            .unwrap();
        let mut patched = defaulted.clone();
        let patch = self.review(&defaulted).await.unwrap();
        json_patch::patch(&mut patched, &patch).unwrap();
        let stored = self
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

    async fn offline_equals_stored(&self) {
        let folder = self.folder.path();
        let account = self
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
        let stored = self.get("/api/v1/namespaces/walk/pods/httpbin-pod").await;
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

    async fn token_is_the_identitys(&self) {
        let client_id = self.client_id().await;
        let (mut proxy, port, header) = self.proxy().await;
        let requests = [
            ("IMDS", "2018-02-01", ("Metadata", "true")),
            (
                "App Service, the pod's own header",
                "2019-08-01",
                ("X-IDENTITY-HEADER", "true"),
            ),
            (
                "App Service, the header we set",
                "2019-08-01",
                ("X-IDENTITY-HEADER", header.as_str()),
            ),
        ];
        for (case, api_version, header) in requests {
            let (status, reply) = ask(port, api_version, header).await;
            assert_eq!(status, 200, "{case}: {reply}");
            let claims = claims(reply["access_token"].as_str().unwrap());
            assert_eq!(claims["appid"], client_id, "{case}");
            assert_eq!(claims["aud"], "https://vault.azure.net", "{case}");
            assert_eq!(claims["tid"], self.azure.tenant, "{case}");
        }
        let leaked = self
            .azure
            .journal()
            .into_iter()
            .filter(|entry| entry.listener == simazure::journal::Listener::Imds);
        assert_eq!(leaked.count(), 0, "the node's IMDS was asked");
        assert!(proxy.stop().success(), "{}", proxy.printed());
    }

    async fn wrong_subject_is_named(&self) {
        let credentials = format!("{}/federatedIdentityCredentials", self.identity_path());
        let listed = self.arm(reqwest::Method::GET, &credentials, None).await;
        let credential = &listed["value"][0];
        let mut properties = credential["properties"].clone();
        properties["subject"] = json!(format!(
            "system:serviceaccount:walk:{}",
            SERVICE_ACCOUNT.replace("sa", "sb")
        ));
        let path = format!("{credentials}/{}", credential["name"].as_str().unwrap());
        self.arm(
            reqwest::Method::PUT,
            &path,
            Some(json!({"properties": properties})),
        )
        .await;
        let (mut proxy, port, _) = self.proxy().await;
        let (status, reply) = ask(port, "2018-02-01", ("Metadata", "true")).await;
        assert_eq!(status, 400, "{reply}");
        let sentence = reply["error_description"].as_str().unwrap();
        assert!(sentence.contains("AADSTS700213"), "{sentence}");
        assert!(
            sentence.contains(&format!("system:serviceaccount:walk:{SERVICE_ACCOUNT}")),
            "{sentence}"
        );
        proxy.stop();
    }

    /// The proxy with the environment the stored pod gives it, and a token the API server issued for it.
    async fn proxy(&self) -> (Program, u16, String) {
        let pod = self.get("/api/v1/namespaces/walk/pods/httpbin-pod").await;
        let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
        let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": "httpbin-pod", "uid": uid});
        let spec =
            json!({"audiences": [AUDIENCE], "expirationSeconds": 3600, "boundObjectRef": bound});
        let path = format!("/api/v1/namespaces/walk/serviceaccounts/{SERVICE_ACCOUNT}/token");
        let request =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        let token = self.post(&path, &request.to_string()).await.unwrap();
        let token_file = self.folder.path().join("token");
        std::fs::write(&token_file, token["status"]["token"].as_str().unwrap()).unwrap();
        let mut variables = environment(&pod, container(&pod, "azwi-proxy"), &token_file);
        variables.push((
            "SSL_CERT_FILE".to_owned(),
            self.azure.ca_file.to_str().unwrap().to_owned(),
        ));
        let port = free_port();
        let arguments = [
            "proxy",
            &format!("--port={port}"),
            &format!("--imds-url={}", self.azure.node_imds),
        ];
        let log = self.folder.path().join("proxy.log");
        let mut proxy = Program::start(Path::new(BINARY), log, &arguments, &variables);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        proxy
            .until_ready(&client, &format!("http://127.0.0.1:{port}/readyz"))
            .await;
        (proxy, port, uid)
    }

    fn setup(&self, command: &str) -> Output {
        Command::new(BINARY)
            .args([
                "setup",
                command,
                "--config",
                "tests/walk/setup.yaml",
                "--arm-url",
                &self.azure.arm,
            ])
            .args(["--authority-host", &self.azure.authority, "--kubeconfig"])
            .arg(&self.cluster.kubeconfig)
            .env("AZURE_TENANT_ID", &self.azure.tenant)
            .env("AZURE_CLIENT_ID", &self.azure.client_id)
            .env("AZURE_CLIENT_SECRET", &self.azure.client_secret)
            .env("SSL_CERT_FILE", &self.azure.ca_file)
            .output()
            .unwrap()
    }

    fn arm_writes(&self) -> Vec<String> {
        let entries = self.azure.journal().into_iter();
        let writes = entries
            .filter(|entry| entry.path.starts_with("/subscriptions") && entry.method != "GET");
        writes
            .map(|entry| format!("{} {}", entry.method, entry.path))
            .collect()
    }

    fn identity_path(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/myResourceGroup/providers/Microsoft.ManagedIdentity\
             /userAssignedIdentities/userAssignedIdentityA",
            self.azure.subscription
        )
    }

    async fn client_id(&self) -> String {
        let identity = self
            .arm(reqwest::Method::GET, &self.identity_path(), None)
            .await;
        identity["properties"]["clientId"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// One call to the simulated Resource Manager, as its administrator.
    async fn arm(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let root = reqwest::Certificate::from_pem(self.azure.ca_pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only([root])
            .no_proxy()
            .build()
            .unwrap();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.azure.client_id),
            ("client_secret", self.azure.client_secret),
            ("scope", "https://management.azure.com/.default"),
        ];
        let url = format!(
            "{}{}/oauth2/v2.0/token",
            self.azure.authority, self.azure.tenant
        );
        let token: Value = client
            .post(url)
            .form(&form)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let request = client
            .request(
                method,
                format!("{}{path}?api-version=2024-11-30", self.azure.arm),
            )
            .bearer_auth(token["access_token"].as_str().unwrap());
        let request = body
            .iter()
            .fold(request, |request, body| request.json(body));
        request
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// Posts YAML or JSON as it is; the stored object, or the Status that refuses it.
    async fn post(&self, path: &str, body: &str) -> Result<Value, Value> {
        let request = Request::post(path).header("content-type", "application/yaml");
        let reply = self
            .kube
            .send(request.body(body.as_bytes().to_vec().into()).unwrap())
            .await
            .unwrap();
        let ok = reply.status().is_success();
        let value = body_of(reply).await;
        if ok { Ok(value) } else { Err(value) }
    }

    async fn get(&self, path: &str) -> Value {
        body_of(
            self.kube
                .send(Request::get(path).body(Vec::new().into()).unwrap())
                .await
                .unwrap(),
        )
        .await
    }

    async fn namespace(&self, name: &str, opted_in: bool) {
        let labels = json!({"azure.workload.identity/use": opted_in.to_string()});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        self.post("/api/v1/namespaces", &namespace.to_string())
            .await
            .unwrap();
    }

    async fn service_account(&self, namespace: &str) {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": SERVICE_ACCOUNT}});
        self.post(
            &format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
            &account.to_string(),
        )
        .await
        .unwrap();
    }

    /// What the webhook answers to a pod, asked over HTTPS as the API server asks.
    async fn review(&self, pod: &Value) -> Option<json_patch::Patch> {
        use base64::Engine;
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "e2e", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
            "namespace": "walk", "object": pod,
        }});
        let url = format!(
            "https://127.0.0.1:{}/mutate-v1-pod?timeout=5s",
            self.webhook_port
        );
        let reply = self
            .certificates
            .client()
            .post(url)
            .json(&review)
            .send()
            .await
            .unwrap();
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
    async fn defaulted(&self, pod: &Value) -> Value {
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

/// Drops the `kube-api-access-xxxxx` volume and its mounts, which the API server itself adds under a random name.
fn without_api_access(mut pod: Value) -> Value {
    let own = |entry: &Value| {
        !entry["name"]
            .as_str()
            .unwrap_or_default()
            .starts_with("kube-api-access-")
    };
    for list in ["/spec/containers", "/spec/initContainers"] {
        for container in pod
            .pointer_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            container["volumeMounts"]
                .as_array_mut()
                .into_iter()
                .for_each(|mounts| mounts.retain(own));
        }
    }
    pod["spec"]["volumes"]
        .as_array_mut()
        .into_iter()
        .for_each(|volumes| volumes.retain(own));
    pod
}

/// The path objects of that kind are posted to; none for what is no API object.
fn collection(object: &Value) -> Option<String> {
    Some(match object["kind"].as_str()? {
        "Namespace" => "/api/v1/namespaces".to_owned(),
        "ServiceAccount" => "/api/v1/namespaces/plain/serviceaccounts".to_owned(),
        "Service" => "/api/v1/namespaces/plain/services".to_owned(),
        "Deployment" => "/apis/apps/v1/namespaces/plain/deployments".to_owned(),
        "ClusterRole" => "/apis/rbac.authorization.k8s.io/v1/clusterroles".to_owned(),
        "ClusterRoleBinding" => "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings".to_owned(),
        "MutatingWebhookConfiguration" => {
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations".to_owned()
        }
        "Kustomization" => return None,
        kind => panic!("{kind}: not known here"),
    })
}

async fn body_of(reply: http::Response<kube::client::Body>) -> Value {
    serde_json::from_slice(&reply.into_body().collect_bytes().await.unwrap()).unwrap()
}

fn base64_of(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
