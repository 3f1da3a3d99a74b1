//! Steps against a standing clock: each row is one call, or time that passes.

use std::time::{Duration, SystemTime};

use reqwest::{Method, Response};
use serde_json::{Value, json};
use simazure::{Clock, Options};

use super::{AUDIENCE, Scene};

pub const GROUP: &str = "/resourceGroups/rg";
pub const IDENTITY: &str =
    "/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities";
pub const CLUSTER: &str =
    "/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks";
pub const ROLES: &str = "/providers/Microsoft.Authorization/roleAssignments";

/// One row of a table.
pub enum Step {
    /// Lets so many seconds pass.
    Pass(u64),
    /// A call under the subscription: method, path, body, and the status and error code ("" for none) it must get.
    Call(Method, String, Value, u16, &'static str),
}

/// A simulation whose clock stands, with these options besides, group `rg` and the administrator's token.
pub struct Act {
    pub scene: Scene,
    pub token: String,
}

impl Act {
    pub async fn start(options: Options) -> Self {
        let scene = Scene::start(Options {
            clock: Clock::standing(SystemTime::now()),
            ..options
        });
        let token = scene
            .admin_token("https://management.azure.com/.default")
            .await;
        let act = Self { scene, token };
        let made = act.send(Method::PUT, GROUP, &west(), &[]).await;
        assert!(made.status().is_success());
        act
    }

    pub fn pass(&self, seconds: u64) {
        self.scene.simulation.advance(Duration::from_secs(seconds));
    }

    /// Sends one call, path under the subscription (a query may follow), with these headers.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Response {
        let sep = if path.contains('?') { '&' } else { '?' };
        let url = format!(
            "{}{}{path}{sep}api-version=2024-11-30",
            self.scene.simulation.arm,
            self.scene.subscription()
        );
        self.get_or_put(method, &url, body, headers).await.unwrap()
    }

    /// Sends one call to a whole URL.
    pub async fn get_or_put(
        &self,
        method: Method,
        url: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Response> {
        let mut request = self
            .scene
            .client
            .request(method, url)
            .bearer_auth(&self.token);
        if !body.is_null() {
            request = request.json(body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await
    }

    /// Walks the rows; the last body.
    pub async fn walk(&self, steps: Vec<Step>) -> Value {
        let mut last = Value::Null;
        for (index, step) in steps.into_iter().enumerate() {
            match step {
                Step::Pass(seconds) => self.pass(seconds),
                Step::Call(method, path, body, status, code) => {
                    let case = format!("row {}: {method} {path} {body}", index + 1);
                    let response = self.send(method, &path, &body, &[]).await;
                    let actual = response.status().as_u16();
                    let bytes = response.bytes().await.unwrap();
                    last = serde_json::from_slice(&bytes).unwrap_or_default();
                    let found = last["error"]["code"].as_str().unwrap_or_default();
                    assert_eq!((actual, found), (status, code), "{case}: {last}");
                }
            }
        }
        last
    }
}

pub fn west() -> Value {
    json!({"location": "westus2"})
}

pub fn identity(name: &str) -> String {
    format!("{IDENTITY}/{name}")
}

pub fn fic(identity: &str, name: &str) -> String {
    format!("{IDENTITY}/{identity}/federatedIdentityCredentials/{name}")
}

pub fn credential(subject: &str) -> Value {
    json!({"properties": {"issuer": "https://i/", "subject": subject, "audiences": [AUDIENCE]}})
}

pub fn put(path: impl Into<String>, body: Value, status: u16, code: &'static str) -> Step {
    Step::Call(Method::PUT, path.into(), body, status, code)
}

pub fn get(path: impl Into<String>, status: u16, code: &'static str) -> Step {
    Step::Call(Method::GET, path.into(), Value::Null, status, code)
}

pub fn delete(path: impl Into<String>, status: u16, code: &'static str) -> Step {
    Step::Call(Method::DELETE, path.into(), Value::Null, status, code)
}
