//! The development authority: certs/development.sh, the webhook that serves with what it makes, and `make keys`, which keeps
//! its like out of git. Needs openssl, make and git.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use support::{Certificates, Program, configuration, free_port, loopback};
use x509_parser::oid_registry::OID_EC_P256;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::X509Certificate;

const SERVICE: &str = "identity-injector.identity-injector-system.svc";
const DAYS: i64 = 30;

/// Runs the script; gives its exit code, what it printed, and what it complained of.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new("certs/development.sh")
        .arg("--dir")
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap();
    let [printed, complained] =
        [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    (output.status.code().unwrap(), printed, complained)
}

fn certificate<T>(file: &Path, read: impl Fn(&X509Certificate<'_>) -> T) -> T {
    let (_, pem) = parse_x509_pem(&fs::read(file).unwrap()).unwrap();
    read(&pem.parse_x509().unwrap())
}

#[test]
fn what_is_made_is_small_and_short_lived() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("new");
    let (code, _, complained) = run(&folder, &[]);
    assert_eq!((code, complained.as_str()), (0, ""));
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    files.sort();
    // The authority's key is gone.
    assert_eq!(files, ["ca.crt", "tls.crt", "tls.key"]);
    let mode = fs::metadata(folder.join("tls.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    for (file, is_ca) in [("ca.crt", true), ("tls.crt", false)] {
        certificate(&folder.join(file), |it| {
            let parameters = it.public_key().algorithm.parameters.as_ref().unwrap();
            assert_eq!(parameters.as_oid().unwrap(), OID_EC_P256, "{file}");
            assert_eq!(it.is_ca(), is_ca, "{file}");
            let validity = it.validity();
            let lasts = validity.not_after.timestamp() - validity.not_before.timestamp();
            assert_eq!(lasts, DAYS * 24 * 60 * 60, "{file}");
        });
    }
}

#[test]
fn nothing_is_replaced_unless_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name| folder.path().join(name);
    assert_eq!(run(folder.path(), &[]).0, 0);
    let first = fs::read(file("ca.crt")).unwrap();
    let (code, _, complained) = run(folder.path(), &[]);
    assert_eq!(code, 1);
    assert!(
        complained.contains("ca.crt is there already") && complained.contains("--replace"),
        "{complained}"
    );
    assert_eq!(fs::read(file("ca.crt")).unwrap(), first);
    assert_eq!(run(folder.path(), &["--replace"]).0, 0);
    assert_ne!(fs::read(file("ca.crt")).unwrap(), first);
    // A key of somebody's who has no authority there.
    fs::remove_file(file("ca.crt")).unwrap();
    fs::write(file("tls.crt"), "theirs").unwrap();
    let (code, _, complained) = run(folder.path(), &[]);
    assert!(
        code == 1 && complained.contains("tls.crt is there already"),
        "{complained}"
    );
    assert_eq!(fs::read(file("tls.crt")).unwrap(), b"theirs");
}

#[test]
fn what_is_no_name_is_refused() {
    let table = [
        (vec!["a b"], 1, "'a b' is neither a DNS name nor an address"),
        (vec!["localhost", "x,DNS:y"], 1, "'x,DNS:y' is neither"),
        (vec![""], 1, "'' is neither"),
        (vec!["1.2.3"], 1, "openssl made no certificate for IP:1.2.3"),
        (vec!["--days", "400"], 64, "usage: "),
        (vec!["--dir"], 64, "usage: "),
    ];
    for (arguments, expected, sentence) in table {
        let folder = tempfile::tempdir().unwrap();
        let (code, printed, complained) = run(folder.path(), &arguments);
        assert_eq!(code, expected, "{arguments:?}: {complained}");
        assert!(complained.contains(sentence), "{arguments:?}: {complained}");
        assert_eq!(printed, "", "{arguments:?}");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            0,
            "{arguments:?}"
        );
    }
}

/// The webhook, started as the script says.
struct World {
    _program: Program,
    address: SocketAddr,
    _kube: simkube::Cluster,
}

impl World {
    async fn start(printed: &str, folder: &Path) -> Self {
        let line = |start: &str| {
            let line = printed
                .lines()
                .find_map(|line| line.trim().strip_prefix(start));
            line.unwrap_or_else(|| unreachable!("no {start:?} in {printed}"))
                .to_owned()
        };
        let kube = simkube::start(simkube::Options::default()).await.unwrap();
        kube.put(configuration(&line("caBundle: "))).unwrap();
        let kubeconfig = folder.join("kubeconfig");
        fs::write(&kubeconfig, kube.kubeconfig()).unwrap();
        let (port, health) = (free_port(), free_port());
        let more = format!(
            "--kubeconfig={} --tenant-id=t --drain-delay=0 --bind=127.0.0.1:{port} --health=127.0.0.1:{health}",
            kubeconfig.display()
        );
        let command = format!("{} {more}", line("identity-injector "));
        let arguments: Vec<_> = command.split(' ').collect();
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_identity-injector"));
        let mut program = Program::start(&binary, folder.join("log"), &arguments, &[]);
        // Ready is: API servers believe the certificate by that caBundle.
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let ready = format!("http://127.0.0.1:{health}/readyz");
        program.until_ready(&client, &ready).await;
        World {
            _program: program,
            address: loopback(port),
            _kube: kube,
        }
    }

