//! Golden cases of the decision table: `tests/cases/NAME/input.yaml` through the `inject` command.
//! `arguments` (optional) holds further flags; `output.yaml` and `messages.txt` what it printed, `explain.txt` what
//! `explain` did. `uninject` gives the input back.
//! `make bless` writes them anew; the diff is reviewed as code.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use identity_injector::names;
use serde_json::{Value, json};

const TENANT: &str = "00000000-aaaa-bbbb-cccc-000000000000";

#[test]
fn cases() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for case in folders() {
        let input = case.join("input.yaml");
        let printed = run("inject", &case, &input, &["-o", "yaml"]);
        let explained = run("explain", &case, &input, &["-o", "table"]);
        assert!(explained.stderr.is_empty(), "{}", case.display());
        assert_eq!(explained.status, printed.status, "{}", case.display());
        let expected = [
            ("output.yaml", printed.stdout),
            ("explain.txt", explained.stdout),
            (
                "messages.txt",
                messages(&printed.stderr, printed.status.code()),
            ),
        ];
        for (file, actual) in expected {
            let path = case.join(file);
            if bless {
                std::fs::write(&path, &actual).unwrap();
            } else if std::fs::read(&path).unwrap_or_default() != actual {
                wrong.push(format!(
                    "{}\n{}",
                    path.display(),
                    String::from_utf8_lossy(&actual)
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "these changed (make bless writes them anew):\n{}",
        wrong.join("\n")
    );
}

#[test]
fn own_result_lacks_nothing() {
    for case in folders().into_iter().filter(|case| {
        case.join("output.yaml")
            .metadata()
            .is_ok_and(|file| file.len() > 0)
    }) {
        let context = case.join("input.yaml");
        let context = context.to_str().unwrap();
        let arguments = [
            "-o",
            "patch",
            "--service-account",
            context,
            "--namespace",
            context,
        ];
        let printed = run("inject", &case, &case.join("output.yaml"), &arguments);
        let patches = String::from_utf8(printed.stdout).unwrap();
        assert!(
            patches.lines().all(|patch| patch == "[]"),
            "{}: {patches}",
            case.display()
        );
    }
}

#[test]
fn uninject_gives_the_input_back() {
    for case in folders() {
        let output = case.join("output.yaml");
        if std::fs::read(&output).unwrap().is_empty() {
            continue;
        }
        let mut command = command("uninject", &output);
        let printed = command.args(["-o", "json"]).output().unwrap();
        assert!(printed.status.success(), "{}", case.display());
        let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
        let input = std::fs::read_to_string(case.join("input.yaml")).unwrap();
        if case.ends_with("reinvoked-after-a-container-came") {
            // What an earlier pass had added goes too.
            assert!(
                !printed.to_string().contains(names::STATUS),
                "{}",
                case.display()
            );
            continue;
        }
        let mut input: Vec<Value> = serde_saphyr::from_multiple(&input).unwrap();
        let expected = match input.len() {
            1 => input.remove(0),
            _ => json!({"apiVersion": "v1", "kind": "List", "items": input}),
        };
        assert_eq!(printed, expected, "{}", case.display());
    }
}

#[test]
fn uninject_says_what_it_can_not_undo() {
    let folder = tempfile::tempdir().unwrap();
    let table = [
        (
            r#"{"azwi": "by hand"}"#,
            0,
            "warning: Pod app: container azwi-proxy is left alone: no identity-injector.io/status says who added it\n",
        ),
        (
            r#"{"identity-injector.io/status": "injected"}"#,
            1,
            "refused: Pod app: identity-injector.io/status: can't be read, so nothing can be restored from it: \
             expected value at line 1 column 1\n",
        ),
        (
            r#"{"identity-injector.io/status": "{}"}"#,
            1,
            "refused: Pod app: identity-injector.io/status: can't be read, so nothing can be restored from it: \
             missing field `version` at line 1 column 2\n",
        ),
    ];
    for (annotations, code, messages) in table {
        let pod = format!(
            r#"{{"kind": "Pod", "metadata": {{"name": "app", "annotations": {annotations}}},
            "spec": {{"initContainers": [{{"name": "azwi-proxy"}}]}}}}"#
        );
        let file = folder.path().join("pod.json");
        std::fs::write(&file, &pod).unwrap();
        let printed = command("uninject", &file)
            .args(["-o", "json"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&printed.stderr), messages);
        assert_eq!(printed.status.code(), Some(code));
        if code == 0 {
            let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
            assert_eq!(printed, serde_json::from_str::<Value>(&pod).unwrap());
        } else {
            assert!(printed.stdout.is_empty());
        }
    }
}

#[test]
fn explain_says_that_there_is_nothing_to_explain() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manifest");
    for text in ["", "kind: pod\n", "kind: Service\n"] {
        std::fs::write(&file, text).unwrap();
        let ran = command("explain", &file).output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(said.starts_with("nothing to explain: "), "{text:?}: {said}");
        assert_eq!(
            (ran.stdout.len(), ran.status.code()),
            (0, Some(0)),
            "{text:?}"
        );
    }
}

