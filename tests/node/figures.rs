//! What init and sidecar add to a pod's start, beside the same pod with two containers that do nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pods::{self, pod};
use crate::world::{APP, World};

const ROUNDS: usize = 7;
const ADDED_AT_MOST: Duration = Duration::from_millis(300);

impl World {
    pub async fn start_costs(&self) {
        let ours = pod("measured", &["nothing"]);
        let mut idle = ours.clone();
        idle["spec"]["serviceAccountName"] = json!("default");
        idle["spec"]["initContainers"] = json!([
            {"name": "first", "image": APP, "args": ["load", "0", "0"]},
            {"name": "second", "image": APP, "args": ["nothing"], "restartPolicy": "Always"},
        ]);
        let mut took: [Vec<Duration>; 2] = Default::default();
        for _ in 0..ROUNDS {
            for (index, (namespace, pod)) in
                [("walk", &ours), ("plain", &idle)].into_iter().enumerate()
            {
                took[index].push(self.start_of(namespace, pod).await);
            }
        }
        let [ours, idle] = took.map(|mut all| {
            all.sort();
            all[ROUNDS / 2]
        });
        println!(
            "       median of {ROUNDS} starts: {ours:.2?}, with containers that do nothing {idle:.2?}"
        );
        assert!(
            ours.saturating_sub(idle) < ADDED_AT_MOST,
            "{ours:?} and {idle:?}"
        );
    }

    /// From the pod's creation until its own container runs.
    async fn start_of(&self, namespace: &str, pod: &Value) -> Duration {
        let start = Instant::now();
        self.create_pod(namespace, pod).await;
        let path = pods::path(namespace, "measured");
        let runs = |pod: &Value| pods::status(pod, "app")["state"]["running"].is_object();
        self.pod_until(&path, "running", runs).await;
        let took = start.elapsed();
        self.api
            .delete(&format!("{path}?gracePeriodSeconds=0"))
            .await;
        self.pod_until(&path, "gone", |pod| pod["code"] == 404)
            .await;
        took
    }
}
