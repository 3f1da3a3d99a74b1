//! A suite: cases that run in order on one world. Arguments of the program are parts of case names: only those are run,
//! where a case can do without others.

#![allow(clippy::unwrap_used, dead_code, reason = "a test fails by panicking")]

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt;
use futures::future::LocalBoxFuture;

pub type Case<World> = (
    &'static str,
    for<'a> fn(&'a World) -> LocalBoxFuture<'a, ()>,
);

/// Runs what gives the number of failed cases, and ends the program with the exit code for it.
pub fn main(failed: impl Future<Output = usize>) -> ! {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let failed = runtime.block_on(failed);
    std::process::exit(i32::from(failed > 0));
}

/// Runs the cases, a line each, and gives the number of those that failed.
pub async fn run<World>(suite: &str, cases: &[Case<World>], world: &World) -> usize {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let (mut passed, mut failed) = (0, 0);
    for case in cases.iter().filter(|(name, _)| is_wanted(name)) {
        *(if passes(case, world).await {
            &mut passed
        } else {
            &mut failed
        }) += 1;
    }
    println!("{suite}: {passed} passed, {failed} failed");
    // A suite of which nothing ran proved nothing.
    failed + usize::from(passed + failed == 0)
}

/// The same, of cases that are nothing without the ones before them: the first that fails ends it.
pub async fn run_through<World>(suite: &str, cases: &[Case<World>], world: &World) -> usize {
    let mut passed = 0;
    for case in cases {
        if !passes(case, world).await {
            break;
        }
        passed += 1;
    }
    println!("{suite}: {passed} of {} passed", cases.len());
    cases.len() - passed
}

async fn passes<World>((name, case): &Case<World>, world: &World) -> bool {
    let start = Instant::now();
    let ok = AssertUnwindSafe(case(world)).catch_unwind().await.is_ok();
    let outcome = if ok { "ok    " } else { "FAILED" };
    println!("{outcome} {name} ({:.2?})", start.elapsed());
    ok
}
