//! Real pods: the walk on a real kubelet and containerd (tests/cluster), the webhook as a Deployment on that node, its
//! image the one of `make image`, against a simulated Azure (tests/simazure). `make e2e-node` builds what it needs.
//! Arguments are parts of case names: only those cases are run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod admission;
#[path = "../support/api.rs"]
mod api;
mod certificate;
#[path = "../support/cluster.rs"]
mod cluster;
mod figures;
mod healing;
mod image;
mod install;
mod lifecycle;
#[path = "../support/manifests.rs"]
mod manifests;
mod pods;
mod security;
mod setup_job;
mod shell;
#[path = "../support/suite.rs"]
mod suite;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
mod workloads;
mod world;

use std::time::Instant;

use futures::FutureExt;
use suite::Case;
use world::World;

const CASES: [Case<World>; 22] = [
    ("the walk's pod gets the identity's tokens", |world| {
        world.walk_pod_gets_tokens().boxed_local()
    }),
    ("other paths of IMDS reach the node's", |world| {
        world.other_paths_reach_the_node().boxed_local()
    }),
    ("an init container gets a token", |world| {
        world.init_container_gets_a_token().boxed_local()
    }),
    ("pods of every shape get tokens", |world| {
        world.shapes_get_tokens().boxed_local()
    }),
    ("restricted: env capture runs and gets tokens", |world| {
        world.restricted_runs().boxed_local()
    }),
    (
        "baseline: the redirect is refused, and warned of",
        |world| world.baseline_refuses_the_redirect().boxed_local(),
    ),
    (
        "a quota and limits admit the sidecar, and it runs",
        |world| world.counted_runs().boxed_local(),
    ),
    ("a Job completes by itself", |world| {
        world.job_completes().boxed_local()
    }),
    ("setup runs as a Job, and again without a write", |world| {
        world.setup_runs_as_a_job().boxed_local()
    }),
    (
        "setup's Job goes on where a pod of it was killed",
        |world| world.setups_job_goes_on().boxed_local(),
    ),
    (
        "setup's Job with a wrong config is not tried again",
        |world| world.wrong_config_is_final().boxed_local(),
    ),
    ("a Deployment rolls with no failed request", |world| {
        world.deployment_rolls().boxed_local()
    }),
    ("a deleted pod finishes its request", |world| {
        world.deleted_pod_finishes().boxed_local()
    }),
    ("a killed proxy is healed", |world| {
        world.killed_proxy_is_healed().boxed_local()
    }),
    ("load does not meet the memory limit", |world| {
        world.load_fits_the_limit().boxed_local()
    }),
    (
        "a webhook replica goes under load, no admission fails",
        |world| world.replica_goes().boxed_local(),
    ),
    (
        "new certificates under load, their keepers going, fail no admission",
        |world| world.rotates_under_load().boxed_local(),
    ),
    ("what init and sidecar add to a pod's start", |world| {
        world.start_costs().boxed_local()
    }),
    // From here on the webhook is not installed.
    (
        "an upgrade by kustomize fails no admission; nothing is left",
        |world| world.kustomize_upgrades().boxed_local(),
    ),
    (
        "Helm installs, upgrades under load, leaves nothing",
        |world| world.helm_installs_upgrades_and_removes().boxed_local(),
    ),
    (
        "by Helm, with a given certificate and no right to write",
        |world| world.helm_takes_a_certificate().boxed_local(),
    ),
    ("Helm runs setup's Job, once for the same values", |world| {
        world.helm_runs_setups_job().boxed_local()
    }),
];

fn main() {
    suite::main(async {
        let start = Instant::now();
        let world = World::start().await;
        println!("world ready in {:.1?}", start.elapsed());
        let failed = suite::run("node", &CASES, &world).await;
        if failed > 0 {
            println!("{}", world.webhook_logs().await);
        }
        failed
    })
}