/// Two documents, however they are parted, are the same two.
#[test]
fn documents_are_parted_in_many_ways() {
    let pod = |name| json!({"kind": "Pod", "metadata": {"name": name, "labels": {names::USE: "true"}}, "spec": {"containers": [{"name": "app"}]}});
    let (a, b) = (pod("a"), pod("b"));
    let table = [
        ("marks", format!("{a}\n---\n{b}\n")),
        (
            "directives",
            format!("%YAML 1.2\n---\n{a}\n...\n# b\n%YAML 1.2\n--- # b\n{b}\n...\n"),
        ),
        ("ends alone", format!("{a}\n...\n{b}\n")),
        ("JSON, a line each", format!("{a}\n{b}\n")),
        ("JSON on one line", format!("{a} {b}")),
        ("JSON on many lines", format!("{a:#}{b:#}")),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pods");
    let mut printed = Vec::new();
    for (case, text) in table {
        std::fs::write(&file, text).unwrap();
        let ran = run("inject", folder.path(), &file, &["-o", "json"]);
        assert!(ran.status.success(), "{case}: {ran:?}");
        printed.push((case, String::from_utf8(ran.stdout).unwrap()));
    }
    let (_, first) = printed[0].clone();
    assert_eq!(first.matches(names::STATUS).count(), 2, "{first}");
    for (case, text) in printed {
        assert_eq!(text, first, "{case}");
    }
}

#[test]
fn explain_speaks_json() {
    let case = Path::new("tests/cases/refuse-port");
    let printed = run("explain", case, &case.join("input.yaml"), &["-o", "json"]);
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(printed[0]["decision"], "denied");
    assert_eq!(printed[0]["reason"], "invalid_port");
    let rules = printed[0]["rules"].as_array().unwrap();
    let last = json!({
        "rule": "proxy-sidecar-port", "outcome": "refused", "from": "pod annotation",
        "key": "azure.workload.identity/proxy-sidecar-port", "value": "70000",
    });
    assert_eq!(rules.last(), Some(&last));
    // A default is a word, where no Namespace is known too.
    let case = Path::new("tests/cases/no-client-id-warns");
    let printed = run("explain", case, &case.join("input.yaml"), &["-o", "json"]);
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let first = json!({"rule": "namespace-opted-in", "outcome": "yes", "from": "default", "key": "Namespace", "value": null});
    assert_eq!(printed[0]["rules"][0], first);
}

#[test]
fn unknown_fields_survive() {
    let case = Path::new("tests/cases/unknown-fields-survive");
    let printed = run("inject", case, &case.join("input.yaml"), &["-o", "json"]);
    let pod = &serde_json::from_slice::<Value>(&printed.stdout).unwrap()["items"][0];
    assert_eq!(
        pod["spec"]["containers"][0]["futureField"].to_string(),
        r#"{"nested":[1,2.5,null,{"deep":true}]}"#
    );
    assert_eq!(pod["spec"]["podFieldOfTomorrow"]["a"], "b");
    assert_eq!(pod["spec"]["initContainers"][2]["futureField"], "kept");
}

/// A server that would make pods no API server takes does not start.
#[test]
fn a_request_above_its_limit_is_a_mistake_of_the_command_line() {
    let walk = Path::new("tests/walk/pod.yaml");
    let mut offline = ["inject", "explain"].map(|name| command(name, walk));
    let mut webhook = Command::new(env!("CARGO_BIN_EXE_identity-injector"));
    webhook.env_clear().arg("webhook");
    for command in offline.iter_mut().chain([&mut webhook]) {
        command.env("PROXY_CPU_REQUEST", "2");
        let ran = command.args(["--proxy-cpu-limit", "1"]).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        let sentence = "error: --proxy-cpu-request 2 is more than --proxy-cpu-limit 1; \
                        lower the request or raise the limit\n";
        assert_eq!((ran.status.code(), &*said), (Some(64), sentence));
    }
}

/// Of a flag alone the other side's default yields.
#[test]
fn a_request_lifts_the_limit_that_nobody_set() {
    let walk = Path::new("tests/walk/pod.yaml");
    let mut command = command("inject", walk);
    let ran = command.args(["-o", "json", "--proxy-cpu-request", "2"]);
    let pod: Value = serde_json::from_slice(&ran.output().unwrap().stdout).unwrap();
    for container in pod["spec"]["initContainers"].as_array().unwrap() {
        assert_eq!(container["resources"]["limits"]["cpu"], "2", "{container}");
    }
}

fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir("tests/cases")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert!(folders.len() > 20);
    folders
}

fn run(name: &str, case: &Path, file: &Path, arguments: &[&str]) -> Output {
    let further = std::fs::read_to_string(case.join("arguments")).unwrap_or_default();
    command(name, file)
        .args(["--tenant-id", TENANT])
        .args(["--proxy-image", "identity-injector:golden"])
        .args(arguments)
        .args(further.split_whitespace())
        .output()
        .unwrap()
}

fn command(name: &str, file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_identity-injector"));
    command.env_clear().args([name, "-f"]).arg(file);
    command
}

fn messages(stderr: &[u8], code: Option<i32>) -> Vec<u8> {
    format!(
        "{}exit {}\n",
        String::from_utf8_lossy(stderr),
        code.unwrap()
    )
    .into_bytes()
}
