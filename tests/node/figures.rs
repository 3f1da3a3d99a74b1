//! What init and sidecar add to a pod's start, beside the same pod with two containers that do nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pods::{self, pod};
use crate::world::{APP, World};

const ROUNDS: u32 = 10;
/// What they should add at most. A busy machine may miss it, and then it is only said.
const TARGET: Duration = Duration::from_millis(300);
/// The kubelet looks at its containers once a second: whoever misses a look by little pays for a whole one.
const LIMIT: Duration = Duration::from_secs(1);

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
        let [mean, least] = [mean, least].map(|of| took.each_ref().map(|all| of(all)));
        let added = mean[0].saturating_sub(mean[1]);
        let met = if added <= TARGET { "met" } else { "MISSED" };
        println!(
            "       mean of {ROUNDS} starts: {:.2?}, with containers that do nothing {:.2?}",
            mean[0], mean[1]
        );
        println!(
            "       the shortest: {:.2?} and {:.2?}; added {added:.2?}, target {TARGET:?}, {met}",
            least[0], least[1]
        );
        assert!(added < LIMIT, "{took:?}");
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

fn mean(all: &[Duration]) -> Duration {
    all.iter().sum::<Duration>() / ROUNDS
}

fn least(all: &[Duration]) -> Duration {
    all.iter().min().copied().unwrap_or_default()
}
