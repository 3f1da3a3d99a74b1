//! What keeps the redirect from being set, and the sentence for it.

use std::collections::BTreeMap;
use std::io::Error;
use std::process::Output;
use std::thread;

use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::network::run;
use crate::pod::{Pod, add_rules, answer, asked, printed, ruleset, words};

const WAY_OUT: &str = "identity-injector.io/capture: env";

/// Nothing is redirected, for a reason that was said in one line.
fn refused(output: &Output, code: i32, sentence: &[&str]) {
    let printed = printed(output);
    assert_eq!(output.status.code(), Some(code), "{printed}");
    for part in sentence {
        assert!(printed.contains(part), "{part:?} is not in {printed:?}");
    }
    assert_eq!(code == 1, printed.lines().count() == 1, "{printed}");
    assert!(!ruleset().contains("identity-injector"));
}

pub fn bad_flags(pod: &Pod) {
    let table = [
        ("--port=0", "1..=65535"),
        ("--port=65536", "1..=65535"),
        ("--exempt-uid=4294967295", "0..4294967295"),
        ("--exempt-uid=proxy", "--exempt-uid"),
        ("--exempt-uid=1501 --no-exempt", "cannot be used with"),
        ("--flush", "--flush"),
    ];
    for (flags, said) in table {
        refused(&pod.init_container(flags), 64, &[said]);
    }
}

pub fn no_capability(pod: &Pod) {
    let sentence = ["CAP_NET_ADMIN is missing", "securityContext", WAY_OUT];
    // root without it, and another user with it in the bounding set only
    for rights in [
        "--bounding-set=-all",
        "--reuid=1000 --regid=1000 --clear-groups --bounding-set=-all,+net_admin",
    ] {
        for flags in ["", "--remove"] {
            let output = std::process::Command::new("setpriv")
                .arg("--no-new-privs")
                .args(words(rights))
                .arg(pod.binary())
                .arg("redirect")
                .args(words(flags))
                .output()
                .unwrap();
            refused(&output, 1, &sentence);
        }
    }
}

pub fn exempt_user(pod: &Pod) {
    let output = pod.init_container("--exempt-uid=0");
    refused(&output, 1, &["runs as uid 0", "exempt", "--no-exempt"]);
}

pub fn no_netlink_socket(pod: &Pod) {
    let output = without_netlink(pod, Errno::PERM);
    refused(&output, 1, &["netlink socket", "seccomp", WAY_OUT]);
}

/// What a kernel that was built without it answers.
pub fn no_nfnetlink(pod: &Pod) {
    let output = without_netlink(pod, Errno::PROTONOSUPPORT);
    refused(&output, 1, &["no nfnetlink", "load that module", WAY_OUT]);
}

/// The init container where the kernel answers so when it asks for a netlink socket.
fn without_netlink(pod: &Pod, answer: Errno) -> Output {
    let of_netlink = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Eq,
        u64::from(rustix::net::AddressFamily::NETLINK.as_raw()),
    );
    let filter = SeccompFilter::new(
        BTreeMap::from([(
            SYS_SOCKET,
            vec![SeccompRule::new(vec![of_netlink.unwrap()]).unwrap()],
        )]),
        SeccompAction::Allow,
        SeccompAction::Errno(answer.raw_os_error().cast_unsigned()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program = BpfProgram::try_from(filter.unwrap()).unwrap();
    // A thread can't be rid of it again; its children have it too.
    thread::scope(|scope| {
        let limited = scope.spawn(|| {
            seccompiler::apply_filter(&program).unwrap();
            pod.init_container("")
        });
        limited.join().unwrap()
    })
}

#[cfg(target_arch = "x86_64")]
const SYS_SOCKET: i64 = 41;
#[cfg(not(target_arch = "x86_64"))]
const SYS_SOCKET: i64 = 198;

pub fn port_is_taken(pod: &Pod) {
    answer("127.0.0.1/8000", "another");
    let in_use = Error::from_raw_os_error(Errno::ADDRINUSE.raw_os_error()).to_string();
    refused(&pod.init_container(""), 1, &["127.0.0.1:8000", &in_use]);
    // What was set before stays in force.
    pod.redirect("--port=8001");
    let before = ruleset();
    assert_eq!(pod.init_container("").status.code(), Some(1));
    assert_eq!(ruleset(), before);
}

pub fn no_route(pod: &Pod) {
    run("ip", "route flush table main");
    let sentence = ["169.254.169.254:80 has no route", WAY_OUT];
    refused(&pod.init_container(""), 1, &sentence);
}

pub fn ipv6_only(pod: &Pod) {
    run("ip", "address flush dev pod0");
    run("ip", "address add fd00::2/64 dev pod0 nodad");
    run("ip", "-6 route add default via fd00::1");
    let sentence = ["169.254.169.254:80 has no route", "IPv6 only", WAY_OUT];
    refused(&pod.init_container(""), 1, &sentence);
}

pub fn earlier_rule(pod: &Pod) {
    add_rules(
        "table ip first {
            chain output { type nat hook output priority -150; tcp dport 80 redirect to :15001; }
        }",
    );
    answer("127.0.0.1/15001", "first");
    let sentence = [
        "has no effect",
        "127.0.0.1:8000",
        "other nat rules",
        WAY_OUT,
    ];
    refused(&pod.init_container(""), 1, &sentence);
    assert_eq!(asked(0, crate::pod::IMDS), "first");
}

pub fn earlier_drop(pod: &Pod) {
    add_rules(
        "table ip first {
            chain output { type filter hook output priority -150; tcp dport 80 drop; }
        }",
    );
    let sentence = ["has no effect", "nothing arrived within 3 s", WAY_OUT];
    refused(&pod.init_container(""), 1, &sentence);
}
