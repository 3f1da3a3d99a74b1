//! What a run needs does not grow with what it does: the real binary's memory at 10 identities and at 200.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use identity_injector::setup::config;

use super::scene::{Case, Death, Scene};
use crate::many::{self, ACCOUNTS};

/// How much more a run may need for each identity beyond the tenth, in KiB.
const EACH: u64 = 64;

/// A case of so many identities, each for 5 ServiceAccounts.
fn case<'a>(scene: &'a Scene, identities: usize) -> Case<'a> {
    let mut case = scene.case(&format!("of-{identities}"));
    let text = many::identities(&case.text, &case.name, identities);
    case.desired = config::parse(&text).unwrap();
    case.text = text;
    case
}

/// The most that `setup COMMAND` had of memory at once, in KiB, and what it printed.
async fn peak(case: &Case<'_>, command: &str, code: i32) -> (u64, String) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("setup.yaml");
    std::fs::write(&config, &case.text).unwrap();
    let ledger = format!("{}-ledger", case.name);
    let mut child = case.scene.setup(command, &config, &ledger);
    let child = child.stdout(Stdio::piped()).stderr(Stdio::null());
    let child = child.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id().unwrap());
    let watched = async {
        let mut peak = 0;
        while let Some(now) = high_water(Path::new(&status)) {
            peak = now;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        peak
    };
    let (peak, output) = tokio::join!(watched, child.wait_with_output());
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(code), "{command}");
    (peak, String::from_utf8(output.stdout).unwrap())
}

/// The most that a process had so far, in KiB; `None` once it is gone.
fn high_water(status: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_grow_with_the_number_of_identities() {
    let scene = Scene::start().await;
    let mut needed = Vec::new();
    for identities in [10, 200] {
        let case = case(&scene, identities);
        let accounts = identities * ACCOUNTS;
        let (all, printed) = peak(&case, "plan", 1).await;
        // The head, the group, and what each identity takes.
        let steps = 1 + identities + 2 * accounts;
        assert_eq!(printed.lines().count(), 1 + steps);
        // What is paced is made at once here; the binary makes the ServiceAccounts, and then nothing.
        assert_eq!(case.apply(Death::Never).await.1, None);
        for identity in 0..identities {
            for account in 0..ACCOUNTS {
                scene.kube.delete(
                    "ServiceAccount",
                    &case.name,
                    &format!("sa-{identity}-{account}"),
                );
            }
        }
        let (annotating, printed) = peak(&case, "apply", 0).await;
        assert_eq!(printed.lines().count(), 1 + accounts);
        needed.push([all, annotating]);
    }
    println!("KiB for plan and apply, of 10 identities and of 200: {needed:?}");
    for (few, many) in needed[0].iter().zip(needed[1]) {
        let more = many.saturating_sub(*few);
        assert!(more <= 190 * EACH, "{more} KiB more: {needed:?}");
    }
}
