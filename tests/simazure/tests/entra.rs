//! The token endpoint: every refusal and what brings it about, and the two ways in.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod scene;

use reqwest::Method;
use scene::{Issuer, Scene, now};
use serde_json::{Value, json};
use simazure::journal::Details;
use simazure::jwt::{Jwt, SigningKey};
use simazure::{Options, UNKNOWN_RESOURCE};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const SCOPE: &str = "https://vault.azure.net/.default";
const ARM: &str = "https://management.azure.com/.default";

/// A scene with identity `one`, federated with the issuer and with one that nobody serves; and `bare`, not federated.
struct Federated {
    scene: Scene,
    issuer: Issuer,
    one: String,
    bare: String,
}

/// Port 1 of loopback, where nothing listens.
const NOBODY: &str = "https://localhost:1/";

async fn federated() -> Federated {
    let issuer = Issuer::start();
    let scene = Scene::start(Options {
        issuer_cas: vec![issuer.ca_pem.clone()],
        ..Options::default()
    });
    let admin = scene.admin_token(ARM).await;
    let (path, one) = scene.identity(&admin, "one").await;
    let (_, bare) = scene.identity(&admin, "bare").await;
    scene.credential(&admin, &path, "fic", &issuer.url).await;
    scene.credential(&admin, &path, "nobody", NOBODY).await;
    Federated {
        scene,
        issuer,
        one,
        bare,
    }
}

impl Federated {
    async fn exchange(&self, client_id: &str, assertion: &str, scope: &str) -> (u16, Value) {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion),
            ("scope", scope),
        ];
        self.scene.token(self.scene.simulation.tenant, &form).await
    }
}

/// Checks status, error and code, and the shape every refusal has.
fn assert_refused(case: &str, answer: &(u16, Value), status: u16, error: &str, code: u32) {
    let (actual, body) = answer;
    assert_eq!(
        (*actual, &body["error"]),
        (status, &json!(error)),
        "{case}: {body}"
    );
    assert_eq!(body["error_codes"], json!([code]), "{case}");
    let text = body["error_description"].as_str().unwrap();
    assert!(
        text.starts_with(&format!("AADSTS{code}: ")),
        "{case}: {text}"
    );
    for key in ["timestamp", "trace_id", "correlation_id"] {
        assert!(
            text.contains(body[key].as_str().unwrap()),
            "{case}: {key} in {text}"
        );
    }
}

#[tokio::test]
async fn forms_refused() {
    let Federated { scene, bare, .. } = federated().await;
    let sim = &scene.simulation;
    let good = [
        ("grant_type", "client_credentials"),
        ("client_id", sim.client_id),
        ("client_secret", sim.client_secret),
        ("scope", SCOPE),
    ];
    let stranger = "00000000-0000-4000-8000-00000000dead";
    // The good form with one field changed; an empty value removes it.
    let table = [
        (
            "no grant",
            sim.tenant,
            ("grant_type", ""),
            400,
            "invalid_request",
            900_144,
        ),
        (
            "other grant",
            sim.tenant,
            ("grant_type", "password"),
            400,
            "unsupported_grant_type",
            70003,
        ),
        (
            "no client",
            sim.tenant,
            ("client_id", ""),
            400,
            "invalid_request",
            900_144,
        ),
        (
            "no scope",
            sim.tenant,
            ("scope", ""),
            400,
            "invalid_request",
            900_144,
        ),
        (
            "v1 resource",
            sim.tenant,
            ("resource", "https://a"),
            400,
            "invalid_request",
            901_002,
        ),
        (
            "no /.default",
            sim.tenant,
            ("scope", "https://a"),
            400,
            "invalid_scope",
            70011,
        ),
        (
            "no proof",
            sim.tenant,
            ("client_secret", ""),
            401,
            "invalid_client",
            7_000_218,
        ),
        (
            "bad secret",
            sim.tenant,
            ("client_secret", "x"),
            401,
            "invalid_client",
            7_000_215,
        ),
        (
            "secret of an identity",
            sim.tenant,
            ("client_id", &bare),
            401,
            "invalid_client",
            7_000_215,
        ),
        (
            "stranger",
            sim.tenant,
            ("client_id", stranger),
            400,
            "unauthorized_client",
            700_016,
        ),
        (
            "other tenant",
            stranger,
            ("scope", SCOPE),
            400,
            "invalid_request",
            90002,
        ),
        (
            "no tenant's",
            "common",
            ("scope", SCOPE),
            400,
            "invalid_request",
            9_001_023,
        ),
        (
            "another tenant's",
            "contoso.example.test",
            ("scope", SCOPE),
            400,
            "invalid_request",
            90002,
        ),
        (
            "unknown resource",
            sim.tenant,
            ("scope", &format!("{UNKNOWN_RESOURCE}/.default")),
            400,
            "invalid_resource",
            500_011,
        ),
        (
            "no resource",
            sim.tenant,
            ("scope", "vault/.default"),
            400,
            "invalid_resource",
            500_011,
        ),
        (
            "assertion of no type",
            sim.tenant,
            ("client_assertion", "a.b.c"),
            400,
            "invalid_request",
            900_144,
        ),
    ];
    for (case, tenant, changed, status, error, code) in table {
        let mut form: Vec<_> = good
            .into_iter()
            .filter(|(key, _)| *key != changed.0)
            .collect();
        form.push(changed);
        form.retain(|(_, value)| !value.is_empty());
        assert_refused(case, &scene.token(tenant, &form).await, status, error, code);
    }
}

