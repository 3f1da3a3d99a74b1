//! Resource Manager: who may ask, and what groups, identities, credentials and clusters answer.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod scene;

use reqwest::Method;
use scene::{AUDIENCE, Scene};
use serde_json::{Value, json};
use simazure::{Cluster, Options};

const ARM: &str = "https://management.azure.com/.default";
const PROVIDER: &str = "providers/Microsoft.ManagedIdentity/userAssignedIdentities";

#[tokio::test]
async fn who_may_ask() {
    let scene = Scene::start(Options::default());
    let other = Scene::start(Options::default());
    let good = scene.admin_token(ARM).await;
    let vault = scene.admin_token("https://vault.azure.net/.default").await;
    let foreign = other.admin_token(ARM).await;
    let mut bearers = vec![
        ("no header", None, 401),
        ("no JWT", Some("abc".to_owned()), 401),
        ("other audience", Some(vault), 401),
        ("signed elsewhere", Some(foreign), 401),
        ("good", Some(good), 200),
    ];
    for scope in [
        "https://management.azure.com//.default",
        "https://management.core.windows.net/.default",
        "https://management.core.windows.net//.default",
    ] {
        bearers.push((scope, Some(scene.admin_token(scope).await), 200));
    }
    for (case, token, expected) in bearers {
        let url = format!(
            "{}/subscriptions?api-version=2022-12-01",
            scene.simulation.arm
        );
        let mut request = scene.client.get(url);
        if let Some(token) = &token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{case}");
        let challenged = response.headers().contains_key("www-authenticate");
        assert_eq!(challenged, expected == 401, "{case}");
        if expected == 401 {
            let body: Value = response.json().await.unwrap();
            assert_eq!(
                body["error"]["code"], "InvalidAuthenticationToken",
                "{case}"
            );
        }
    }
}

#[tokio::test]
async fn api_version_and_correlation() {
    let scene = Scene::start(Options::default());
    let token = scene.admin_token(ARM).await;
    let url = format!("{}/subscriptions", scene.simulation.arm);
    let id = "11111111-2222-4333-8444-555555555555";
    let response = scene
        .client
        .get(&url)
        .bearer_auth(&token)
        .header("x-ms-correlation-request-id", id)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 400);
    assert_eq!(response.headers()["x-ms-correlation-request-id"], id);
    assert_ne!(response.headers()["x-ms-request-id"], id);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], "MissingApiVersionParameter");
}

#[tokio::test]
async fn discovery_needs_no_token() {
    let scene = Scene::start(Options::default());
    let url = format!(
        "{}/metadata/endpoints?api-version=2022-09-01",
        scene.simulation.arm
    );
    let body: Value = scene
        .client
        .get(url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        body["authentication"]["loginEndpoint"],
        json!(scene.simulation.arm)
    );
    assert_eq!(
        body["authentication"]["audiences"][0],
        "https://management.core.windows.net/"
    );
    assert!(body["suffixes"].is_object() && body["name"].is_string());
}

/// One step of a walk: method, path under the subscription, body, expected status and error code ("" for none).
type Step<'s> = (Method, String, Value, u16, &'s str);

/// Walks the steps in order and returns the last body.
async fn walk(scene: &Scene, steps: Vec<Step<'_>>) -> Value {
    let token = scene.admin_token(ARM).await;
    let mut last = Value::Null;
    for (method, path, body, status, code) in steps {
        let whole = format!("{}{path}", scene.subscription());
        let (actual, answer) = scene.arm(&token, method.clone(), &whole, &body).await;
        let case = format!("{method} {path} {body}: {answer}");
        assert_eq!(actual, status, "{case}");
        assert_eq!(
            answer["error"]["code"].as_str().unwrap_or_default(),
            code,
            "{case}"
        );
        last = answer;
    }
    last
}

