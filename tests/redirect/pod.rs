//! One pod and its node: what answers where, and how the pod asks.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use crate::network::{Network, as_init_container, run};

pub const IMDS: &str = "169.254.169.254/80";
/// On an IPv6 socket.
pub const IMDS_MAPPED: &str = "::ffff:169.254.169.254/80";
pub const OTHER_PORT: &str = "169.254.169.254/81";
pub const OTHER_ADDRESS: &str = "10.244.0.1/80";

/// Some application's user.
pub const APPLICATION: u32 = 1000;
pub const PROXY: u32 = 1501;

/// A pod in which nothing but `lo` and the way to the node is.
pub struct Pod {
    network: Network,
    folder: TempDir,
}

impl Pod {
    pub fn make() -> Self {
        let pod = Pod {
            network: Network::make(),
            folder: tempfile::tempdir().unwrap(),
        };
        // The node forwards to no one; what else the pod looks for ends there.
        run("ip", "route add default via 10.244.0.1");
        std::fs::set_permissions(pod.folder.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::copy(binary(), pod.binary()).unwrap();
        pod
    }

    /// Every user can start it.
    pub fn binary(&self) -> PathBuf {
        self.folder.path().join("identity-injector")
    }

    /// The init container.
    pub fn init_container(&self, flags: &str) -> Output {
        let arguments: Vec<&str> = ["redirect"].into_iter().chain(words(flags)).collect();
        as_init_container(&self.binary(), &arguments)
            .output()
            .unwrap()
    }

    /// The init container, which must succeed; what it logged.
    pub fn redirect(&self, flags: &str) -> String {
        let output = self.init_container(flags);
        let printed = printed(&output);
        assert!(output.status.success(), "{flags}: {printed}");
        printed
    }

    /// The node answers everything that is asked of it.
    pub fn node_answers(&self) {
        let namespace = self.network.node_namespace();
        let (ready, listens) = mpsc::channel();
        thread::spawn(move || {
            let file = File::open(namespace).unwrap();
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            for address in [IMDS, OTHER_PORT, OTHER_ADDRESS] {
                answer(address, &format!("node {address}"));
            }
            answer_datagrams(IMDS, &format!("node {IMDS}"));
            ready.send(()).unwrap();
        });
        listens.recv().unwrap();
    }
}

/// The one under test; another than Cargo's to measure it.
fn binary() -> PathBuf {
    let other = std::env::var_os("IDENTITY_INJECTOR_BINARY");
    other.map_or(env!("CARGO_BIN_EXE_identity-injector").into(), Into::into)
}

/// Whoever connects to `address` reads `word`.
pub fn answer(address: &str, word: &str) {
    let listener = TcpListener::bind(socket_address(address)).unwrap();
    let word = word.to_owned();
    thread::spawn(move || {
        for peer in listener.incoming() {
            let mut peer = peer.unwrap();
            let _ = peer.write_all(word.as_bytes());
            let _ = peer.shutdown(Shutdown::Write);
            let _ = peer.read_to_end(&mut Vec::new());
        }
    });
}

fn answer_datagrams(address: &str, word: &str) {
    let socket = UdpSocket::bind(socket_address(address)).unwrap();
    let word = word.to_owned();
    thread::spawn(move || {
        while let Ok((_, peer)) = socket.recv_from(&mut [0; 64]) {
            socket.send_to(word.as_bytes(), peer).unwrap();
        }
    });
}

fn socket_address(address: &str) -> SocketAddr {
    address.replace('/', ":").parse().unwrap()
}

/// What `user` reads after it connected to `address`; empty if nothing.
pub fn asked(user: u32, address: &str) -> String {
    shell(user, &format!("exec 3<>/dev/tcp/{address} && cat <&3"))
}

/// What `user` reads after it sent a datagram to `address`.
pub fn asked_by_datagram(user: u32, address: &str) -> String {
    let length = format!("node {address}").len();
    shell(
        user,
        &format!("exec 3<>/dev/udp/{address} && echo hello >&3 && head -c {length} <&3"),
    )
}

fn shell(user: u32, script: &str) -> String {
    let user = user.to_string();
    let output = Command::new("setpriv")
        .args(["--reuid", &user, "--regid", &user, "--clear-groups"])
        .args(["timeout", "5", "bash", "-c", script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// All rules of the pod, as nft reads them.
pub fn ruleset() -> String {
    let output = Command::new("nft")
        .args(["list", "ruleset"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", printed(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Adds rules by nft.
pub fn add_rules(rules: &str) {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = nft.stdin.take().unwrap();
    input.write_all(rules.as_bytes()).unwrap();
    drop(input);
    assert!(nft.wait().unwrap().success(), "nft took no rule");
}

/// What the redirect's table must be.
pub fn expected(condition: &str, port: u16) -> String {
    format!(
        "table ip identity-injector {{\n\
         \tchain output {{\n\
         \t\ttype nat hook output priority -101; policy accept;\n\
         \t\tip daddr 169.254.169.254 tcp dport 80 {condition}redirect to :{port}\n\
         \t}}\n\
         }}\n"
    )
}

pub fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}
