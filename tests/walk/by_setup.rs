//! The ways by setup: the README's commands, and the script that setup emits.

use crate::end::{diff, without_tenant_id};
use crate::world::World;

const REMOVAL: &str = "identity-injector setup destroy";

/// The commands of the README's setup section, a line each.
fn readme() -> Vec<String> {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let section = readme
        .split("\n## ")
        .find(|it| it.starts_with("Set up the identity\n"));
    let lines = section.unwrap().lines();
    lines
        .filter_map(|line| line.strip_prefix("    "))
        .map(str::to_owned)
        .collect()
}

impl World {
    pub async fn readme_leads_to_a_token(&self) {
        self.nothing_is_there().await;
        let commands = readme();
        let ran = commands.join("\n");
        for command in ["plan", "emit az", "apply", "verify", "destroy"] {
            let command = format!("identity-injector setup {command} --config setup.yaml ");
            assert_eq!(ran.matches(&command).count(), 1, "{command}");
        }
        for line in commands
            .iter()
            .take_while(|line| !line.starts_with(REMOVAL))
        {
            // There are steps, says its exit code.
            let code = i32::from(line.starts_with("identity-injector setup plan "));
            self.reader.run_expecting(code, line);
        }
        self.by_setup.set(self.end().await).unwrap();
    }

    pub async fn ends_are_alike(&self) {
        let by_hand = self.by_hand.get().unwrap();
        let by_setup = without_tenant_id(self.by_setup.get().unwrap(), self.azure.tenant);
        if let Some(diff) = diff(by_hand, &by_setup) {
            panic!("- by hand, + by setup\n{diff}");
        }
    }

    /// The check before this one can fail.
    pub fn difference_is_shown(&self) {
        let end = self.by_setup.get().unwrap();
        let issuer = end["identities"][0]["federatedCredentials"][0]["issuer"]
            .as_str()
            .unwrap();
        let slashed = format!("{issuer}/");
        let mut other = end.clone();
        other["identities"][0]["federatedCredentials"][0]["issuer"] = slashed.as_str().into();
        let shown = diff(end, &other).unwrap();
        let changed: Vec<&str> = shown
            .lines()
            .filter(|line| line.starts_with(['-', '+']))
            .map(|line| line[1..].trim())
            .collect();
        assert_eq!(
            changed,
            [
                format!("\"issuer\": \"{issuer}\","),
                format!("\"issuer\": \"{slashed}\",")
            ]
        );
    }

    pub async fn readme_destroys(&self) {
        for line in readme()
            .iter()
            .skip_while(|line| !line.starts_with(REMOVAL))
        {
            self.reader.run(line);
        }
        // Setup makes no namespaces, so it removes none.
        let left = self
            .api
            .get("/api/v1/namespaces/walk/serviceaccounts/workload-identity-sa")
            .await;
        assert_eq!(left["code"], 404, "{left}");
        self.reader
            .run("kubectl delete namespace walk identity-injector-system");
        self.nothing_is_there().await;
    }

    /// The README's reader kept the script before anything was there.
    pub async fn emitted_script_ends_alike(&self) {
        for line in readme()
            .iter()
            .filter(|line| line.starts_with("kubectl create") || line.starts_with("kubectl label"))
        {
            self.hand.run(line);
        }
        self.hand.give("setup.sh", &self.reader.run("cat setup.sh"));
        // The simulated Azure knows a new identity everywhere at once.
        self.hand.run("sleep() { :; }; . ./setup.sh");
        self.hand
            .run("kubectl apply --namespace walk --filename pod.yaml");
        if let Some(diff) = diff(self.by_setup.get().unwrap(), &self.end().await) {
            panic!("- by setup apply, + by the emitted script\n{diff}");
        }
        self.hand.run("kubectl delete namespace walk identity-injector-system; az group delete --yes --name myResourceGroup");
        self.nothing_is_there().await;
    }
}
