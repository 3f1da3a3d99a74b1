//! The network of one pod on one node: this process is in the pod's namespace, the node's IMDS in the node's.
//!
//! ```text
//! pod: this process   lo     127.0.0.1  proxy :8000, Entra and ARM (simulated)
//!                     pod0   10.244.0.2
//! node                node0  10.244.0.1
//!                     lo     169.254.169.254  the node's IMDS :80 (simulated)
//! ```
//!
//! There is no other route, so whatever a client looks for elsewhere fails at once.

#![allow(clippy::unwrap_used, dead_code, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The first argument of this program once it is in its namespace.
pub const INSIDE: &str = "inside";

/// The node's namespace, held by a process that ends when its standard input does.
pub struct Network {
    node: Child,
}

/// This program again, in a network namespace of its own.
pub fn inside(arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--"])
        .arg(std::env::current_exe().unwrap())
        .arg(INSIDE)
        .args(arguments);
    command
}

/// Those that are not on the PATH.
pub fn missing(tools: &[&'static str]) -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |tool: &&str| std::env::split_paths(&path).any(|folder| folder.join(tool).exists());
    tools
        .iter()
        .copied()
        .filter(|tool| !is_there(tool))
        .collect()
}

/// The binary with the rights of the pod's init container: user 0, one capability, no way to gain more.
pub fn as_init_container(binary: &Path, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new("setpriv");
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .args(["--no-new-privs", "--bounding-set=-all,+net_admin", "--"])
        .arg(binary)
        .args(arguments);
    command
}

impl Network {
    pub fn make() -> Self {
        let mut node = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo inside; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(node.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "inside\n", "no network namespace: this needs root");
        let network = Network { node };
        let pid = network.node.id();
        for command in [
            "link set lo up",
            &format!("link add pod0 type veth peer name node0 netns {pid}"),
            "address add 10.244.0.2/30 dev pod0",
            "link set pod0 up",
        ] {
            run("ip", command);
        }
        let namespace = format!("--net={}", network.node_namespace().display());
        for command in [
            "link set lo up",
            "address add 169.254.169.254/32 dev lo",
            "address add 10.244.0.1/30 dev node0",
            "link set node0 up",
        ] {
            run("nsenter", &format!("{namespace} ip {command}"));
        }
        run("ip", "route add 169.254.169.254 via 10.244.0.1");
        network
    }

    /// Where another process or thread enters the node's namespace.
    pub fn node_namespace(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.node.id()).into()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.node.stdin.take());
        self.node.wait().unwrap();
    }
}

/// Runs a program that must succeed; its arguments have no spaces in them.
pub fn run(program: &str, arguments: &str) {
    let status = Command::new(program)
        .args(arguments.split(' '))
        .status()
        .unwrap();
    assert!(status.success(), "{program} {arguments}: {status}");
}
