//! The node's IMDS, the journal, and the end of a simulation.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod scene;

use reqwest::Method;
use scene::Scene;
use serde_json::{Value, json};
use simazure::journal::{Entry, Listener};
use simazure::jwt::Jwt;
use simazure::{NODE_CLIENT_ID, NODE_NAME, Options};

const TOKEN: &str = "/metadata/identity/oauth2/token";

#[tokio::test]
async fn answers_as_the_node_and_keeps_count() {
    let scene = Scene::start(Options::default());
    let version = "api-version=2018-02-01";
    let vault = "resource=https://vault.azure.net";
    let table = [
        (
            "good",
            Method::GET,
            format!("{TOKEN}?{version}&{vault}"),
            Some("Metadata"),
            200,
        ),
        (
            "no header",
            Method::GET,
            format!("{TOKEN}?{version}&{vault}"),
            None,
            400,
        ),
        (
            "no version",
            Method::GET,
            format!("{TOKEN}?{vault}"),
            Some("Metadata"),
            400,
        ),
        (
            "no resource",
            Method::GET,
            format!("{TOKEN}?{version}"),
            Some("Metadata"),
            400,
        ),
        (
            "POST",
            Method::POST,
            format!("{TOKEN}?{version}&{vault}"),
            Some("Metadata"),
            405,
        ),
        (
            "instance",
            Method::GET,
            format!("/metadata/instance?{version}"),
            None,
            200,
        ),
    ];
    for (case, method, path, header, expected) in &table {
        let mut request = scene.client.request(
            method.clone(),
            format!("{}{path}", scene.simulation.node_imds),
        );
        if let Some(header) = header {
            request = request.header(*header, "true");
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), *expected, "{case}");
        let body: Value = response.json().await.unwrap();
        match *case {
            "good" => {
                let token = Jwt::parse(body["access_token"].as_str().unwrap()).unwrap();
                assert_eq!(token.text("appid"), NODE_CLIENT_ID);
                assert_eq!(token.audiences(), ["https://vault.azure.net"]);
                let strings = body.as_object().unwrap().values().all(Value::is_string);
                assert!(strings, "every value is a string: {body}");
            }
            "instance" => assert_eq!(body["compute"]["name"], NODE_NAME),
            _ => assert_eq!(body["error"], "invalid_request", "{case}"),
        }
    }
    let seen: Vec<_> = scene
        .simulation
        .journal()
        .into_iter()
        .map(|entry| (entry.listener, entry.method, entry.path, entry.status))
        .collect();
    let expected: Vec<_> = table
        .into_iter()
        .map(|(_, method, path, _, status)| (Listener::Imds, method.to_string(), path, status))
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn journal_over_http() {
    let scene = Scene::start(Options::default());
    scene.admin_token("https://vault.azure.net/.default").await;
    let url = format!("{}/simulator/journal", scene.simulation.arm);
    let text = scene
        .client
        .get(&url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(!text.contains(scene.simulation.client_secret), "{text}");
    let entries: Vec<Entry> = serde_json::from_str(&text).unwrap();
    assert_eq!(entries, scene.simulation.journal());
    let kept = json!([
        entries[0].method,
        entries[0].status,
        entries[0].details.grant
    ]);
    assert_eq!(kept, json!(["POST", 200, "client_secret"]));
    let cleared = scene.client.delete(&url).send().await.unwrap();
    assert_eq!(cleared.status().as_u16(), 204);
    assert_eq!(scene.simulation.journal(), []);
}

#[test]
fn stops_on_drop() {
    let simulation = simazure::start(Options::default()).unwrap();
    let address = simulation
        .node_imds
        .trim_start_matches("http://")
        .to_owned();
    let file = simulation.ca_file.clone();
    assert!(file.is_file());
    assert!(std::net::TcpStream::connect(&address).is_ok());
    drop(simulation);
    assert!(!file.exists());
    assert!(std::net::TcpStream::connect(&address).is_err());
}

#[test]
fn taken_address_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap();
    let error = simazure::start(Options {
        bind,
        ..Options::default()
    })
    .unwrap_err();
    assert!(error.to_string().contains(&bind.to_string()), "{error}");
}
