//! A cluster as a child: that of tests/cluster, or of the command that CLUSTER names (tests/kind), which is asked the same. It
//! stops itself when its standard input ends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

pub struct Cluster {
    binary: PathBuf,
    child: Child,
    input: Option<ChildStdin>,
    /// The one line it prints when it is ready.
    pub said: Value,
    pub kubeconfig: PathBuf,
    pub ca_pem: String,
}

impl Cluster {
    /// Starts it by that command; `target` is what makes the binary.
    pub fn start(command: &str, target: &str) -> Self {
        let binary = std::env::var("CLUSTER");
        let binary = binary.unwrap_or_else(|_| "tests/cluster/bin/cluster".to_owned());
        let binary = Path::new(&binary)
            .canonicalize()
            .unwrap_or_else(|_| panic!("{binary} is not built: run `{target}`"));
        let mut child = Command::new(&binary)
            .arg(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("no cluster: its reason stands above"));
        let ca_pem = std::fs::read_to_string(said["ca"].as_str().unwrap()).unwrap();
        Cluster {
            binary,
            child,
            input,
            kubeconfig: said["kubeconfig"].as_str().unwrap().into(),
            ca_pem,
            said,
        }
    }

    /// The command that gives its node images, but for their files.
    pub fn import(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["import", self.said["directory"].as_str().unwrap()]);
        command
    }

    /// Restarts the API server; it takes a second or two until it answers again.
    pub fn restart_api_server(&self) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-HUP", &id]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.input.take());
        self.child.wait().unwrap();
    }
}
