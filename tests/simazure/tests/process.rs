//! The binary: one line when ready, ended by end of input or by signal.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

fn spawn(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_simazure"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn first_line(stdout: &mut impl BufRead) -> Value {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

/// Every flag that says how Azure behaves.
const ALL: [&str; 18] = [
    "--exit-on-stdin-eof",
    "--realistic",
    "--throttling",
    "--standing-clock",
    "--identity-lag=1",
    "--credential-lag=0.5",
    "--negative-cache=60",
    "--write-time=1",
    "--operation-time=1",
    "--page-size=2",
    "--unregistered=Microsoft.ManagedIdentity",
    "--cluster=rg/aks=https://issuer/",
    "--bind",
    "127.0.0.1:0",
    "--imds-bind",
    "127.0.0.1:0",
    "--unregistered",
    "Microsoft.ContainerService",
];

#[test]
fn one_line_and_the_ways_to_end() {
    for (args, by_signal) in [
        (&["--exit-on-stdin-eof"][..], false),
        (&[][..], true),
        (&ALL[..], false),
    ] {
        let mut child = spawn(args);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let line = first_line(&mut stdout);
        for key in [
            "arm",
            "authority",
            "imds",
            "ca",
            "subscription",
            "tenant",
            "clientId",
            "clientSecret",
        ] {
            assert!(line[key].is_string(), "{key} of {line}");
        }
        assert_eq!(line["pid"], child.id());
        drop(child.stdin.take());
        if by_signal {
            let pid = child.id().to_string();
            assert!(
                child.try_wait().unwrap().is_none(),
                "end of input ends it only when asked"
            );
            assert!(Command::new("kill").arg(pid).status().unwrap().success());
        }
        assert!(child.wait().unwrap().success(), "{args:?}");
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "one line and no more");
    }
}

#[test]
fn wrong_arguments_are_named() {
    let table = [
        (["--cluster", "rg=https://issuer"], "RG/NAME=ISSUER_URL"),
        (["--cluster", "rg/aks="], "RG/NAME=ISSUER_URL"),
        (["--issuer-ca", "/nowhere/ca.pem"], "/nowhere/ca.pem"),
        (["--kubeconfig", "/nowhere/config"], "/nowhere/config"),
        (["--identity-lag", "1e9"], "--identity-lag must be from 0"),
    ];
    for (args, named) in table {
        let output = spawn(&args).wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && stderr.contains(named),
            "{args:?}: {stderr}"
        );
    }
}
