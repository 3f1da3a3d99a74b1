//! Golden cases of the decision table: `tests/cases/NAME/input.yaml` through the `inject` command.
//! `arguments` (optional) holds further flags; `output.yaml` and `messages.txt` what it printed.
//! `make bless` writes them anew; the diff is reviewed as code.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TENANT: &str = "00000000-aaaa-bbbb-cccc-000000000000";

#[test]
fn cases() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for case in folders() {
        let printed = inject(&case, &case.join("input.yaml"), &["-o", "yaml"]);
        let expected = [
            ("output.yaml", printed.stdout),
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
        let printed = inject(&case, &case.join("output.yaml"), &arguments);
        let patches = String::from_utf8(printed.stdout).unwrap();
        assert!(
            patches.lines().all(|patch| patch == "[]"),
            "{}: {patches}",
            case.display()
        );
    }
}

#[test]
fn unknown_fields_survive() {
    let case = Path::new("tests/cases/unknown-fields-survive");
    let printed = inject(case, &case.join("input.yaml"), &["-o", "json"]);
    let pod = &serde_json::from_slice::<serde_json::Value>(&printed.stdout).unwrap()["items"][0];
    assert_eq!(
        pod["spec"]["containers"][0]["futureField"].to_string(),
        r#"{"nested":[1,2.5,null,{"deep":true}]}"#
    );
    assert_eq!(pod["spec"]["podFieldOfTomorrow"]["a"], "b");
    assert_eq!(pod["spec"]["initContainers"][2]["futureField"], "kept");
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

fn inject(case: &Path, file: &Path, arguments: &[&str]) -> Output {
    let further = std::fs::read_to_string(case.join("arguments")).unwrap_or_default();
    Command::new(env!("CARGO_BIN_EXE_identity-injector"))
        .env_clear()
        .args([
            "inject",
            "--tenant-id",
            TENANT,
            "--proxy-image",
            "identity-injector:golden",
            "-f",
        ])
        .arg(file)
        .args(arguments)
        .args(further.split_whitespace())
        .output()
        .unwrap()
}

fn messages(stderr: &[u8], code: Option<i32>) -> Vec<u8> {
    format!(
        "{}exit {}\n",
        String::from_utf8_lossy(stderr),
        code.unwrap()
    )
    .into_bytes()
}
