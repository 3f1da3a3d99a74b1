//! The engine alone, by criterion: what one admission costs without a network.

use std::hint::black_box;

use bench::review;
use clap::Parser;
use criterion::{Criterion, criterion_group, criterion_main};
use identity_injector::inject::{
    Annotations, Decision, Defaults, Flags, Input, Plan, additions, decide, patch,
};
use identity_injector::names;
use serde_json::Value;

criterion_group!(benches, engine);
criterion_main!(benches);

#[derive(Parser)]
struct Webhook {
    #[command(flatten)]
    flags: Flags,
}

/// What the webhook knows beside the pod.
struct Known {
    service_account: Annotations,
    namespace: Annotations,
    defaults: Defaults,
}

impl Known {
    fn plan(&self, pod: &Value) -> Option<Plan> {
        let verdict = decide(&Input {
            pod,
            service_account: Some(&self.service_account),
            namespace: &self.namespace,
            defaults: &self.defaults,
        });
        match verdict.decision {
            Decision::Inject(plan) => Some(*plan),
            Decision::Skip(_) | Decision::Refuse(_) => None,
        }
    }

    /// The patch as it is answered.
    #[allow(clippy::unwrap_used, reason = "a measurement that can't be made fails")]
    fn inject(&self, pod: &Value) -> Vec<u8> {
        let plan = self.plan(pod);
        let additions = plan.as_ref().map(|plan| additions(pod, plan));
        serde_json::to_vec(&additions).unwrap()
    }
}

#[allow(clippy::unwrap_used, reason = "a measurement that can't be made fails")]
fn engine(criterion: &mut Criterion) {
    let known = Known {
        service_account: [(names::CLIENT_ID, "c0ffee00-7101-4000-8000-000000000009")]
            .into_iter()
            .collect(),
        namespace: Annotations::default(),
        defaults: Webhook::parse_from(["webhook", "--tenant-id=t"])
            .flags
            .defaults(true),
    };
    let body = review::review().unwrap().to_string();
    let pod = review::pod().unwrap();
    let plan = known.plan(&pod).unwrap();
    let operations = patch(&pod, &plan);
    let mut injected = pod.clone();
    json_patch::patch(&mut injected, &operations).unwrap();
    assert!(known.inject(&pod).len() > 1000 && known.inject(&injected) == b"[]");

    let mut group = criterion.benchmark_group("engine");
    group.bench_function("parse review", |b| {
        b.iter(|| serde_json::from_slice::<Value>(black_box(body.as_bytes())).unwrap());
    });
    group.bench_function("decide", |b| b.iter(|| known.plan(black_box(&pod))));
    group.bench_function("patch, as JSON", |b| {
        b.iter(|| serde_json::to_vec(&additions(black_box(&pod), &plan)).unwrap());
    });
    group.bench_function("patch, to be applied here", |b| {
        b.iter(|| patch(black_box(&pod), &plan));
    });
    group.bench_function("decide and patch", |b| {
        b.iter(|| known.inject(black_box(&pod)));
    });
    group.bench_function("second pass, nothing to add", |b| {
        b.iter(|| known.inject(black_box(&injected)));
    });
    group.finish();
}