#[tokio::test]
async fn assertions_refused() {
    let stage = federated().await;
    let (one, bare) = (stage.one.as_str(), stage.bare.as_str());
    let stranger = SigningKey::generate().unwrap();
    let token = |claim: &str, value: Value| {
        let mut claims = stage.issuer.claims();
        claims[claim] = value;
        stage.issuer.key.sign(&claims).unwrap()
    };
    let good = stage.issuer.key.sign(&stage.issuer.claims()).unwrap();
    let no_slash = stage.issuer.url.trim_end_matches('/');
    let signature = good.rsplit_once('.').unwrap().1;
    let other = token("jti", json!("other"));
    let mixed = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
    let table = [
        ("no JWT", one, "a.b.c".to_owned(), 400, 50027),
        (
            "stranger",
            "00000000-0000-4000-8000-00000000dead",
            good.clone(),
            400,
            700_016,
        ),
        ("not federated", bare, good.clone(), 401, 70025),
        (
            "admin is not federated",
            stage.scene.simulation.client_id,
            good.clone(),
            401,
            70025,
        ),
        (
            "other issuer",
            one,
            token("iss", json!("https://other.test/")),
            401,
            700_211,
        ),
        (
            "issuer without slash",
            one,
            token("iss", json!(no_slash)),
            401,
            700_211,
        ),
        ("no issuer", one, token("iss", Value::Null), 401, 700_211),
        (
            "other subject",
            one,
            token("sub", json!("system:serviceaccount:ns:other")),
            401,
            700_213,
        ),
        (
            "subject's case",
            one,
            token("sub", json!("system:serviceaccount:NS:sa")),
            401,
            7_002_138,
        ),
        (
            "other audience",
            one,
            token("aud", json!(["api://AKSIdentityBinding"])),
            401,
            700_212,
        ),
        (
            "unreachable issuer",
            one,
            token("iss", json!(NOBODY)),
            400,
            90061,
        ),
        (
            "unknown key",
            one,
            stranger.sign(&stage.issuer.claims()).unwrap(),
            401,
            700_027,
        ),
        ("other's signature", one, mixed, 401, 700_027),
        ("expired", one, token("exp", json!(now() - 5)), 401, 700_024),
        (
            "not yet valid",
            one,
            token("nbf", json!(now() + 600)),
            401,
            700_024,
        ),
        (
            "never expires",
            one,
            token("exp", Value::Null),
            401,
            700_024,
        ),
    ];
    for (case, client, assertion, status, code) in table {
        let error = match code {
            700_016 => "unauthorized_client",
            50027 | 90061 => "invalid_request",
            _ => "invalid_client",
        };
        let answer = stage.exchange(client, &assertion, SCOPE).await;
        assert_refused(case, &answer, status, error, code);
        let text = answer.1.to_string();
        assert!(
            !text.contains(&assertion),
            "{case} repeats the assertion: {text}"
        );
    }
    let last = stage.scene.simulation.journal().pop().unwrap();
    assert_eq!(
        last.details,
        Details {
            client_id: Some(one.to_owned()),
            grant: Some("client_assertion".to_owned()),
            scope: Some(SCOPE.to_owned()),
            error: Some("AADSTS700024".to_owned()),
            ..Details::default()
        }
    );
}

#[tokio::test]
async fn presented_and_expected_are_named() {
    let stage = federated().await;
    let mut claims = stage.issuer.claims();
    claims["sub"] = json!("system:serviceaccount:ns:other");
    let assertion = stage.issuer.key.sign(&claims).unwrap();
    let (_, body) = stage.exchange(&stage.one, &assertion, SCOPE).await;
    let text = body["error_description"].as_str().unwrap();
    assert!(text.contains("'system:serviceaccount:ns:other'"), "{text}");
    assert!(text.contains("'system:serviceaccount:ns:sa'"), "{text}");
}

#[tokio::test]
async fn federated_sign_in() {
    let stage = federated().await;
    let good = stage.issuer.key.sign(&stage.issuer.claims()).unwrap();
    let table = [
        (
            "https://vault.azure.net/.default",
            "https://vault.azure.net",
        ),
        (
            "https://management.azure.com//.default",
            "https://management.azure.com/",
        ),
        ("api://own/.default openid profile", "api://own"),
    ];
    for (scope, audience) in table {
        let (status, body) = stage.exchange(&stage.one, &good, scope).await;
        assert_eq!(status, 200, "{scope}: {body}");
        assert_eq!(body["expires_in"], json!(86399));
        assert_eq!(body["token_type"], json!("Bearer"));
        let token = Jwt::parse(body["access_token"].as_str().unwrap()).unwrap();
        assert_eq!(token.audiences(), [audience]);
        assert_eq!(token.text("appid"), stage.one);
        assert_eq!(token.text("tid"), stage.scene.simulation.tenant);
        assert_eq!(token.text("ver"), "2.0");
    }
}

