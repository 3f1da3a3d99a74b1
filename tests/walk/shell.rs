//! The shell of a person with the real az, kubectl and our binary on the PATH, and a home of their own to work in.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What `make walk` builds and installs.
const TOOLS: [&str; 2] = ["target/sdk/azure-cli/bin/az", "tests/cluster/bin/kubectl"];

pub struct Shell {
    home: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Shell {
    /// A shell whose home has the walk's pod and setup file and nothing else.
    pub fn new(home: &Path, azure: &simazure::Simulation) -> Self {
        let ca_file = azure.ca_file.to_str().unwrap();
        let shell = Shell {
            home: home.to_owned(),
            variables: vec![
                ("HOME", home.to_str().unwrap().to_owned()),
                ("PATH", path()),
                ("ARM_URL", azure.arm.clone()),
                ("SUBSCRIPTION_ID", azure.subscription.to_owned()),
                // Of az.
                ("REQUESTS_CA_BUNDLE", ca_file.to_owned()),
                ("AZURE_CORE_COLLECT_TELEMETRY", "no".to_owned()),
                ("AZURE_CORE_INSTANCE_DISCOVERY", "false".to_owned()),
                // Of setup.
                ("SSL_CERT_FILE", ca_file.to_owned()),
                ("AZURE_RESOURCE_MANAGER_URL", azure.arm.clone()),
                ("AZURE_AUTHORITY_HOST", azure.authority.clone()),
                ("SETUP_SETTLE", "0".to_owned()),
                // Of both.
                ("AZURE_TENANT_ID", azure.tenant.to_owned()),
                ("AZURE_CLIENT_ID", azure.client_id.to_owned()),
                ("AZURE_CLIENT_SECRET", azure.client_secret.to_owned()),
            ],
        };
        shell.give("pod.yaml", include_str!("pod.yaml"));
        shell.give("setup.yaml", include_str!("setup.yaml"));
        shell
    }

    /// Puts a file into the home.
    pub fn give(&self, name: &str, text: &str) {
        let file = self.home.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    /// What a command line prints, which must succeed.
    pub fn run(&self, line: &str) -> String {
        self.run_expecting(0, line)
    }

    /// What a command line prints that ends with this exit code.
    pub fn run_expecting(&self, code: i32, line: &str) -> String {
        let output = self.command(&["-ec", line]);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{line}\n{}",
            both(&output)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a script of tests/walk/by-hand prints, which must succeed.
    pub fn run_script(&self, name: &str) -> String {
        let script = std::env::current_dir()
            .unwrap()
            .join("tests/walk/by-hand")
            .join(name);
        let output = self.command(&[script.to_str().unwrap()]);
        assert!(output.status.success(), "{name}\n{}", both(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Output {
        Command::new("/bin/sh")
            .args(arguments)
            .current_dir(&self.home)
            .env_clear()
            .envs(self.variables.iter().cloned())
            .output()
            .unwrap()
    }
}

fn both(output: &Output) -> String {
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{}\n{stdout}{stderr}", output.status)
}

fn path() -> String {
    let root = std::env::current_dir().unwrap();
    let mut folders: Vec<PathBuf> = Vec::new();
    for tool in TOOLS {
        let tool = root.join(tool);
        assert!(
            tool.exists(),
            "{} is missing: run `make walk`",
            tool.display()
        );
        folders.push(tool.parent().unwrap().to_owned());
    }
    folders.push(
        Path::new(env!("CARGO_BIN_EXE_identity-injector"))
            .parent()
            .unwrap()
            .to_owned(),
    );
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&inherited));
    std::env::join_paths(folders)
        .unwrap()
        .into_string()
        .unwrap()
}
