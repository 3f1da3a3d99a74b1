//! The images: ours as `make image` makes it, trusting the simulated Azure too, and the application's.

use std::path::Path;
use std::process::Command;

use crate::world::{APP, World, run};

const OURS: &str = "ghcr.io/identity-injector/identity-injector:0.1.0";
const RELEASE: &str = "target/x86_64-unknown-linux-musl/release";

pub fn import(world: &World) {
    let roots = world.azure.ca_file.to_str().unwrap();
    let folder = world.azure.ca_file.parent().unwrap();
    let mut archives = Vec::new();
    for (binary, name, more) in [
        ("identity-injector", OURS, vec!["--extra-roots", roots]),
        ("app", APP, vec![]),
    ] {
        let file = format!("{RELEASE}/{binary}");
        assert!(
            Path::new(&file).exists(),
            "{file} is not built: run `make e2e-node`"
        );
        let archive = folder.join(format!("{binary}.tar"));
        run(Command::new("target/debug/image")
            .args(["--binary", &file, "--architecture", "amd64", "--name", name])
            .arg("--output")
            .arg(&archive)
            .args(more));
        archives.push(archive);
    }
    run(world.cluster.import().args(archives));
}