#[tokio::test]
async fn rotated_key_is_seen_at_once() {
    let stage = federated().await;
    let first = stage.issuer.key.sign(&stage.issuer.claims()).unwrap();
    assert_eq!(stage.exchange(&stage.one, &first, SCOPE).await.0, 200);
    let next = SigningKey::generate().unwrap();
    *stage.issuer.published.lock().unwrap() = next.jwks();
    let second = next.sign(&stage.issuer.claims()).unwrap();
    assert_eq!(stage.exchange(&stage.one, &second, SCOPE).await.0, 200);
}

#[tokio::test]
async fn issuer_is_trusted_once_its_authority_is_added() {
    let issuer = Issuer::start();
    let scene = Scene::start(Options::default());
    let admin = scene.admin_token(ARM).await;
    let (path, one) = scene.identity(&admin, "one").await;
    scene.credential(&admin, &path, "fic", &issuer.url).await;
    let assertion = issuer.key.sign(&issuer.claims()).unwrap();
    let stage = Federated {
        scene,
        bare: String::new(),
        issuer,
        one,
    };
    let answer = stage.exchange(&stage.one, &assertion, SCOPE).await;
    assert_refused("not trusted", &answer, 400, "invalid_request", 90061);
    stage
        .scene
        .simulation
        .trust_issuer_ca(&stage.issuer.ca_pem)
        .unwrap();
    assert_eq!(stage.exchange(&stage.one, &assertion, SCOPE).await.0, 200);
    assert!(stage.scene.simulation.trust_issuer_ca("no PEM").is_err());
}

#[tokio::test]
async fn tokens_verify_against_the_published_keys() {
    let scene = Scene::start(Options::default());
    let tenant = scene.simulation.tenant;
    let token = Jwt::parse(&scene.admin_token(SCOPE).await).unwrap();
    let url = format!(
        "{}/{tenant}/v2.0/.well-known/openid-configuration",
        scene.simulation.arm
    );
    let get = async |url: &str| {
        let response = scene.client.get(url).send().await.unwrap();
        response.json::<Value>().await.unwrap()
    };
    let metadata = get(&url).await;
    assert_eq!(metadata["issuer"].as_str(), Some(token.text("iss")));
    assert_eq!(
        metadata["token_endpoint"],
        json!(format!(
            "{}/{tenant}/oauth2/v2.0/token",
            scene.simulation.arm
        ))
    );
    let keys = get(metadata["jwks_uri"].as_str().unwrap()).await;
    token
        .verify(&serde_json::from_value(keys).unwrap())
        .unwrap();
    for tenant in ["organizations", "common"] {
        let url = format!(
            "{}/{tenant}/v2.0/.well-known/openid-configuration",
            scene.simulation.arm
        );
        assert!(
            get(&url).await["authorization_endpoint"].is_string(),
            "{tenant}"
        );
    }
    let url = format!(
        "{}/elsewhere/v2.0/.well-known/openid-configuration",
        scene.simulation.arm
    );
    assert_eq!(get(&url).await["error_codes"], json!([90002]));
}

#[tokio::test]
async fn an_identitys_token_opens_resource_manager() {
    let stage = federated().await;
    let assertion = stage.issuer.key.sign(&stage.issuer.claims()).unwrap();
    let (_, body) = stage.exchange(&stage.one, &assertion, ARM).await;
    let token = body["access_token"].as_str().unwrap();
    let (status, body) = stage
        .scene
        .arm(token, Method::GET, "/subscriptions", &Value::Null)
        .await;
    assert_eq!(status, 200, "{body}");
    let last = stage.scene.simulation.journal().pop().unwrap();
    assert_eq!(last.details.client_id.as_deref(), Some(stage.one.as_str()));
}

#[tokio::test]
async fn expressions_match_subjects() {
    let stage = federated().await;
    let admin = stage.scene.admin_token(ARM).await;
    let flexible = json!({"properties": {
        "issuer": stage.issuer.url,
        "audiences": [scene::AUDIENCE],
        "claimsMatchingExpression": {"value": "claims['sub'] matches 'repo:*'", "languageVersion": 1},
    }});
    let (path, client) = stage.scene.identity(&admin, "flexible").await;
    let url = format!(
        "{}{path}/federatedIdentityCredentials/flex?api-version=2025-01-31-preview",
        stage.scene.simulation.arm
    );
    let put = stage.scene.client.put(url).bearer_auth(&admin);
    assert_eq!(put.json(&flexible).send().await.unwrap().status(), 201);
    for (subject, expected) in [("repo:one", Value::Null), ("other", json!(7_002_131))] {
        let mut claims = stage.issuer.claims();
        claims["sub"] = json!(subject);
        let assertion = stage.issuer.key.sign(&claims).unwrap();
        let (_, body) = stage.exchange(&client, &assertion, SCOPE).await;
        assert_eq!(body["error_codes"][0], expected, "{subject}: {body}");
    }
}