#[tokio::test]
async fn resource_groups() {
    let scene = Scene::start(Options::default());
    let rg = || "/resourcegroups/Rg".to_owned();
    let west = || json!({"location": "West US 2", "tags": {"a": "1"}});
    let last = walk(
        &scene,
        vec![
            (Method::GET, rg(), Value::Null, 404, "ResourceGroupNotFound"),
            (Method::HEAD, rg(), Value::Null, 404, ""),
            (Method::PUT, rg(), json!({}), 400, "LocationRequired"),
            (
                Method::PUT,
                format!("/resourcegroups/{}", "g".repeat(91)),
                west(),
                400,
                "InvalidResourceGroup",
            ),
            (Method::PUT, rg(), west(), 201, ""),
            (Method::PUT, rg(), west(), 200, ""),
            (
                Method::PUT,
                rg(),
                json!({"location": "eastus"}),
                409,
                "InvalidResourceGroupLocation",
            ),
            (
                Method::HEAD,
                "/RESOURCEGROUPS/rG".to_owned(),
                Value::Null,
                204,
                "",
            ),
            (Method::POST, rg(), json!({}), 405, "MethodNotAllowed"),
            (
                Method::GET,
                "/resourceGroups/RG".to_owned(),
                Value::Null,
                200,
                "",
            ),
        ],
    )
    .await;
    let id = format!("{}/resourceGroups/Rg", scene.subscription());
    assert_eq!(
        last,
        json!({
            "id": id,
            "name": "Rg",
            "type": "Microsoft.Resources/resourceGroups",
            "location": "westus2",
            "tags": {"a": "1"},
            "properties": {"provisioningState": "Succeeded"},
        })
    );
    let untagged = json!({"location": "westus2"});
    let last = walk(&scene, vec![(Method::PUT, rg(), untagged, 200, "")]).await;
    assert_eq!(last["tags"], json!({}));
}

#[tokio::test]
async fn identities() {
    let scene = Scene::start(Options::default());
    let all = || format!("/resourceGroups/rg/{PROVIDER}");
    let id = |name: &str| format!("/resourceGroups/rg/{PROVIDER}/{name}");
    let west = || json!({"location": "westus2"});
    let first = walk(
        &scene,
        vec![
            (Method::PUT, id("me"), west(), 404, "ResourceGroupNotFound"),
            (
                Method::GET,
                all(),
                Value::Null,
                404,
                "ResourceGroupNotFound",
            ),
            (
                Method::PUT,
                "/resourceGroups/rg".to_owned(),
                west(),
                201,
                "",
            ),
            (Method::GET, id("me"), Value::Null, 404, "ResourceNotFound"),
            (Method::PUT, id("me"), json!({}), 400, "LocationRequired"),
            (
                Method::PUT,
                id("Me"),
                json!({"location": "West US 2"}),
                201,
                "",
            ),
        ],
    )
    .await;
    for key in ["clientId", "principalId", "tenantId"] {
        assert_eq!(
            first["properties"][key].as_str().map(str::len),
            Some(36),
            "{key}: {first}"
        );
    }
    assert_eq!(first["properties"]["tenantId"], scene.simulation.tenant);
    let again = walk(
        &scene,
        vec![
            (
                Method::PUT,
                id("me"),
                json!({"location": "eastus"}),
                409,
                "InvalidResourceLocation",
            ),
            (Method::PUT, id("ME"), west(), 200, ""),
        ],
    )
    .await;
    assert_eq!(again, first, "a second PUT keeps name, ids and all");
    for list in [all(), format!("/{PROVIDER}")] {
        let body = walk(&scene, vec![(Method::GET, list, Value::Null, 200, "")]).await;
        assert_eq!(body, json!({"value": [first]}));
    }
    let second = walk(
        &scene,
        vec![
            (Method::DELETE, id("me"), Value::Null, 200, ""),
            (Method::DELETE, id("me"), Value::Null, 204, ""),
            (Method::PUT, id("Me"), west(), 201, ""),
        ],
    )
    .await;
    assert_ne!(
        second["properties"]["clientId"],
        first["properties"]["clientId"]
    );
}

fn credential(issuer: &str, subject: &str) -> Value {
    json!({"properties": {"issuer": issuer, "subject": subject, "audiences": [AUDIENCE]}})
}

