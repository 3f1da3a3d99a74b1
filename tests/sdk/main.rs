//! The real Azure SDKs against the proxy, in the environment that an injected pod gets, on a network of their own.
//! `make sdk` installs them and runs this. Arguments are parts of package names: only those clients are run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cases;
mod client;
mod late;
#[path = "../support/network.rs"]
mod network;
mod question;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod world;

use std::os::unix::process::CommandExt;

use cases::Run;
use world::World;

const TOOLS: [&str; 9] = [
    "curl", "ip", "java", "keytool", "node", "nsenter", "setpriv", "timeout", "unshare",
];

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .first()
        .is_none_or(|first| first != network::INSIDE)
    {
        let missing = network::missing(&TOOLS);
        if !missing.is_empty() {
            eprintln!("missing: {}; .ci/run installs them", missing.join(", "));
            std::process::exit(2);
        }
        eprintln!("unshare: {}", network::inside(&arguments).exec());
        std::process::exit(2);
    }
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let failed = runtime.block_on(async {
        let mut run = Run::new(World::start().await, arguments.split_off(1));
        run.all().await;
        run.report()
    });
    std::process::exit(i32::from(failed));
}
