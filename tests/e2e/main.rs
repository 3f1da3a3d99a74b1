//! The walk on a real Kubernetes API server (tests/cluster), against a simulated Azure (tests/simazure).
//! Cases run in order, on one world. `make e2e` builds what it needs and runs it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod accepted;
mod admission;
#[path = "../support/api.rs"]
mod api;
mod certificate;
#[path = "../support/cluster.rs"]
mod cluster;
mod job;
#[path = "../support/kubelet.rs"]
mod kubelet;
#[path = "../support/manifests.rs"]
mod manifests;
mod neighbours;
mod reference;
#[path = "../support/render.rs"]
mod render;
mod rights;
mod setup;
#[path = "../support/suite.rs"]
mod suite;
#[path = "../support/mod.rs"]
mod support;
mod token;
#[path = "../support/webhook.rs"]
mod webhook;
mod workloads;
mod world;

use std::time::Instant;

use futures::FutureExt;
use suite::Case;
use world::World;

/// Each case may rely on the ones before it.
const CASES: [Case<World>; 29] = [
    (
        "setup makes identity, credential and annotations",
        |world| world.setup_applies().boxed_local(),
    ),
    ("setup on a finished state writes nothing", |world| {
        world.setup_is_idempotent().boxed_local()
    }),
    ("setup proves the ServiceAccount's identity", |world| {
        world.setup_verifies().boxed_local()
    }),
    ("what kustomize and Helm render is accepted", |world| {
        world.manifests_are_accepted().boxed_local()
    }),
    ("the walk's pod is created patched", |world| {
        world.walk_pod_is_patched().boxed_local()
    }),
    ("a pod of an unlabelled namespace is untouched", |world| {
        world.unlabelled_is_untouched().boxed_local()
    }),
    ("refused pods show our sentences", |world| {
        world.refusals_are_shown().boxed_local()
    }),
    ("skipped containers get nothing", |world| {
        world.skipped_containers_get_nothing().boxed_local()
    }),
    ("server dry-run is patched and stores nothing", |world| {
        world.dry_run().boxed_local()
    }),
    (
        "json-patch makes what is stored; a second pass makes nothing",
        |world| world.patch_equals_stored().boxed_local(),
    ),
    (
        "neighbours before and after us, each thing added once",
        |world| world.survives_neighbours().boxed_local(),
    ),
    (
        "beside the reference's webhook, each thing added once",
        |world| world.converges_beside_the_reference().boxed_local(),
    ),
    (
        "what docs/comparison.md claims, on the reference and on ours",
        |world| world.compares_with_the_reference().boxed_local(),
    ),
    (
        "the controllers of Deployment and Job make patched pods",
        |world| world.controllers_make_patched_pods().boxed_local(),
    ),
    ("a quota admits the sidecar", |world| {
        world.quota_admits_the_sidecar().boxed_local()
    }),
    (
        "warnings reach whoever applies a pod or a workload",
        |world| world.warnings_reach_the_client().boxed_local(),
    ),
    ("restricted admits identity and env capture", |world| {
        world
            .restricted_admits_what_needs_no_privilege()
            .boxed_local()
    }),
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
    ("setup removes what it made, and its ledger", |world| {
        world.setup_destroys().boxed_local()
    }),
    (
        "two replicas that started at once serve one authority's leaf",
        |world| world.replicas_share_an_authority().boxed_local(),
    ),
    (
        "new certificates, at 100 pods a second, fail no admission",
        |world| world.rotates_under_load().boxed_local(),
    ),
    (
        "an API server that restarts amid new certificates believes them",
        |world| world.rotates_across_a_restart().boxed_local(),
    ),
    (
        "each right of manifests/base is needed, and named where it is missing",
        |world| world.each_right_is_needed().boxed_local(),
    ),
    (
        "setup's Job has the rights it needs and no other",
        |world| world.jobs_rights_are_least().boxed_local(),
    ),
    (
        "setup's Job runs by rights in its namespaces alone",
        |world| world.rights_in_namespaces_do().boxed_local(),
    ),
    ("the Job that verifies has the rights it needs", |world| {
        world.verifying_rights_are_least().boxed_local()
    }),
    ("the Job that destroys has the rights it needs", |world| {
        world.destroying_rights_are_least().boxed_local()
    }),
];

fn main() {
    suite::main(async {
        let start = Instant::now();
        let world = World::start().await;
        let (took, version) = (start.elapsed(), world.version().await);
        println!("world ready in {took:.1?} (API server {version})");
        let failed = suite::run("e2e", &CASES, &world).await;
        if failed > 0 {
            println!("the webhook's log:\n{}", world.webhook.printed());
        }
        failed
    })
}