#[tokio::test]
async fn federated_credentials() {
    let scene = Scene::start(Options::default());
    let token = scene.admin_token(ARM).await;
    scene.identity(&token, "me").await;
    let all = || format!("/resourceGroups/rg/{PROVIDER}/me/federatedIdentityCredentials");
    let fic = |name: &str| format!("{}/{name}", all());
    let orphan = format!("/resourceGroups/rg/{PROVIDER}/nobody/federatedIdentityCredentials");
    let good = || credential("https://i/", "s");
    let mut two = good();
    two["properties"]["audiences"] = json!(["a", "b"]);
    let last = walk(
        &scene,
        vec![
            (
                Method::GET,
                orphan.clone(),
                Value::Null,
                404,
                "ParentResourceNotFound",
            ),
            (
                Method::PUT,
                format!("{orphan}/fic"),
                good(),
                404,
                "ParentResourceNotFound",
            ),
            (
                Method::GET,
                fic("fic"),
                Value::Null,
                404,
                "ResourceNotFound",
            ),
            (Method::PUT, fic("f"), good(), 400, "BadRequest"),
            (
                Method::PUT,
                fic("fic"),
                credential("", "s"),
                400,
                "BadRequest",
            ),
            (
                Method::PUT,
                fic("fic"),
                credential("http://i/", "s"),
                400,
                "BadRequest",
            ),
            (Method::PUT, fic("fic"), two, 400, "BadRequest"),
            (Method::PUT, fic("Fic"), good(), 201, ""),
            (Method::PUT, fic("fic"), good(), 200, ""),
            (
                Method::PUT,
                fic("other"),
                credential("https://i", "s"),
                201,
                "",
            ),
            (
                Method::PUT,
                fic("other"),
                credential("https://i/", "S"),
                200,
                "",
            ),
            (Method::PUT, fic("third"), good(), 409, "Conflict"),
            (Method::PUT, fic("other"), good(), 409, "Conflict"),
            (Method::DELETE, fic("OTHER"), Value::Null, 200, ""),
            (Method::DELETE, fic("other"), Value::Null, 204, ""),
            (Method::GET, all(), Value::Null, 200, ""),
        ],
    )
    .await;
    // The provider writes the group's segment in lower case, whatever was asked.
    let id = format!(
        "{}{}",
        scene.subscription(),
        fic("Fic").replace("resourceGroups", "resourcegroups")
    );
    assert_eq!(
        last,
        json!({"value": [{
            "id": id,
            "name": "Fic",
            "type": "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
            "properties": {"issuer": "https://i/", "subject": "s", "audiences": [AUDIENCE]},
        }]})
    );
    let duplicate = walk(
        &scene,
        vec![(Method::PUT, fic("third"), good(), 409, "Conflict")],
    )
    .await;
    assert_eq!(
        duplicate["error"]["message"],
        "Issuer and subject combination already exists for this Managed Identity."
    );
}

#[tokio::test]
async fn twenty_credentials_and_no_more() {
    let scene = Scene::start(Options::default());
    let token = scene.admin_token(ARM).await;
    scene.identity(&token, "me").await;
    let fic = |number: u32| {
        format!("/resourceGroups/rg/{PROVIDER}/me/federatedIdentityCredentials/fic-{number}")
    };
    let numbered = |number: u32| credential("https://i/", &number.to_string());
    let mut steps: Vec<Step<'_>> = (0..20)
        .map(|number| (Method::PUT, fic(number), numbered(number), 201, ""))
        .collect();
    steps.push((Method::PUT, fic(20), numbered(20), 400, "BadRequest"));
    steps.push((Method::PUT, fic(3), numbered(20), 200, ""));
    walk(&scene, steps).await;
}

#[tokio::test]
async fn clusters() {
    let issuer = "https://westus2.oic.example.test/Tenant/Guid/";
    let scene = Scene::start(Options {
        clusters: vec![Cluster {
            resource_group: "rg".to_owned(),
            name: "aks".to_owned(),
            issuer: issuer.to_owned(),
            ..Cluster::default()
        }],
        ..Options::default()
    });
    let path = |name: &str| {
        format!("/resourceGroups/RG/providers/microsoft.containerservice/managedClusters/{name}")
    };
    let last = walk(
        &scene,
        vec![
            (
                Method::GET,
                path("none"),
                Value::Null,
                404,
                "ResourceNotFound",
            ),
            (
                Method::GET,
                "/providers/Microsoft.Other/things".to_owned(),
                Value::Null,
                404,
                "InvalidResourceType",
            ),
            (Method::GET, path("AKS"), Value::Null, 200, ""),
        ],
    )
    .await;
    assert_eq!(last["properties"]["oidcIssuerProfile"]["issuerURL"], issuer);
}

#[tokio::test]
async fn other_subscription_and_bad_body() {
    let scene = Scene::start(Options::default());
    let token = scene.admin_token(ARM).await;
    let path = "/subscriptions/00000000-0000-4000-8000-000000000000/resourcegroups/rg";
    let (status, body) = scene.arm(&token, Method::GET, path, &Value::Null).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (404, &json!("SubscriptionNotFound"))
    );
    let url = format!(
        "{}{}/resourcegroups/rg?api-version=1",
        scene.simulation.arm,
        scene.subscription()
    );
    let response = scene
        .client
        .put(url)
        .bearer_auth(&token)
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 400);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], "InvalidRequestContent");
}
