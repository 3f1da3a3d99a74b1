//! Installed, upgraded, removed: by kustomize and by Helm, with the README's commands. Each case leaves nothing installed.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::base64_of;
use crate::setup_job::APPS;
use crate::shell::readme;
use crate::support::Certificates;
use crate::world::{SYSTEM, World};

/// A replica leaves after its drain delay.
const LEAVES: Duration = Duration::from_secs(7);
const ROLLED: &str =
    "kubectl --namespace identity-injector-system rollout status deployment/identity-injector";
/// What a pod that asked for the proxy begins with.
pub const INJECTED: &str = "azwi-proxy-init azwi-proxy";

impl World {
    /// From the manifests before these to these, under load.
    pub async fn kustomize_upgrades(&self) {
        self.remove();
        let [by_kustomize, _] = readme();
        let (remove, install) = by_kustomize.split_last().unwrap();
        let before = self.objects();
        self.shell.give_previous();
        self.shell
            .run(&install[0].replace("manifests/", "previous/"));
        self.shell.run(ROLLED);
        let certificates = self.certificates().await;
        assert!(!certificates.contains(&Value::Null), "{certificates:?}");
        self.none_fails_while(async {
            self.shell.run_beside(&install[0]).await;
            self.shell.run_beside(ROLLED).await;
            tokio::time::sleep(LEAVES).await;
        })
        .await;
        assert_eq!(self.certificates().await, certificates);
        // Applied again it would change nothing, whatever kubectl apply says.
        self.shell.run(&install[0].replace("apply", "diff"));
        self.shell.run(remove);
        self.assert_nothing_since(&before);
    }

    pub async fn helm_installs_upgrades_and_removes(&self) {
        self.remove();
        let [_, by_helm] = readme();
        let [install, upgrade, removal @ ..] = by_helm.as_slice() else {
            panic!("{by_helm:?}");
        };
        let before = self.objects();
        self.shell.give_values(&json!({}));
        let notes = self.shell.run(install);
        self.follow(&notes);
        let certificates = self.certificates().await;
        assert!(!certificates.contains(&Value::Null), "{certificates:?}");
        let change = json!({"podAnnotations": {"version": "next"}});
        self.shell.give_values(&change);
        self.none_fails_while(async {
            self.shell.run_beside(upgrade).await;
            self.shell.run_beside(ROLLED).await;
            tokio::time::sleep(LEAVES).await;
        })
        .await;
        assert_eq!(self.certificates().await, certificates);
        removal.iter().for_each(|it| drop(self.shell.run(it)));
        self.assert_nothing_since(&before);
    }

    /// A certificate that somebody else makes: the webhook has no right to write anything then.
    pub async fn helm_takes_a_certificate(&self) {
        self.remove();
        let [_, by_helm] = readme();
        let before = self.objects();
        let folder = tempfile::tempdir().unwrap();
        let made = Certificates::make(folder.path());
        let folder = folder.path().display();
        self.shell.run(&format!(
            "kubectl create namespace {SYSTEM}; kubectl --namespace {SYSTEM} create secret tls given \
             --cert={folder}/tls.crt --key={folder}/tls.key"
        ));
        let certs = json!({"mode": "files", "existingSecret": "given", "caBundle": made.ca_pem});
        self.shell
            .give_values(&json!({"certs": certs, "networkPolicy": {"enabled": true}}));
        let notes = self.shell.run(&by_helm[0]);
        self.follow(&notes);
        let [bundle, _] = self.certificates().await;
        assert_eq!(bundle, base64_of(&made.ca_pem));
        let log = self.webhook_logs().await;
        assert!(!log.contains("forbidden"), "{log}");
        by_helm[2..].iter().for_each(|it| drop(self.shell.run(it)));
        self.assert_nothing_since(&before);
    }

