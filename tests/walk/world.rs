//! The world of the cases: a real API server with our webhook, and a simulated Azure that has it as an AKS cluster.

use std::cell::OnceCell;

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Api;
use crate::cluster::Cluster;
use crate::shell::Shell;
use crate::support::arm;
use crate::webhook::Webhook;

pub const NAMESPACE: &str = "walk";
pub const SERVICE_ACCOUNT: &str = "workload-identity-sa";
pub const POD: &str = "httpbin-pod";
pub const GROUP: &str = "myResourceGroup";
const CLUSTER_GROUP: &str = "myAKSResourceGroup";
const CLUSTER: &str = "myAKSCluster";
/// Of the webhook; not that of setup's ledger, which the README makes.
const SYSTEM: &str = "webhook-system";

pub struct World {
    pub api: Api,
    pub azure: simazure::Simulation,
    pub webhook: Webhook,
    /// Of the API server's tokens.
    pub issuer: String,
    /// Of who walks by hand: az writes the kubeconfig there.
    pub hand: Shell,
    /// Of who follows the README.
    pub reader: Shell,
    /// How each way ended.
    pub by_hand: OnceCell<Value>,
    pub by_setup: OnceCell<Value>,
    pub folder: tempfile::TempDir,
    /// Ends last.
    _cluster: Cluster,
}

impl World {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::start("up", "make walk");
        let kubeconfig = std::fs::read_to_string(&cluster.kubeconfig).unwrap();
        let issuer = cluster.said["issuer"].as_str().unwrap().to_owned();
        let azure = simazure::start(simazure::Options {
            issuer_cas: vec![cluster.ca_pem.clone()],
            clusters: vec![simazure::Cluster {
                resource_group: CLUSTER_GROUP.to_owned(),
                name: CLUSTER.to_owned(),
                issuer: issuer.clone(),
                kubeconfig: kubeconfig.clone(),
            }],
            ..Default::default()
        })
        .unwrap();
        let kube = identity_injector::kubernetes::connect(Some(&cluster.kubeconfig))
            .await
            .unwrap();
        let webhook = Webhook::start(&cluster.kubeconfig, &azure, folder.path(), SYSTEM).await;
        let api = Api(kube);
        let opted_in = json!({"azure.workload.identity/use": "true"});
        api.namespace("probe", opted_in).await;
        webhook.until_called("probe").await;
        let reader = Shell::new(&folder.path().join("reader"), &azure);
        reader.give(".kube/config", &kubeconfig);
        World {
            api,
            webhook,
            issuer,
            hand: Shell::new(&folder.path().join("hand"), &azure),
            reader,
            azure,
            by_hand: OnceCell::new(),
            by_setup: OnceCell::new(),
            folder,
            _cluster: cluster,
        }
    }

    /// What the commands are run by.
    pub fn tools(&self) -> String {
        let az = self
            .hand
            .run("az version --query '\"azure-cli\"' --output tsv");
        let kubectl = self.reader.run("kubectl version");
        let kubectl: Vec<&str> = kubectl
            .lines()
            .filter(|line| !line.contains("Kustomize"))
            .collect();
        format!("azure-cli {}, {}", az.trim(), kubectl.join(", "))
    }

    /// Azure has the AKS cluster and nothing else, the API server nothing of the walk.
    pub async fn nothing_is_there(&self) {
        let subscription = format!("/subscriptions/{}", self.azure.subscription);
        let lists = [
            ("resourcegroups", vec![CLUSTER_GROUP]),
            ("resources", vec![CLUSTER]),
            ("providers/Microsoft.Authorization/roleAssignments", vec![]),
        ];
        for (list, expected) in lists {
            let listed = self.arm(&format!("{subscription}/{list}")).await;
            let names: Vec<_> = listed["value"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["name"].clone())
                .collect();
            assert_eq!(names, expected, "{list}");
        }
        for namespace in [NAMESPACE, "identity-injector-system"] {
            let found = self
                .api
                .get(&format!("/api/v1/namespaces/{namespace}"))
                .await;
            assert_eq!(found["code"], 404, "{namespace}: {found}");
        }
    }

    /// What Resource Manager answers to a GET.
    pub async fn arm(&self, path: &str) -> Value {
        arm(&self.azure, Method::GET, path, None).await
    }

    pub async fn aks(&self) -> Value {
        self.arm(&format!(
            "/subscriptions/{}/resourceGroups/{CLUSTER_GROUP}/providers/Microsoft.ContainerService/managedClusters/{CLUSTER}",
            self.azure.subscription
        ))
        .await
    }
}
