//! Setup as a Job: manifests/setup on the node, signed in as an identity of its own.

use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{base64_of, collection, until};
use crate::manifests::kustomized;
use crate::pods::{PATIENCE, status};
use crate::support::arm;
use crate::world::{World, run};

const SYSTEM: &str = "identity-injector-system";
const JOB: &str = "identity-injector-setup";
pub const APPS: &str = "applications";

/// What a Job's sign-in and config say.
struct Wanted<'a> {
    folder: &'a str,
    client_id: &'a str,
    config: &'a str,
    /// By the lines that are comments in job.yaml.
    by_secret: bool,
}

impl World {
    pub async fn setup_runs_as_a_job(&self) {
        let client_id = self.identity_of_the_job().await;
        self.api.namespace(APPS, json!({})).await;
        let config = self.config("done", &["sa"]);
        let mut wanted = Wanted {
            folder: "manifests/setup",
            client_id: &client_id,
            config: &config,
            by_secret: false,
        };
        self.run_job(&wanted).await;
        let account_path = format!("/api/v1/namespaces/{APPS}/serviceaccounts/sa");
        let account = self.api.get(&account_path).await;
        let identity = arm(&self.azure, Method::GET, &self.identity("done"), None).await;
        assert_eq!(
            account["metadata"]["annotations"]["azure.workload.identity/client-id"],
            identity["properties"]["clientId"]
        );
        let report = self.report().await;
        assert_eq!(
            (&report["done"], &report["identities"][0]["outcome"]),
            (&json!(true), &json!("created")),
            "{report}"
        );
        let map = self.api.get(&self.report_path()).await;
        self.assert_event(&account, "Normal", "IdentityAnnotated")
            .await;
        self.assert_event(&map, "Normal", "SetupDone").await;

        self.azure.clear_journal();
        self.run_job(&wanted).await;
        assert_eq!(self.report().await["identities"][0]["outcome"], "unchanged");
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "identity-injector-setup-azure", "namespace": SYSTEM},
            "data": {"secret": base64_of(self.azure.client_secret)},
        });
        self.apply(&secret).await;
        wanted.client_id = self.azure.client_id;
        wanted.by_secret = true;
        self.run_job(&wanted).await;
        wanted.client_id = &client_id;
        wanted.by_secret = false;
        wanted.folder = "manifests/setup-verify";
        self.run_job(&wanted).await;
        assert_eq!(self.writes("done"), [""; 0]);
        wanted.folder = "manifests/setup-destroy";
        self.run_job(&wanted).await;
        assert_eq!(self.api.get(&account_path).await["code"], 404);
        let deleted = self.writes("done");
        let group = deleted.last().unwrap().to_lowercase();
        assert!(
            group.starts_with("delete ") && group.contains("/resourcegroups/done?"),
            "{deleted:?}"
        );
        let signed_in = self
            .azure
            .journal()
            .into_iter()
            .filter_map(|entry| entry.details.grant);
        for grant in ["client_assertion", "client_secret"] {
            assert!(signed_in.clone().any(|one| one == grant), "{grant}");
        }
    }

    /// One pod is killed, the next one deleted.
    pub async fn setups_job_goes_on(&self) {
        let client_id = self.identity_of_the_job().await;
        let accounts = ["ka", "kb", "kc", "kd"];
        let config = self.config("killed", &accounts);
        let wanted = Wanted {
            folder: "manifests/setup",
            client_id: &client_id,
            config: &config,
            by_secret: false,
        };
        let job = self.start_job(&wanted).await;
        self.until_credentials("killed", 1).await;
        let pod = self.running_pod().await;
        let process = World::process(&pod, "/identity-injector setup").unwrap();
        run(Command::new("kill").args(["-KILL", &process.to_string()]));
        self.until_credentials("killed", 2).await;
        let pod = self.running_pod().await;
        let name = pod["metadata"]["name"].as_str().unwrap();
        self.api
            .delete(&format!("/api/v1/namespaces/{SYSTEM}/pods/{name}"))
            .await;
        until("the pod's report is there", PATIENCE, async || {
            let said = self.report().await["error"].to_string();
            said.contains("interrupted; run the same command again")
        })
        .await;
        let ended = self.completed(&job).await;
        assert_eq!(ended["status"]["failed"], 2, "{ended}");
        let report = self.report().await;
        assert_eq!(report["done"], true, "{report}");
        // The group, the identity, and each credential: once, though two pods ended on the way.
        let writes = self.writes("killed");
        assert!(writes.len() <= 2 + accounts.len() + 2, "{writes:?}");
        let credentials = format!("{}/federatedIdentityCredentials", self.identity("killed"));
        let credentials = arm(&self.azure, Method::GET, &credentials, None).await;
        assert_eq!(
            credentials["value"].as_array().unwrap().len(),
            accounts.len(),
            "{credentials}"
        );
        for account in accounts {
            let account = self
                .api
                .get(&format!(
                    "/api/v1/namespaces/{APPS}/serviceaccounts/{account}"
                ))
                .await;
            assert!(account["metadata"]["annotations"].is_object(), "{account}");
        }
        let ledger = self
            .api
            .get(&format!("/api/v1/namespaces/{SYSTEM}/configmaps/{JOB}"))
            .await;
        let data = ledger["data"].to_string();
        assert!(
            data.contains("killed") && !data.contains("intended"),
            "{data}"
        );
        self.remove_job(&job).await;
    }

    pub async fn wrong_config_is_final(&self) {
        let wanted = Wanted {
            folder: "manifests/setup",
            client_id: "x",
            config: "subscription: none",
            by_secret: false,
        };
        let job = self.start_job(&wanted).await;
        until("the Job has failed", PATIENCE, async || {
            condition(&self.api.get(&job).await, "Failed")
        })
        .await;
        let ended = self.api.get(&job).await;
        assert_eq!(ended["status"]["failed"], 1, "{ended}");
        let [pod] = self.pods_of_jobs().await.try_into().unwrap();
        let ended = &status(&pod, "setup")["state"]["terminated"];
        assert_eq!(ended["exitCode"], 64, "{ended}");
        let said = ended["message"].as_str().unwrap_or_default();
        assert!(said.contains("missing field `resourceGroup`"), "{said}");
        self.remove_job(&job).await;
    }

    /// An identity that trusts the Job's ServiceAccount; its client id.
    pub async fn identity_of_the_job(&self) -> String {
        let group = format!(
            "/subscriptions/{}/resourceGroups/jobs",
            self.azure.subscription
        );
        let identity =
            format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/setup");
        let location = json!({"location": "westus2"});
        let credential = json!({"properties": {
            "issuer": self.said("issuer"), "audiences": ["api://AzureADTokenExchange"],
            "subject": "system:serviceaccount:identity-injector-system:identity-injector-setup",
        }});
        let put = async |path: &str, body: &Value| {
            arm(&self.azure, Method::PUT, path, Some(body.clone())).await
        };
        put(&group, &location).await;
        let made = put(&identity, &location).await;
        put(
            &format!("{identity}/federatedIdentityCredentials/job"),
            &credential,
        )
        .await;
        made["properties"]["clientId"].as_str().unwrap().to_owned()
    }

    pub fn config(&self, group: &str, accounts: &[&str]) -> String {
        let accounts: Vec<_> = accounts
            .iter()
            .map(|name| json!({"namespace": APPS, "name": name}))
            .collect();
        json!({
            "subscription": self.azure.subscription, "issuer": "auto",
            "resourceGroup": {"name": group, "location": "westus2"},
            "identities": [{"name": "idA", "serviceAccounts": accounts}],
        })
        .to_string()
    }

    fn identity(&self, group: &str) -> String {
        let subscription = self.azure.subscription;
        format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/idA"
        )
    }

    /// Starts it, waits for its end, which must be a good one, and removes it.
    async fn run_job(&self, wanted: &Wanted<'_>) {
        let job = self.start_job(wanted).await;
        self.completed(&job).await;
        self.remove_job(&job).await;
    }

    /// Applies a folder of manifests, as it stands but for what is wanted; gives the Job's path.
    async fn start_job(&self, wanted: &Wanted<'_>) -> String {
        let mut started = String::new();
        for mut object in kustomized(wanted.folder, "make e2e-node") {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let path = format!("{}/{name}", collection(&object, SYSTEM).unwrap());
            if name == "identity-injector-setup-config" {
                object["data"] = json!({
                    "AZURE_CLIENT_ID": wanted.client_id, "AZURE_TENANT_ID": self.azure.tenant, "setup.yaml": wanted.config,
                });
            }
            if object["kind"] == "Job" {
                let env = object["spec"]["template"]["spec"]["containers"][0]["env"]
                    .as_array_mut()
                    .unwrap();
                if wanted.by_secret {
                    env.extend(commented_variables());
                }
                for (name, value) in [
                    ("AZURE_RESOURCE_MANAGER_URL", &*self.azure.arm),
                    ("AZURE_AUTHORITY_HOST", &self.azure.authority),
                    // The simulated Entra knows a credential at once.
                    ("SETUP_SETTLE", "0"),
                ] {
                    env.push(json!({"name": name, "value": value}));
                }
                started.clone_from(&path);
                self.remove_job(&path).await;
            }
            self.api.apply(&path, &object).await;
        }
        started
    }

    async fn apply(&self, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap();
        let path = format!("{}/{name}", collection(object, SYSTEM).unwrap());
        self.api.apply(&path, object).await;
    }

    pub async fn completed(&self, job: &str) -> Value {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let job = self.api.get(job).await;
                if ["Complete", "Failed"]
                    .iter()
                    .any(|kind| condition(&job, kind))
                {
                    return job;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let ended = waited.await.ok().filter(|job| condition(job, "Complete"));
        match ended {
            Some(ended) => ended,
            None => panic!(
                "{job}: {}\n{}",
                self.api.get(job).await["status"],
                self.logs().await
            ),
        }
    }

    /// With its pods, which are in the webhook's namespace.
    async fn remove_job(&self, job: &str) {
        if self.api.get(job).await["code"] != 404 {
            let path = format!("{job}?propagationPolicy=Background");
            self.api.delete(&path).await;
        }
        until("the Job's pods are gone", PATIENCE, async || {
            self.pods_of_jobs().await.is_empty()
        })
        .await;
    }

    async fn pods_of_jobs(&self) -> Vec<Value> {
        let selector = "labelSelector=app.kubernetes.io%2Fname%3Didentity-injector-setup";
        let pods = self
            .api
            .get(&format!("/api/v1/namespaces/{SYSTEM}/pods?{selector}"))
            .await;
        pods["items"].as_array().unwrap().clone()
    }

    async fn running_pod(&self) -> Value {
        let pods = self.pods_of_jobs().await;
        let running = |pod: &&Value| pod["status"]["phase"] == "Running";
        pods.iter()
            .find(running)
            .unwrap_or_else(|| panic!("{pods:?}"))
            .clone()
    }

    async fn logs(&self) -> String {
        let mut logs = String::new();
        for pod in self.pods_of_jobs().await {
            let name = pod["metadata"]["name"].as_str().unwrap();
            logs += &format!("{name}: {}\n", pod["status"]);
            logs += &self
                .api
                .text(&format!("/api/v1/namespaces/{SYSTEM}/pods/{name}/log"))
                .await;
        }
        logs
    }

    fn report_path(&self) -> String {
        format!("/api/v1/namespaces/{SYSTEM}/configmaps/identity-injector-setup-report")
    }

    async fn report(&self) -> Value {
        let map = self.api.get(&self.report_path()).await;
        let text = map["data"]["report.json"].as_str().unwrap_or("null");
        serde_json::from_str(text).unwrap()
    }

    async fn assert_event(&self, about: &Value, kind: &str, reason: &str) {
        let namespace = about["metadata"]["namespace"].as_str().unwrap();
        let events = self
            .api
            .get(&format!(
                "/apis/events.k8s.io/v1/namespaces/{namespace}/events"
            ))
            .await;
        let events = events["items"].as_array().unwrap();
        let found = events.iter().any(|event| {
            event["regarding"]["uid"] == about["metadata"]["uid"]
                && event["type"] == kind
                && event["reason"] == reason
        });
        assert!(found, "{reason}: {events:?}");
    }

    /// What was written to a resource group of the simulated Azure.
    fn writes(&self, group: &str) -> Vec<String> {
        let within = format!("/resourcegroups/{group}");
        let journal = self.azure.journal().into_iter();
        let writes = journal
            .filter(|entry| entry.method != "GET" && entry.path.to_lowercase().contains(&within));
        writes
            .map(|entry| format!("{} {}", entry.method, entry.path))
            .collect()
    }

    async fn until_credentials(&self, group: &str, count: usize) {
        until("the credentials are made", PATIENCE, async || {
            let writes = self.writes(group).into_iter();
            writes
                .filter(|line| line.contains("federatedIdentityCredentials"))
                .count()
                >= count
        })
        .await;
    }
}

/// The variables that are comments in job.yaml.
fn commented_variables() -> Vec<Value> {
    let text = std::fs::read_to_string("manifests/setup/job.yaml").unwrap();
    let lines = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("# "));
    let lines: Vec<_> = lines
        .filter(|line| line.starts_with("- ") || line.starts_with("  "))
        .collect();
    serde_saphyr::from_str(&lines.join("\n")).unwrap()
}

fn condition(job: &Value, kind: &str) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}