    /// Setup's Job by the chart: once for the same values, anew for others, and at last taking back what it made.
    pub async fn helm_runs_setups_job(&self) {
        self.remove();
        let [_, by_helm] = readme();
        let [install, upgrade, removal @ ..] = by_helm.as_slice() else {
            panic!("{by_helm:?}");
        };
        let make = format!("kubectl create namespace {APPS} --dry-run=client --output=yaml");
        self.shell
            .run(&format!("{make} | kubectl apply --filename -"));
        let before = self.objects();
        let client_id = self.identity_of_the_job().await;
        let config: Value = serde_json::from_str(&self.config("by-helm", &["charted"])).unwrap();
        let variables = json!([{"name": "AZURE_RESOURCE_MANAGER_URL", "value": self.azure.arm}]);
        let mut setup = json!({
            "enabled": true, "config": config, "clientId": client_id, "extraEnv": variables,
        });
        self.shell.give_values(&json!({"setup": setup}));
        self.shell.run(install);
        let made = self.only_job().await;
        self.completed(&made).await;
        let account = format!("/api/v1/namespaces/{APPS}/serviceaccounts/charted");
        let annotations = self.api.get(&account).await["metadata"]["annotations"].clone();
        assert!(annotations["azure.workload.identity/client-id"].is_string());
        self.shell.run(upgrade);
        assert_eq!(self.only_job().await, made);
        setup["command"] = json!("destroy");
        self.shell.give_values(&json!({"setup": setup}));
        self.shell.run(upgrade);
        let removes = self.only_job().await;
        assert_ne!(removes, made);
        self.completed(&removes).await;
        assert_eq!(self.api.get(&account).await["code"], 404);
        removal.iter().for_each(|it| drop(self.shell.run(it)));
        self.assert_nothing_since(&before);
    }

    async fn only_job(&self) -> String {
        let path = format!("/apis/batch/v1/namespaces/{SYSTEM}/jobs");
        let jobs = self.api.get(&path).await;
        let [job] = jobs["items"].as_array().unwrap().as_slice() else {
            panic!("{jobs:#}");
        };
        format!("{path}/{}", job["metadata"]["name"].as_str().unwrap())
    }

    /// Runs the commands of the chart's notes, which end with a pod that is injected.
    fn follow(&self, notes: &str) {
        let commands = notes.lines().filter_map(|line| line.strip_prefix("     "));
        let commands = commands
            .collect::<Vec<_>>()
            .join("\n")
            .replace("NAME", "walk");
        let printed = self.shell.run(&commands);
        assert!(printed.ends_with(INJECTED), "{commands}\n{printed}");
    }

    /// Whatever is installed, and what the cases of setup's Job left.
    fn remove(&self) {
        for folder in ["setup-verify", "setup-destroy", "base"] {
            let remove = "kubectl delete --ignore-not-found --kustomize sources";
            self.shell.run(&format!("{remove}/{folder}"));
        }
    }

    /// The webhook's caBundle, and its Secret.
    async fn certificates(&self) -> [Value; 2] {
        let group = "/apis/admissionregistration.k8s.io/v1";
        let path = format!("{group}/mutatingwebhookconfigurations/identity-injector");
        let configuration = self.api.get(&path).await;
        let path = format!("/api/v1/namespaces/{SYSTEM}/secrets/identity-injector-certs");
        [
            configuration["webhooks"][0]["clientConfig"]["caBundle"].clone(),
            self.api.get(&path).await["data"].clone(),
        ]
    }

    /// All objects there are, but Events; none of ours.
    fn objects(&self) -> BTreeSet<String> {
        let printed = self.shell.run(
            r#"kinds=$(kubectl api-resources --verbs=list,delete --output=name | grep -v '^events' | paste -sd, -)
            kubectl get "$kinds" --all-namespaces --output=jsonpath='{range .items[*]}
            {.apiVersion} {.kind} {.metadata.namespace}/{.metadata.name}{"\n"}{end}'"#,
        );
        let objects = printed.lines().map(str::trim).filter(|it| !it.is_empty());
        let objects: BTreeSet<String> = objects.map(str::to_owned).collect();
        let ours: Vec<_> = objects
            .iter()
            .filter(|it| it.contains("identity-injector"))
            .collect();
        assert!(ours.is_empty() && !objects.is_empty(), "{ours:#?}");
        objects
    }

    /// Others' objects may go meanwhile.
    fn assert_nothing_since(&self, before: &BTreeSet<String>) {
        let left: Vec<String> = self.objects().difference(before).cloned().collect();
        assert!(left.is_empty(), "{left:#?}");
        println!("       {} objects before, none more after", before.len());
    }
}
