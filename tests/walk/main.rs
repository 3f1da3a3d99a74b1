//! The AKS article's walk by the real az CLI and the real kubectl, then the same by setup: both end alike.
//! A real API server (tests/cluster), a simulated Azure (tests/simazure), and no network but this process's own
//! loopback, so that nothing a tool looks up elsewhere can matter. `make walk` builds what it needs and runs it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../support/api.rs"]
mod api;
mod by_hand;
mod by_setup;
#[path = "../support/cluster.rs"]
mod cluster;
mod end;
#[path = "../support/kubelet.rs"]
mod kubelet;
#[path = "../support/manifests.rs"]
mod manifests;
#[path = "../support/network.rs"]
mod network;
mod shell;
#[path = "../support/suite.rs"]
mod suite;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/webhook.rs"]
mod webhook;
mod world;

use std::os::unix::process::CommandExt;
use std::time::Instant;

use futures::FutureExt;
use suite::Case;
use world::World;

/// One world, three ways through it, each from nothing to nothing.
const CASES: [Case<World>; 11] = [
    ("az knows the cloud and signs in", |world| {
        world.az_signs_in().boxed_local()
    }),
    ("by hand: the article's commands make the pod", |world| {
        world.commands_make_the_pod().boxed_local()
    }),
    ("by hand: its own token becomes the identity's", |world| {
        world.hand_made_token().boxed_local()
    }),
    (
        "by hand: the pod-managed identity goes, the token stays",
        |world| world.pod_identity_goes().boxed_local(),
    ),
    (
        "setup, signed in by az, would add the tenant id alone",
        |world| world.setup_finds_it_done().boxed_local(),
    ),
    ("by hand: az and kubectl take it all back", |world| {
        world.commands_remove_all().boxed_local()
    }),
    ("by setup: the README's commands, to a token", |world| {
        world.readme_leads_to_a_token().boxed_local()
    }),
    ("by hand and by setup end alike", |world| {
        world.ends_are_alike().boxed_local()
    }),
    ("a letter that differs is shown", |world| {
        async { world.difference_is_shown() }.boxed_local()
    }),
    ("by setup: destroy takes it all back", |world| {
        world.readme_destroys().boxed_local()
    }),
    (
        "by the script that setup emits, run by az: alike",
        |world| world.emitted_script_ends_alike().boxed_local(),
    ),
];

fn main() {
    if std::env::args()
        .nth(1)
        .is_none_or(|first| first != network::INSIDE)
    {
        let missing = network::missing(&["ip", "unshare"]);
        if !missing.is_empty() {
            eprintln!("missing: {}; .ci/run installs them", missing.join(", "));
            std::process::exit(2);
        }
        eprintln!("unshare: {}", network::inside(&[""; 0]).exec());
        std::process::exit(2);
    }
    network::run("ip", "link set lo up");
    suite::main(async {
        let start = Instant::now();
        let world = World::start().await;
        println!("world ready in {:.1?} ({})", start.elapsed(), world.tools());
        let failed = suite::run_through("walk", &CASES, &world).await;
        if failed > 0 {
            println!("the webhook's log:\n{}", world.webhook.printed());
        }
        failed
    })
}
