//! The README's commands for manifests work as they stand there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

#[test]
fn commands_for_manifests() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let section = readme
        .split("\n## ")
        .find(|it| it.starts_with("Try it on your own manifests"));
    let commands = section
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("    target/debug/"));
    let mut ran = String::new();
    for command in commands {
        ran += command;
        let command = format!("target/debug/{command}").replace(
            "target/debug/identity-injector",
            env!("CARGO_BIN_EXE_identity-injector"),
        );
        let printed = Command::new("sh").args(["-ec", &command]).output().unwrap();
        assert!(printed.status.success(), "{command}: {printed:?}");
        assert!(!printed.stdout.is_empty(), "{command}");
    }
    for name in ["inject", "uninject", "explain"] {
        assert!(
            ran.contains(&format!("identity-injector {name} ")),
            "{name}"
        );
    }
}