    /// Whether a client that trusts only that authority gets an answer from a host of that name.
    async fn answers(&self, name: &str, ca_pem: &str) -> Result<u16, reqwest::Error> {
        let root = reqwest::Certificate::from_pem(ca_pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only([root])
            .no_proxy()
            .resolve(name, self.address)
            .build()
            .unwrap();
        let url = format!("https://{name}:{}/mutate-v1-pod", self.address.port());
        client
            .get(url)
            .send()
            .await
            .map(|reply| reply.status().as_u16())
    }
}

#[tokio::test]
async fn the_webhook_serves_with_it_as_printed() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let table: [(&[&str], &[&str], &[&str]); 2] = [
        (&[], &["localhost", "127.0.0.1", SERVICE], &["webhook.test"]),
        (
            &["webhook.test", SERVICE],
            &["webhook.test", SERVICE],
            &["localhost", "127.0.0.1"],
        ),
    ];
    for (names, served, not) in table {
        let folder = tempfile::tempdir().unwrap();
        let certs = folder.path().join("certs");
        let (code, printed, complained) = run(&certs, names);
        assert_eq!(code, 0, "{complained}");
        let world = World::start(&printed, folder.path()).await;
        let authority = fs::read_to_string(certs.join("ca.crt")).unwrap();
        let stranger = Certificates::make(&folder.path().join("stranger")).ca_pem;
        for name in served {
            let answer = world.answers(name, &authority).await;
            // Reviews are posted.
            assert_eq!(answer.unwrap(), 405, "{name}");
            assert!(world.answers(name, &stranger).await.is_err(), "{name}");
        }
        for name in not {
            assert!(world.answers(name, &authority).await.is_err(), "{name}");
        }
    }
}

#[test]
fn a_key_in_git_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path().join("certs");
    assert_eq!(run(&certs, &[]).0, 0);
    let read = |name| fs::read_to_string(certs.join(name)).unwrap();
    let (key, authority) = (read("tls.key"), read("ca.crt"));
    let secret = |before: &str| {
        format!(
            "data: {{tls.key: {}}}\n",
            STANDARD.encode(format!("{before}{key}"))
        )
    };
    let table = [
        ("none", "nothing".to_owned(), false),
        ("a certificate", authority.clone(), false),
        (
            "a certificate in a Secret",
            format!("ca.crt: {}", STANDARD.encode(&authority)),
            false,
        ),
        ("a key", key.clone(), true),
        (
            "a key of another kind",
            key.replace("PRIVATE", "EC PRIVATE"),
            true,
        ),
        ("a key among others", format!("{authority}{key}"), true),
        ("a key in a Secret", secret(""), true),
        ("a key in a Secret, after a line", secret("\n"), true),
        ("a key in a Secret, after two", secret("\n\n"), true),
    ];
    for (case, content, found) in table {
        let repository = tempfile::tempdir().unwrap();
        fs::write(repository.path().join("file"), content).unwrap();
        for arguments in [["init", "--quiet"], ["add", "file"]] {
            assert!(
                git(repository.path())
                    .args(arguments)
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let (succeeds, said) = make_keys(repository.path());
        assert_eq!(succeeds, !found, "{case}: {said}");
        let tells = "file\nprivate keys are in git";
        assert_eq!(said.contains(tells), found, "{case}: {said}");
    }
    // Where nothing can be looked at, nothing is proved.
    assert!(!make_keys(tempfile::tempdir().unwrap().path()).0);
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env_remove("GIT_DIR")
        .env_remove("GIT_INDEX_FILE");
    command
}

/// `make keys` in that folder: whether it succeeds, and what it says.
fn make_keys(folder: &Path) -> (bool, String) {
    let makefile = Path::new(env!("CARGO_MANIFEST_DIR")).join("Makefile");
    let command = format!("make --silent --file {} keys 2>&1", makefile.display());
    let mut make = Command::new("sh");
    make.args(["-c", &command]).current_dir(folder);
    for variable in [
        "MAKEFLAGS",
        "MFLAGS",
        "MAKELEVEL",
        "GIT_DIR",
        "GIT_INDEX_FILE",
    ] {
        make.env_remove(variable);
    }
    let output = make.output().unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}
