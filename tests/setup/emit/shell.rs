//! The script runs as a shell script, and calls az and kubectl with just these words.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use identity_injector::setup::emit::{Format, emit};

use super::plan::{AUDIENCE, ISSUER, SCOPE, desired, planned};

/// What az and kubectl were called with by a script, one word a line.
pub fn words_of(script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let tool = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    };
    // Each prints its words to the log, one a line; az tells the id it was asked for.
    let log = folder.path().join("log");
    let words = format!("printf '%s\\n' \"${{0##*/}}\" \"$@\" >> {}", log.display());
    tool(
        "az",
        &format!("{words}\ncase \"$2\" in show) echo the-id;; esac"),
    );
    tool("kubectl", &format!("{words}\ncat >> {}", log.display()));
    tool("sleep", "");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let file = folder.path().join("script");
    std::fs::write(&file, script).unwrap();
    let mut sh = Command::new("/bin/sh");
    let ran = sh.arg(&file).env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.is_empty(), "{said}");
    std::fs::read_to_string(log).unwrap()
}

#[test]
fn runs_as_a_shell_script() {
    let words = words_of(&emit(&planned(false), &desired(), Format::Az));
    for part in [
        "az\ngroup\ncreate\n--subscription\n11111111-2222-3333-4444-555555555555\n--name\nwalk\n",
        &format!(
            "--issuer\n{ISSUER}\n--subject\nsystem:serviceaccount:ns:sa\n--audiences\n{AUDIENCE}\n"
        ),
        &format!("--scope\n{SCOPE}\n--assignee-object-id\nthe-id\n"),
        "kubectl\napply\n--server-side\n--field-manager=identity-injector\n",
        "    azure.workload.identity/client-id: \"the-id\"\n",
    ] {
        assert!(words.contains(part), "{part:?} not in {words}");
    }
}
