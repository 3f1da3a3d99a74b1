//! The images: ours as `make image` makes it, trusting the simulated Azure too, and the application's.

use std::path::Path;
use std::process::Command;

use crate::world::{APP, World, enter, run};

const OURS: &str = "ghcr.io/identity-injector/identity-injector:0.1.0";
const RELEASE: &str = "target/x86_64-unknown-linux-musl/release";

pub fn import(world: &World) {
    let roots = world.azure.ca_file.to_str().unwrap();
    for (binary, name, more) in [
        ("identity-injector", OURS, vec!["--extra-roots", roots]),
        ("app", APP, vec![]),
    ] {
        let binary = format!("{RELEASE}/{binary}");
        assert!(
            Path::new(&binary).exists(),
            "{binary} is not built: run `make e2e-node`"
        );
        let archive = world.azure.ca_file.with_file_name("image.tar");
        run(Command::new("target/debug/image")
            .args([
                "--binary",
                &binary,
                "--architecture",
                "amd64",
                "--name",
                name,
            ])
            .arg("--output")
            .arg(&archive)
            .args(more));
        let ctr = [world.said("ctr"), "--address", world.said("containerd")];
        let import = ["--namespace", "k8s.io", "images", "import", "--local"];
        let init = world.cluster.said["pid"].as_u64().unwrap();
        enter(
            init,
            &[&ctr[..], &import, &[archive.to_str().unwrap()]].concat(),
        );
    }
}
