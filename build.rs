//! Hands the commit to `--version`: from GIT_COMMIT, else from git, else "unknown".

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=GIT_COMMIT");
    println!("cargo::rerun-if-changed=.git/HEAD");
    let commit = std::env::var("GIT_COMMIT")
        .ok()
        .or_else(commit_of_checkout)
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=GIT_COMMIT={commit}");
}

fn commit_of_checkout() -> Option<String> {
    let out = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()?;
    out.status
        .success()
        .then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
