//! Jobs end, Deployments roll, deleted pods finish.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::until;
use crate::pods::{self, PATIENCE, answers, pod};
use crate::support::arm;
use crate::world::{SERVICE_ACCOUNT, World};

impl World {
    /// A Job, and one that a CronJob makes: at the next full minute.
    pub async fn job_completes(&self) {
        let mut template = template("once", &["once"]);
        template["spec"]["restartPolicy"] = json!("Never");
        let job = json!({"template": template});
        let jobs = "/apis/batch/v1/namespaces/walk/jobs";
        let once = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": job});
        let cron = json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "minutely"},
            "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job}},
        });
        let cron_jobs = "/apis/batch/v1/namespaces/walk/cronjobs";
        self.api.post(cron_jobs, &cron.to_string()).await.unwrap();
        self.api.post(jobs, &once.to_string()).await.unwrap();
        until("the Job completes", PATIENCE, async || {
            self.api.get(&format!("{jobs}/once")).await["status"]["succeeded"] == 1
        })
        .await;
        let cron_job = format!("{cron_jobs}/minutely");
        until("the CronJob's Job completes", PATIENCE * 2, async || {
            !self.api.get(&cron_job).await["status"]["lastSuccessfulTime"].is_null()
        })
        .await;
        self.api.delete(&cron_job).await;
    }

    /// Every answer that any pod of the Deployment got, from its first to its last, is a token.
    pub async fn deployment_rolls(&self) {
        let deployments = "/apis/apps/v1/namespaces/walk/deployments";
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "rolled"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"of": "rolled"}}, "template": template("rolled", &[])},
        });
        self.api
            .post(deployments, &deployment.to_string())
            .await
            .unwrap();
        let path = format!("{deployments}/rolled");
        self.rolled_out(&path).await;
        let old = self.logs_of("rolled").await;
        let again = json!({"spec": {"template": {"metadata": {"annotations": {"again": "true"}}}}});
        self.api.patch(&path, &again).await;
        self.rolled_out(&path).await;
        let new = self.logs_of("rolled").await;
        until("the old pods are gone", PATIENCE, async || {
            self.names_of("rolled").await.len() == 2
        })
        .await;
        self.api.delete(&path).await;
        for log in old.into_iter().chain(new) {
            let answers = answers(&log.await.unwrap());
            assert_eq!(answers.len(), 2, "{answers:?}");
            self.assert_only_tokens("rolled", &answers);
        }
    }

    async fn rolled_out(&self, path: &str) {
        until("the Deployment has rolled out", PATIENCE, async || {
            let deployment = self.api.get(path).await;
            let (status, seen) = (
                &deployment["status"],
                &deployment["status"]["observedGeneration"],
            );
            let counts =
                ["replicas", "updatedReplicas", "availableReplicas"].map(|count| &status[count]);
            *seen == deployment["metadata"]["generation"] && counts.iter().all(|count| **count == 2)
        })
        .await;
    }

    async fn names_of(&self, workload: &str) -> Vec<String> {
        let path = format!("/api/v1/namespaces/walk/pods?labelSelector=of%3D{workload}");
        let pods = self.api.get(&path).await;
        let pods = pods["items"].as_array().unwrap().iter();
        pods.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The whole log of each pod there is now, to be had at its end.
    async fn logs_of(&self, workload: &str) -> Vec<tokio::task::JoinHandle<String>> {
        let names = self.names_of(workload).await.into_iter();
        names.map(|name| self.log_to_the_end(&name)).collect()
    }

    fn log_to_the_end(&self, pod: &str) -> tokio::task::JoinHandle<String> {
        let api = crate::api::Api(self.api.0.clone());
        let path = format!("{}/log?container=app&follow=true", pods::path("walk", pod));
        tokio::spawn(async move { api.text(&path).await })
    }

    /// The pod is deleted while its first request waits for a credential that comes later.
    pub async fn deleted_pod_finishes(&self) {
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "late", "annotations": {"azure.workload.identity/client-id": self.client_id}},
        });
        let accounts = "/api/v1/namespaces/walk/serviceaccounts";
        self.api.post(accounts, &account.to_string()).await.unwrap();
        let mut pod = pod("late", &["once"]);
        pod["spec"]["serviceAccountName"] = json!("late");
        pod["spec"]["terminationGracePeriodSeconds"] = json!(30);
        self.create_pod("walk", &pod).await;
        let path = pods::path("walk", "late");
        let running = |pod: &Value| !pods::status(pod, "app")["state"]["running"].is_null();
        self.pod_until(&path, "running", running).await;
        let log = self.log_to_the_end("late");
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.api.delete(&path).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let credential = json!({"properties": {
            "issuer": self.said("issuer"), "subject": "system:serviceaccount:walk:late",
            "audiences": ["api://AzureADTokenExchange"],
        }});
        let credentials = format!("{}/federatedIdentityCredentials/late", self.identity_path());
        arm(&self.azure, Method::PUT, &credentials, Some(credential)).await;
        let answers = answers(&log.await.unwrap());
        assert_eq!(answers.len(), 2, "{answers:?}");
        self.assert_only_tokens("late", &answers);
    }
}

fn template(workload: &str, arguments: &[&str]) -> Value {
    let mut template = pod(workload, arguments);
    template["metadata"]["labels"] = json!({"of": workload});
    template["metadata"].as_object_mut().unwrap().remove("name");
    template["spec"]
        .as_object_mut()
        .unwrap()
        .remove("restartPolicy");
    template["spec"]["serviceAccountName"] = json!(SERVICE_ACCOUNT);
    json!({"metadata": template["metadata"], "spec": template["spec"]})
}
