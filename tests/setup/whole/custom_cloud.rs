//! `--cloud` with an address: the binary asks it where the cloud's services are.

use std::process::Output;

use super::scene::{Case, Scene};

impl Case<'_> {
    /// `setup plan` by the binary, in this cloud.
    async fn plan_in(&self, cloud: &str) -> Output {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("setup.yaml");
        std::fs::write(&config, &self.text).unwrap();
        let mut plan = self.scene.setup("plan", &config, "cloud-ledger");
        plan.env("AZURE_ENVIRONMENT", cloud).output().await.unwrap()
    }
}

#[tokio::test]
async fn is_asked_where_its_services_are() {
    let scene = Scene::start().await;
    let case = scene.case("cloud");
    let arm = scene.azure.arm.trim_end_matches('/');
    let page = "GET /metadata/endpoints?api-version=2022-09-01";
    // the cloud, the exit code and what is said
    let table = [
        (
            arm.to_owned(),
            1,
            "create    ManagedIdentity      idA ".to_owned(),
        ),
        (
            format!("{arm}/base"),
            2,
            format!(
                "--cloud (AZURE_ENVIRONMENT): cloud {arm}/base: {page} answered HTTP 401: is this a Resource Manager's"
            ),
        ),
        (
            "https://127.0.0.1:1".to_owned(),
            2,
            "--cloud (AZURE_ENVIRONMENT): cloud https://127.0.0.1:1: no answer: ".to_owned(),
        ),
        (
            "http://arm.test".to_owned(),
            64,
            "'http://arm.test' for '--cloud <CLOUD>': \"http://arm.test\": must be https://"
                .to_owned(),
        ),
    ];
    for (cloud, code, said) in table {
        let output = case.plan_in(&cloud).await;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(&said), "{said:?} not in {text}");
        assert_eq!(output.status.code(), Some(code), "{text}");
    }
}
