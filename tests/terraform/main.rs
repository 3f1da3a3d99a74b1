//! The Terraform that setup emits, run by the real OpenTofu and the real azurerm provider against the simulated Azure:
//! `make terraform`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../setup/whole/scene.rs"]
#[allow(dead_code, reason = "another suite needs the rest of it")]
mod scene;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use identity_injector::azure::arm::assignment_name;
use identity_injector::setup::emit::{Format, emit};
use identity_injector::setup::plan::Plan;
use identity_injector::setup::step::Step;
use identity_injector::setup::{config, look};
use reqwest::Method;
use serde_json::json;
use support::arm;
use tokio::process::Command;

use scene::{Case, Death, Scene, fuse};

/// What some language gives a meaning to.
const AUDIENCE: &str = "api://it's-\"a\"-${b}-$${c}-%{d}-\\e-`f`-$(g)-//h";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

#[tokio::test]
async fn makes_what_the_plan_says_and_setup_takes_it_for_its_own() {
    // Two writes to one identity at once are refused.
    let lags = simazure::Lags {
        write: Duration::from_millis(300),
        ..simazure::Lags::default()
    };
    let scene = Scene::start_with(lags).await;
    let case = case(&scene, "fresh");
    let module = Module::of(&case, &plan(&case).await);
    for arguments in ["fmt -check -diff", "validate", "apply -auto-approve"] {
        module.tofu(arguments, 0).await;
    }
    module.tofu("plan -detailed-exitcode", 0).await;
    let journal = scene.azure.journal();
    let refused = journal
        .iter()
        .filter_map(|entry| entry.details.error.clone());
    let refused: Vec<_> = refused
        .filter(|error| error.starts_with("Concurrent"))
        .collect();
    assert_eq!(refused, Vec::<String>::new());

    let rest = plan(&case).await;
    assert_eq!(
        steps(&rest),
        [
            "create ServiceAccount fresh/sa",
            "annotate ServiceAccount fresh/old",
            "create ServiceAccount fresh/sb"
        ]
    );
    assert_eq!(rest.adopted, []);
    let Some(Step::AnnotateServiceAccount { ids: Some(ids), .. }) = rest.steps.first() else {
        panic!("{rest:?}");
    };
    let group = group(&case);
    let name = assignment_name(&group, &ids.principal_id, READER);
    let path = format!("{group}/providers/Microsoft.Authorization/roleAssignments/{name}");
    arm(&scene.azure, Method::GET, &path, None).await;

    module.tofu("destroy -auto-approve", 0).await;
    assert_eq!(plan(&case).await.steps.len(), 10);
}

#[tokio::test]
async fn takes_what_is_there_as_it_is_and_corrects_an_audience() {
    let scene = Scene::start().await;
    let case = case(&scene, "there");
    let group = group(&case);
    let identity =
        format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/idB");
    let issuer = plan(&case).await.steps.iter().find_map(|step| match step {
        Step::CreateFederatedCredential { trust, .. } => Some(trust.issuer.clone()),
        _ => None,
    });
    let theirs = json!({"properties": {"issuer": issuer, "subject": "system:serviceaccount:there:sb",
        "audiences": ["api://other"]}});
    let location = json!({"location": "westus2"});
    for (path, body) in [
        (group.clone(), &location),
        (identity.clone(), &location),
        (
            format!("{identity}/federatedIdentityCredentials/theirs"),
            &theirs,
        ),
    ] {
        arm(&scene.azure, Method::PUT, &path, Some(body.clone())).await;
    }
    let first = plan(&case).await;
    assert!(steps(&first).contains(&"update FederatedCredential idB/theirs".to_owned()));
    let module = Module::of(&case, &first);
    module.tofu("validate", 0).await;
    let said = module.tofu("apply -auto-approve", 0).await;
    assert!(
        said.contains("1 imported, 4 added, 1 changed, 0 destroyed"),
        "{said}"
    );
    module.tofu("plan -detailed-exitcode", 0).await;
    let rest = steps(&plan(&case).await);
    assert!(
        rest.iter().all(|step| step.contains("ServiceAccount")),
        "{rest:?}"
    );
}

fn case<'a>(scene: &'a Scene, name: &str) -> Case<'a> {
    let mut case = scene.case(name);
    let audience = AUDIENCE.replace('\'', "''");
    let text = format!("audience: '{audience}'\n{}", case.text);
    case.desired = config::parse(&text).unwrap();
    case
}

async fn plan(case: &Case<'_>) -> Plan {
    let (arm, cluster) = case.clients(&fuse(Death::Never)).await;
    look(&case.desired, &arm, &cluster).await.unwrap()
}

fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(ToString::to_string).collect()
}

fn group(case: &Case<'_>) -> String {
    let subscription = case.scene.azure.subscription;
    format!("/subscriptions/{subscription}/resourceGroups/{}", case.name)
}

/// A folder with an emitted module, in which tofu runs.
struct Module<'a> {
    scene: &'a Scene,
    folder: tempfile::TempDir,
}

impl<'a> Module<'a> {
    fn of(case: &Case<'a>, plan: &Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = emit(plan, &case.desired, Format::Terraform);
        std::fs::write(folder.path().join("setup.tf"), text).unwrap();
        let provider = built("").display().to_string();
        let overrides = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"hashicorp/azurerm\" = \"{provider}\"\n  }}\n}}\n"
        );
        std::fs::write(folder.path().join("tofurc"), overrides).unwrap();
        let scene = case.scene;
        Self { scene, folder }
    }

    /// Runs tofu, which must end with this code; what it printed.
    async fn tofu(&self, arguments: &str, code: i32) -> String {
        let azure = &self.scene.azure;
        let host = azure
            .arm
            .trim_start_matches("https://")
            .trim_end_matches('/');
        let output = Command::new(built("tofu"))
            .args(arguments.split(' '))
            .current_dir(self.folder.path())
            .env_clear()
            .env("TF_CLI_CONFIG_FILE", self.folder.path().join("tofurc"))
            .env("TF_CLI_ARGS", "-no-color")
            .env("TF_INPUT", "false")
            .env("SSL_CERT_FILE", &azure.ca_file)
            .env("ARM_METADATA_HOSTNAME", host)
            .env("ARM_TENANT_ID", azure.tenant)
            .env("ARM_CLIENT_ID", azure.client_id)
            .env("ARM_CLIENT_SECRET", azure.client_secret)
            .output()
            .await
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(output.status.code(), Some(code), "tofu {arguments}: {said}");
        said
    }
}

/// What `make terraform` built.
fn built(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/terraform")
        .join(name);
    assert!(
        path.exists(),
        "{}: is built by `make terraform`",
        path.display()
    );
    path
}
