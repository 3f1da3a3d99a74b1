//! The emitted script is the golden one, reads as shell, and calls az and kubectl with just these words.
//! `BLESS=1` writes the golden file anew.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use identity_injector::setup::config;
use identity_injector::setup::emit::{Format, emit};
use identity_injector::setup::look;
use identity_injector::setup::step::Step;

use crate::CONFIG;
use crate::peers::clients;
use crate::world::World;

const GOLDEN: &str = "tests/setup/emit.sh";

async fn script() -> String {
    let config = CONFIG.replace("auto", "\"https://issuer.test/it's\"");
    let desired = config::parse(&config).unwrap();
    let (arm, cluster) = clients(World::with_namespace("ns"));
    let mut plan = look(&desired, &arm, &cluster).await.unwrap();
    plan.steps.push(Step::AssignRole {
        identity: "identityA".to_owned(),
        scope: "/subscriptions/s/resourceGroups/a (b)".to_owned(),
        role: "Reader".to_owned(),
        role_definition_id: "/x/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7".to_owned(),
        principal_id: None,
    });
    emit(&plan, &desired, Format::Az)
}

#[tokio::test]
async fn is_the_golden_script() {
    let script = script().await;
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(GOLDEN, &script).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    assert_eq!(script, golden, "BLESS=1 writes it anew");
}

#[tokio::test]
async fn runs_as_a_shell_script() {
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
    let script = folder.path().join("script");
    std::fs::write(&script, self::script().await).unwrap();
    let ran = run(&script, &path);
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let log = std::fs::read_to_string(log).unwrap();
    for part in [
        "az\ngroup\ncreate\n--subscription\n11111111-2222-3333-4444-555555555555\n--name\nwalk\n",
        "--issuer\nhttps://issuer.test/it's\n--subject\nsystem:serviceaccount:ns:sa\n",
        "--scope\n/subscriptions/s/resourceGroups/a (b)\n--assignee-object-id\nthe-id\n",
        "kubectl\napply\n--server-side\n--field-manager=identity-injector\n",
        "    azure.workload.identity/client-id: \"the-id\"\n",
    ] {
        assert!(log.contains(part), "{part:?} not in {log}");
    }
}

fn run(script: &Path, path: &str) -> std::process::Output {
    let mut sh = Command::new("/bin/sh");
    sh.arg(script).env("PATH", path).output().unwrap()
}
