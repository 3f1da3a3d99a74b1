//! What is redirected, and what is left alone.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;

use rustix::net::{AddressFamily, SocketType, bind, socket};

use crate::pod::{
    APPLICATION, IMDS, IMDS_MAPPED, OTHER_ADDRESS, OTHER_PORT, PROXY, Pod, add_rules, answer,
    asked, asked_by_datagram, expected, printed, ruleset,
};

const EXEMPT: &str = "meta skuid != 1501 ";

pub fn who_and_what(pod: &Pod) {
    pod.node_answers();
    // user, address, whether the proxy answers once the redirect is set
    let table = [
        (0, IMDS, true),
        (APPLICATION, IMDS, true),
        (APPLICATION, IMDS_MAPPED, true),
        (PROXY, IMDS, false),
        (APPLICATION, OTHER_PORT, false),
        (APPLICATION, OTHER_ADDRESS, false),
    ];
    let nodes = |address: &str| format!("node {}", address.trim_start_matches("::ffff:"));
    for (user, address, _) in table {
        assert_eq!(asked(user, address), nodes(address), "before");
    }
    let log = pod.redirect("");
    for said in [
        "redirect set and proven",
        "table=\"identity-injector\" from=169.254.169.254:80 port=8000 exempt_uid=1501",
        "connected_to_itself_in=",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
    answer("127.0.0.1/8000", "proxy");
    for (user, address, is_redirected) in table {
        let expected = if is_redirected {
            "proxy".to_owned()
        } else {
            nodes(address)
        };
        assert_eq!(asked(user, address), expected, "{user} {address}");
    }
    assert_eq!(asked_by_datagram(APPLICATION, IMDS), nodes(IMDS));
    assert_eq!(ruleset(), expected(EXEMPT, 8000));
}

pub fn nobody_is_exempt(pod: &Pod) {
    pod.node_answers();
    pod.redirect("--no-exempt --port=8123");
    answer("127.0.0.1/8123", "proxy");
    for user in [0, APPLICATION, PROXY] {
        assert_eq!(asked(user, IMDS), "proxy", "{user}");
    }
    assert_eq!(ruleset(), expected("", 8123));
}

pub fn second_run(pod: &Pod) {
    for flags in ["", "--no-exempt"] {
        pod.redirect(flags);
        let first = ruleset();
        pod.redirect(flags);
        assert_eq!(ruleset(), first, "{flags}");
    }
}

pub fn other_flags(pod: &Pod) {
    let table = [
        ("", expected(EXEMPT, 8000)),
        ("--port=8001", expected(EXEMPT, 8001)),
        ("--port=8001 --no-exempt", expected("", 8001)),
        ("--exempt-uid=1000", expected("meta skuid != 1000 ", 8000)),
        (
            "--exempt-uid=4294967294 --port=65535",
            expected("meta skuid != 4294967294 ", 65535),
        ),
        ("--port=8000 --exempt-uid=1501", expected(EXEMPT, 8000)),
    ];
    for (flags, expected) in table {
        pod.redirect(flags);
        assert_eq!(ruleset(), expected, "{flags}");
    }
}

pub fn remove(pod: &Pod) {
    pod.node_answers();
    pod.redirect("");
    assert_eq!(asked(APPLICATION, IMDS), "", "nobody listens yet");
    for time in ["once", "again"] {
        pod.redirect("--remove");
        assert_eq!(ruleset(), "", "{time}");
    }
    assert_eq!(asked(APPLICATION, IMDS), format!("node {IMDS}"));
}

pub fn table_of_that_name(pod: &Pod) {
    add_rules(
        "table ip identity-injector {
            set seen { type ipv4_addr; elements = { 10.0.0.1 } }
            chain other { ip daddr @seen drop; }
            chain output { type filter hook output priority 0; jump other; }
        }",
    );
    pod.redirect("");
    assert_eq!(ruleset(), expected(EXEMPT, 8000));
}

pub fn mesh(pod: &Pod) {
    pod.node_answers();
    add_rules(
        "table ip nat {
            chain OUTPUT { type nat hook output priority -100; meta skuid 1337 return; ip protocol tcp redirect to :15001; }
        }
        table inet filter {
            chain input { type filter hook input priority 0; tcp dport 9 drop; }
        }",
    );
    let others = ruleset();
    answer("127.0.0.1/15001", "mesh");
    assert_eq!(asked(APPLICATION, IMDS), "mesh");
    pod.redirect("");
    answer("127.0.0.1/8000", "proxy");
    assert_eq!(asked(APPLICATION, IMDS), "proxy");
    assert_eq!(asked(APPLICATION, OTHER_ADDRESS), "mesh");
    assert_eq!(ruleset(), others.clone() + &expected(EXEMPT, 8000));
    pod.redirect("--remove");
    assert_eq!(ruleset(), others);
}

pub fn read_only_file_system(pod: &Pod) {
    let script = "mount --bind / / && mount -o remount,bind,ro / && cd / && ! touch written 2>&1 \
                  && exec setpriv --no-new-privs --bounding-set=-all,+net_admin -- \"$0\" redirect";
    let output = Command::new("unshare")
        .args(["--mount", "--propagation=private", "bash", "-c", script])
        .arg(pod.binary())
        .output()
        .unwrap();
    let refused = String::from_utf8_lossy(&output.stdout);
    assert!(refused.contains("Read-only file system"), "{refused}");
    assert!(output.status.success(), "{}", printed(&output));
    assert_eq!(ruleset(), expected(EXEMPT, 8000));
}

pub fn port_is_free(pod: &Pod) {
    pod.redirect("");
    // Without SO_REUSEADDR, which a proxy need not set.
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8000)).unwrap();
}
