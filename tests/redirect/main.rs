//! The `redirect` command on this kernel, each case in network namespaces of its own. `make redirect` runs this.
//! Arguments are parts of the cases' names: only those are run. `IDENTITY_INJECTOR_BINARY` names another binary than
//! the debug build, to see the time that one takes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cases;
mod failures;
#[path = "../support/network.rs"]
mod network;
mod pod;
mod time;

use pod::Pod;

const TOOLS: [&str; 7] = [
    "bash", "ip", "mount", "nft", "nsenter", "setpriv", "unshare",
];

type Case = (&'static str, fn(&Pod));

const CASES: [Case; 20] = [
    ("who is redirected, and what", cases::who_and_what),
    ("nobody is exempt", cases::nobody_is_exempt),
    ("a second run changes nothing", cases::second_run),
    ("other flags replace the first", cases::other_flags),
    ("remove leaves nothing", cases::remove),
    (
        "a table of that name is replaced",
        cases::table_of_that_name,
    ),
    ("a service mesh's rules stay, and come second", cases::mesh),
    ("a read-only file system", cases::read_only_file_system),
    ("the port is free for the proxy", cases::port_is_free),
    ("bad flags", failures::bad_flags),
    ("no capability", failures::no_capability),
    ("as the exempt user", failures::exempt_user),
    ("no netlink socket", failures::no_netlink_socket),
    ("no nfnetlink in the kernel", failures::no_nfnetlink),
    ("the port is taken", failures::port_is_taken),
    ("no route", failures::no_route),
    ("IPv6 only", failures::ipv6_only),
    ("an earlier rule sends it elsewhere", failures::earlier_rule),
    ("an earlier rule drops it", failures::earlier_drop),
    ("time of a run", time::median),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, name] = &arguments[..]
        && first == network::INSIDE
    {
        let (_, case) = CASES.iter().find(|(known, _)| known == name).unwrap();
        return case(&Pod::make());
    }
    let missing = network::missing(&TOOLS);
    if !missing.is_empty() {
        eprintln!("missing: {}; .ci/run installs them", missing.join(", "));
        std::process::exit(2);
    }
    let asked = |name: &str| arguments.iter().any(|part| name.contains(&**part));
    let mut failed = Vec::new();
    let mut passed = 0;
    for (name, _) in CASES {
        if !arguments.is_empty() && !asked(name) {
            continue;
        }
        println!("{name}");
        let status = network::inside(&[name]).status();
        if status.unwrap().success() {
            passed += 1;
        } else {
            failed.push(name);
        }
    }
    println!("{passed} passed, {} failed: {failed:?}", failed.len());
    std::process::exit(i32::from(!failed.is_empty() || passed == 0));
}
