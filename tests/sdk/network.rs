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

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Stands for the init container until the binary has its `redirect` command, which then replaces the rule.
const REDIRECT: &str = "table ip identity {
    chain output {
        type nat hook output priority -100
        ip daddr 169.254.169.254 tcp dport 80 meta skuid != 1501 redirect to :8000
    }
}";

/// The first argument of this program once it is in its namespace.
pub const INSIDE: &str = "inside";

/// The node's namespace, held by a process that ends when its standard input does.
pub struct Network {
    node: Child,
}

/// Runs this program again in a network namespace of its own. Comes back only if that fails.
pub fn enter(arguments: &[String]) -> std::io::Error {
    let itself = match std::env::current_exe() {
        Ok(path) => path,
        Err(error) => return error,
    };
    Command::new("unshare")
        .args(["--net", "--"])
        .arg(itself)
        .arg(INSIDE)
        .args(arguments)
        .exec()
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

    /// Sends the pod's traffic for 169.254.169.254:80 to the proxy, from now on.
    pub fn redirect(&self) {
        let mut nft = Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = nft.stdin.take().unwrap();
        input.write_all(REDIRECT.as_bytes()).unwrap();
        drop(input);
        assert!(nft.wait().unwrap().success(), "nft took no rule");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.node.stdin.take());
        self.node.wait().unwrap();
    }
}

fn run(program: &str, arguments: &str) {
    let status = Command::new(program)
        .args(arguments.split(' '))
        .status()
        .unwrap();
    assert!(status.success(), "{program} {arguments}: {status}");
}
