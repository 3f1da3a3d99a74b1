//! The binary itself: what it prints, what it leaves in the cluster, and how it looks on a terminal.

use std::fs::File;
use std::io::Read;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use simazure::Fault;
use simazure::faults::{Act, Answer};
use tokio::process::Command;

use super::scene::{Case, Scene};

const REPORT: &str = "the-report";

impl Case<'_> {
    /// A config of one identity with one ServiceAccount: three writes to Azure, one of them after a pause.
    fn small(&self) -> String {
        let name = &self.name;
        format!(
            "
subscription: {}
resourceGroup: {{name: {name}, location: westus2}}
issuer: auto
identities:
  - name: idA
    serviceAccounts: [{{namespace: {name}, name: old}}]
",
            self.scene.azure.subscription
        )
    }

    /// The binary on that config; the ledger and the report are in this namespace, or the case's own.
    fn binary(&self, command: &str, ledger: Option<&str>) -> Command {
        let folder = self.scene.kubeconfig();
        let file = folder.with_file_name(format!("{}.yaml", self.name));
        std::fs::write(&file, self.small()).unwrap();
        let own = format!("{}-ledger", self.name);
        self.scene.setup(command, &file, ledger.unwrap_or(&own))
    }

    /// What the report's ConfigMap says.
    fn reported(&self) -> Value {
        let namespace = format!("{}-ledger", self.name);
        let map = self
            .scene
            .kube
            .get("ConfigMap", &namespace, REPORT)
            .unwrap();
        serde_json::from_str(map["data"]["report.json"].as_str().unwrap()).unwrap()
    }

    fn writes(&self) -> usize {
        let journal = self.scene.azure.journal().into_iter();
        let group = format!("/{}", self.name);
        let writes = journal
            .filter(|entry| entry.method == "PUT" && entry.path.to_lowercase().contains(&group));
        writes.count()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn the_ledgers_missing_namespace_is_an_obstacle_before_any_write() {
    let scene = Scene::start().await;
    let case = scene.case("homeless");
    let sentence = "identity-injector: no plan: there is no namespace nowhere to keep the ledger in, by which `setup destroy` \
                    knows what was made: `kubectl create namespace nowhere`, or name another with --ledger-namespace \
                    (SETUP_LEDGER_NAMESPACE)\n";
    for command in ["plan", "apply"] {
        let mut binary = case.binary(command, Some("nowhere"));
        let ended = binary.output().await.unwrap();
        assert_eq!(ended.status.code(), Some(1), "{command}: {}", said(&ended));
        assert!(
            said(&ended).ends_with(sentence),
            "{command}: {}",
            said(&ended)
        );
    }
    assert_eq!(case.writes(), 0);
    // A script keeps no ledger.
    let mut emit = case.binary("emit", Some("nowhere"));
    let ended = emit.arg("az").output().await.unwrap();
    assert!(ended.status.success(), "{}", said(&ended));
    scene.put("Namespace", "", "nowhere");
    let mut apply = case.binary("apply", Some("nowhere"));
    let ended = apply.output().await.unwrap();
    assert!(ended.status.success(), "{}", said(&ended));
    // With nothing left to note, the namespace is not missed.
    let mut apply = case.binary("apply", Some("gone"));
    let ended = apply.output().await.unwrap();
    assert!(ended.status.success(), "{}", said(&ended));
}

#[tokio::test]
async fn reports_what_came_of_each() {
    let scene = Scene::start().await;
    let case = scene.case("reports");
    let fault = Fault {
        path: Some("*/federatedIdentityCredentials/*".to_owned()),
        ..Fault::new(Act::Answer(Answer::error(
            403,
            "AuthorizationFailed",
            "no right",
        )))
    };
    scene.azure.fault(fault).unwrap();
    // Outcomes of the identity and of the ServiceAccount, with the number of their correlation ids.
    let table = [
        (1, ("failed", 1), ("failed", 1)),
        (0, ("updated", 0), ("updated", 1)),
        (0, ("unchanged", 0), ("unchanged", 0)),
    ];
    for (run, (code, identity, account)) in table.into_iter().enumerate() {
        let mut apply = case.binary("apply", None);
        let apply = apply.args(["-o", "json", "--report", REPORT]);
        let ended = apply.output().await.unwrap();
        assert_eq!(
            ended.status.code(),
            Some(code),
            "run {run}: {}",
            said(&ended)
        );
        let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!(report, case.reported(), "run {run}");
        assert_eq!(report["done"], json!(code == 0), "run {run}");
        let entry = &report["identities"][0];
        for (entry, (outcome, ids)) in [(entry, identity), (&entry["serviceAccounts"][0], account)]
        {
            assert_eq!(entry["outcome"], outcome, "run {run}: {report}");
            let there = entry["correlationIds"].as_array().map_or(0, Vec::len);
            assert_eq!(there, ids, "run {run}: {report}");
            let error = entry["error"].as_str().unwrap_or_default();
            assert_eq!(
                error.contains("no right"),
                outcome == "failed",
                "run {run}: {report}"
            );
        }
        // This API server has no Events: that is told, and no more.
        assert!(
            said(&ended).contains("Events not written: POST Event of "),
            "{}",
            said(&ended)
        );
    }
}

#[tokio::test]
async fn a_run_that_cannot_report_has_failed() {
    let scene = Scene::start().await;
    let case = scene.case("unheard");
    let ended = case.binary("apply", None).output().await.unwrap();
    assert!(ended.status.success(), "{}", said(&ended));
    let mut apply = case.binary("apply", Some("gone"));
    let ended = apply.args(["--report", REPORT]).output().await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let sentence = "identity-injector: report: PATCH ConfigMap gone/the-report: 404 namespaces \"gone\" not found\n";
    assert!(said(&ended).ends_with(sentence), "{}", said(&ended));
    for name in ["identity-injector-setup", "Not_A_Name"] {
        let mut apply = case.binary("apply", None);
        let ended = apply.args(["--report", name]).output().await.unwrap();
        assert_eq!(ended.status.code(), Some(64), "{name}: {}", said(&ended));
    }
}

#[tokio::test]
async fn an_interrupted_run_reports() {
    let scene = Scene::start().await;
    let case = scene.case("interrupted");
    let fault = Fault {
        path: Some("*/userAssignedIdentities/idA".to_owned()),
        method: Some("PUT".to_owned()),
        ..Fault::new(Act::Delay(60.0))
    };
    scene.azure.fault(fault).unwrap();
    let mut apply = case.binary("apply", None);
    let child = apply
        .args(["--report", REPORT])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id().unwrap().to_string();
    while case.writes() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut kill = Command::new("kill");
    kill.args(["-TERM", &id]).status().await.unwrap();
    let ended = child.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let sentence = "interrupted; run the same command again, it goes on where this one stopped";
    assert!(
        said(&ended).ends_with(&format!("identity-injector: {sentence}\n")),
        "{}",
        said(&ended)
    );
    let report = case.reported();
    assert_eq!(report["error"], sentence);
    assert_eq!(report["resourceGroup"]["outcome"], "created");
    let identity = &report["identities"][0];
    assert_eq!(
        (&identity["outcome"], &identity["error"]),
        (
            &json!("failed"),
            &json!("not done: the run ended before it")
        )
    );
}

/// What a command shows on a terminal of this kind, and to a pipe.
async fn shown(command: &mut Command, terminal: Option<&str>) -> String {
    let Some(kind) = terminal else {
        return said(&command.output().await.unwrap());
    };
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let theirs = ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options()
        .read(true)
        .write(true)
        .open(theirs.to_str().unwrap())
        .unwrap();
    let mut child = command
        .env("TERM", kind)
        .stdout(Stdio::null())
        .stderr(theirs)
        .spawn()
        .unwrap();
    // The command keeps our end of theirs open.
    command.stderr(Stdio::null());
    let shown = tokio::task::spawn_blocking(move || {
        let mut shown = Vec::new();
        // Its end is an error: nobody holds the other side any more.
        let _ = File::from(ours).read_to_end(&mut shown);
        shown
    });
    let shown = shown.await.unwrap();
    assert!(child.wait().await.unwrap().success());
    String::from_utf8_lossy(&shown).into_owned()
}

#[tokio::test]
async fn a_bar_is_shown_on_a_terminal_alone() {
    let scene = Scene::start().await;
    // the terminal, flags, whether there is a bar
    let table: [(&str, Option<&str>, &[&str], bool); 4] = [
        ("terminal", Some("xterm"), &[], true),
        ("dumb", Some("dumb"), &[], false),
        ("json", Some("xterm"), &["--log-format", "json"], false),
        ("pipe", None, &[], false),
    ];
    let cases = table.map(async |(name, terminal, flags, bar)| {
        let case = scene.case(name);
        for command in ["apply", "destroy"] {
            let mut command = case.binary(command, None);
            let shown = shown(command.args(flags), terminal).await;
            for step in ["ManagedIdentity idA: done", "FederatedCredential idA/"] {
                assert!(shown.contains(step), "{name}: {shown}");
            }
            assert!(shown.contains("correlation_id"), "{name}: {shown}");
            assert_eq!(shown.contains(" of 4, "), bar, "{name}: {shown}");
            if name == "pipe" {
                assert!(!shown.contains('\u{1b}'), "{name}: {shown}");
            }
            // The last thing that is drawn takes the bar away.
            let last = shown.rsplit(" of 4, ").next().unwrap();
            assert!(!bar || last.contains("\u{1b}[2K"), "{name}: {last:?}");
        }
    });
    futures::future::join_all(cases).await;
}
