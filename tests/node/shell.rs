//! The shell of whoever installs: the real kubectl and helm, and the README's commands. Its `manifests/base` is an overlay
//! of ours that names the simulated Azure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const TOOLS: [&str; 2] = ["tests/cluster/bin/kubectl", "tests/chart/bin/helm"];
const IMAGE: &str = "ghcr.io/identity-injector/identity-injector";

#[derive(Clone)]
pub struct Shell {
    home: PathBuf,
    kubeconfig: PathBuf,
    tenant: String,
    authority: String,
}

impl Shell {
    pub fn new(home: &Path, kubeconfig: &Path, azure: &simazure::Simulation) -> Self {
        let shell = Shell {
            home: home.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            tenant: azure.tenant.to_owned(),
            authority: azure.authority.clone(),
        };
        let copy = "cp -r manifests $HOME/sources; mkdir $HOME/manifests; cp -r manifests/chart $HOME/manifests";
        shell.run_in(&std::env::current_dir().unwrap(), copy);
        shell.give_overlay("manifests/base", "../../sources/base");
        shell.give_values(&json!({}));
        shell
    }

    /// Puts the manifests there of the last commit in which they were others; in a shallow clone, these but for one number.
    pub fn give_previous(&self) {
        let previous = "for commit in $(git rev-list HEAD -- manifests); do \
             git diff --quiet $commit -- manifests || break; done; \
             mkdir $HOME/previous; \
             if git diff --quiet $commit -- manifests; then \
             cp -r manifests $HOME/previous; \
             sed -i 's/PeriodSeconds: 30/PeriodSeconds: 31/' $HOME/previous/manifests/base/deployment.yaml; \
             echo 'a shallow clone, which has no others: these, with another grace period'; \
             else git archive $commit manifests | tar -x -C $HOME/previous; echo $commit; fi";
        let commit = self.run_in(&std::env::current_dir().unwrap(), previous);
        println!("       from the manifests of {}", commit.trim());
        self.give_overlay("previous/base", "../manifests/base");
    }

    /// An overlay over `resource` that names the simulated Azure, and the image there is.
    fn give_overlay(&self, folder: &str, resource: &str) {
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "identity-injector", "namespace": "identity-injector-system"},
            "spec": {"template": {"spec": {"containers": [{"name": "webhook", "env": [
                {"name": "AZURE_TENANT_ID", "value": self.tenant},
                {"name": "AZURE_AUTHORITY_HOST", "value": self.authority},
            ]}]}}},
        });
        let overlay = json!({
            "resources": [resource],
            "images": [{"name": IMAGE, "newTag": env!("CARGO_PKG_VERSION")}],
            "patches": [{"patch": deployment.to_string()}],
        });
        self.give(&format!("{folder}/kustomization.yaml"), &overlay);
    }

    /// Writes values.yaml: the simulated Azure's, and these.
    pub fn give_values(&self, others: &Value) {
        let mut values =
            json!({"azure": {"tenantId": self.tenant, "authorityHost": self.authority}});
        json_patch::merge(&mut values, others);
        self.give("values.yaml", &values);
    }

    fn give(&self, name: &str, content: &Value) {
        let file = self.home.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content.to_string()).unwrap();
    }

    /// What a command line prints, which must succeed.
    pub fn run(&self, line: &str) -> String {
        self.run_in(&self.home, line)
    }

    /// The same, while others go on.
    pub async fn run_beside(&self, line: &str) -> String {
        let (shell, line) = (self.clone(), line.to_owned());
        let printed = tokio::task::spawn_blocking(move || shell.run(&line));
        printed.await.unwrap()
    }

    fn run_in(&self, folder: &Path, line: &str) -> String {
        let output = Command::new("/bin/sh")
            .args(["-ec", line])
            .current_dir(folder)
            .stdin(Stdio::null())
            .env("HOME", &self.home)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PATH", path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}\n{said}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn path() -> std::ffi::OsString {
    let mut folders: Vec<PathBuf> = Vec::new();
    for tool in TOOLS {
        let tool = Path::new(tool).canonicalize();
        let tool = tool.unwrap_or_else(|_| panic!("{TOOLS:?} are not built: run `make e2e-node`"));
        folders.push(tool.parent().unwrap().to_owned());
    }
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&inherited));
    std::env::join_paths(folders).unwrap()
}

/// The blocks of commands in the README's section about installing: by kustomize, then by Helm. The last of each removes.
pub fn readme() -> [Vec<String>; 2] {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let mut sections = readme.split("\n## ");
    let section = sections.find(|it| it.starts_with("Install\n")).unwrap();
    let commands = |block: &str| -> Vec<String> {
        let lines = block.lines().filter_map(|line| line.strip_prefix("    "));
        lines.map(str::to_owned).collect()
    };
    let blocks = section.split("\n\n").map(commands);
    let blocks: Vec<_> = blocks.filter(|commands| !commands.is_empty()).collect();
    blocks.try_into().unwrap()
}
