//! What Azure takes and refuses, and how it writes its answers: each stated rule a row.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod scene;

use reqwest::Method;
use scene::AUDIENCE;
use scene::act::{
    Act, CLUSTER, GROUP, IDENTITY, ROLES, Step, credential, delete, fic, get, identity, put, west,
};
use serde_json::{Value, json};
use simazure::{Cluster, Options};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

async fn start() -> Act {
    Act::start(Options {
        clusters: vec![Cluster {
            resource_group: "rg".to_owned(),
            name: "aks".to_owned(),
            issuer: "https://i/T/".to_owned(),
            ..Cluster::default()
        }],
        page_size: 2,
        ..Options::default()
    })
    .await
}

fn fic_of(issuer: &str, subject: &str, audiences: &Value) -> Value {
    json!({"properties": {"issuer": issuer, "subject": subject, "audiences": audiences}})
}

#[tokio::test]
async fn credentials() {
    let act = start().await;
    let long = |count: usize| "s".repeat(count);
    let one = || json!([AUDIENCE]);
    let malaysia = || json!({"location": "Malaysia South"});
    act.walk(vec![
        put(identity("a"), west(), 201, ""),
        // Names: 3 to 120 characters of letters, digits, - and _, the first a letter or digit.
        put(fic("a", "ab"), credential("s"), 400, "BadRequest"),
        put(fic("a", "-ab"), credential("s"), 400, "BadRequest"),
        put(fic("a", "a.b"), credential("s"), 400, "BadRequest"),
        put(fic("a", &long(121)), credential("s"), 400, "BadRequest"),
        put(fic("a", &long(120)), credential("s"), 201, ""),
        put(fic("a", "A-_"), credential("t"), 201, ""),
        // Issuer, subject, audience: 600 characters at most; one audience.
        put(
            fic("a", "fic"),
            fic_of("https://i/", &long(601), &one()),
            400,
            "BadRequest",
        ),
        put(
            fic("a", "fic"),
            fic_of(&format!("https://{}", long(593)), "s", &one()),
            400,
            "BadRequest",
        ),
        put(
            fic("a", "fic"),
            fic_of("https://i/", "u", &json!([long(601)])),
            400,
            "BadRequest",
        ),
        put(
            fic("a", "fic"),
            fic_of("https://i/", "u", &json!([])),
            400,
            "BadRequest",
        ),
        put(
            fic("a", "fic"),
            fic_of("https://i/", "u", &json!(["a", "b"])),
            400,
            "BadRequest",
        ),
        put(
            fic("a", "fic"),
            fic_of("https://i/", &long(600), &one()),
            201,
            "",
        ),
        // Issuer and subject, byte for byte, once in an identity.
        put(fic("a", "two"), credential("t"), 409, "Conflict"),
        put(fic("a", "two"), credential("T"), 201, ""),
        put(fic("a", "three"), fic_of("https://i", "t", &one()), 201, ""),
        // Two regions have none.
        put(identity("m"), malaysia(), 201, ""),
        put(fic("m", "fic"), credential("s"), 405, "MethodNotAllowed"),
        // Deleting what is not there is no error.
        delete(fic("a", "two"), 200, ""),
        delete(fic("a", "two"), 204, ""),
    ])
    .await;
}

#[tokio::test]
async fn expressions_are_for_previews() {
    let act = start().await;
    act.walk(vec![put(identity("a"), west(), 201, "")]).await;
    let flexible = json!({"properties": {
        "issuer": "https://i/",
        "audiences": [AUDIENCE],
        "claimsMatchingExpression": {"value": "claims['sub'] matches 'a:*'", "languageVersion": 1},
    }});
    let mut both = flexible.clone();
    both["properties"]["subject"] = json!("s");
    // A query's second api-version is not looked at.
    let preview = format!("{}?api-version=2025-01-31-preview", fic("a", "flex"));
    act.walk(vec![
        put(fic("a", "flex"), flexible.clone(), 400, "BadRequest"),
        put(preview.clone(), both, 400, "BadRequest"),
        put(preview.clone(), flexible.clone(), 201, ""),
    ])
    .await;
    for (path, shown) in [(preview, true), (fic("a", "flex"), false)] {
        let properties = act.walk(vec![get(path, 200, "")]).await["properties"].clone();
        assert_eq!(
            properties["claimsMatchingExpression"].is_object(),
            shown,
            "{properties}"
        );
        assert!(properties["subject"].is_null());
    }
}

#[tokio::test]
async fn identities_and_providers() {
    let act = Act::start(Options {
        unregistered: vec!["microsoft.managedidentity".to_owned()],
        ..Options::default()
    })
    .await;
    let provider = "/providers/Microsoft.ManagedIdentity";
    let register = || {
        Step::Call(
            Method::POST,
            format!("{provider}/register"),
            Value::Null,
            200,
            "",
        )
    };
    let isolated =
        |scope: &str| json!({"location": "westus2", "properties": {"isolationScope": scope}});
    let patch = || {
        Step::Call(
            Method::PATCH,
            identity("a"),
            json!({"tags": {"b": "2"}}),
            200,
            "",
        )
    };
    let last = act
        .walk(vec![
            put(
                identity("a"),
                west(),
                409,
                "MissingSubscriptionRegistration",
            ),
            get(
                "/providers/Microsoft.Nothing",
                404,
                "InvalidResourceNamespace",
            ),
            register(),
            put(identity("a"), isolated("Global"), 400, "InvalidParameter"),
            put(identity("a"), isolated("Regional"), 201, ""),
            patch(),
        ])
        .await;
    assert_eq!(last["properties"]["isolationScope"], "Regional");
    assert_eq!(last["tags"], json!({"b": "2"}));
    let id = last["id"].as_str().unwrap();
    assert!(
        id.contains("/resourcegroups/rg/"),
        "the provider's own case: {id}"
    );
    let replaced = act.walk(vec![put(identity("a"), west(), 200, "")]).await;
    assert_eq!(replaced["tags"], json!({}), "a PUT replaces");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let act = start().await;
    act.walk(
        (0..5)
            .map(|number| put(identity(&format!("i{number}")), west(), 201, ""))
            .collect(),
    )
    .await;
    act.walk(
        (0..3)
            .map(|number| {
                put(
                    fic("i0", &format!("fic{number}")),
                    credential(&number.to_string()),
                    201,
                    "",
                )
            })
            .collect(),
    )
    .await;
    let fics = format!("{IDENTITY}/i0/federatedIdentityCredentials");
    // The list, and how many items its pages have.
    let table: [(String, &[usize]); 6] = [
        (IDENTITY.to_owned(), &[2, 2, 1]),
        (format!("{IDENTITY}?$top=1"), &[1, 1, 1, 1, 1]),
        (format!("{IDENTITY}?$top=50"), &[2, 2, 1]),
        (fics.clone(), &[2, 1]),
        (format!("{fics}?$skiptoken=2"), &[1]),
        ("/resourcegroups".to_owned(), &[1]),
    ];
    for (path, expected) in table {
        let mut next = Some(format!(
            "{}{}{path}",
            act.scene.simulation.arm,
            act.scene.subscription()
        ));
        let mut sizes = Vec::new();
        while let Some(url) = next.take() {
            let url = if url.contains("api-version") {
                url
            } else {
                format!(
                    "{url}{}api-version=1",
                    if url.contains('?') { '&' } else { '?' }
                )
            };
            let page = act
                .get_or_put(Method::GET, &url, &Value::Null, &[])
                .await
                .unwrap();
            let page: Value = page.json().await.unwrap();
            sizes.push(page["value"].as_array().unwrap().len());
            next = page["nextLink"].as_str().map(str::to_owned);
        }
        assert_eq!(sizes, expected, "{path}");
    }
    act.walk(vec![get(
        format!("{fics}?$top=0"),
        400,
        "InvalidQueryParameter",
    )])
    .await;
}

#[tokio::test]
async fn clusters() {
    let act = start().await;
    let read = act.walk(vec![get(CLUSTER, 200, "")]).await;
    assert_eq!(
        read["properties"]["oidcIssuerProfile"]["issuerURL"],
        "https://i/T/"
    );
    let with = |path: &str, value: Value| {
        let mut body = read.clone();
        *body
            .pointer_mut("/properties")
            .unwrap()
            .as_object_mut()
            .unwrap()
            .entry(path)
            .or_insert(Value::Null) = value;
        body
    };
    let pods = |count: usize| {
        let one = json!({"name": "n", "namespace": "ns", "identity": {"clientId": "c"}});
        json!({"enabled": true, "userAssignedIdentities": vec![one; count]})
    };
    let last = act
        .walk(vec![
            put(
                CLUSTER,
                with("provisioningState", json!("Failed")),
                400,
                "InvalidParameter",
            ),
            put(
                CLUSTER,
                with("oidcIssuerProfile", json!({"enabled": false})),
                400,
                "InvalidParameter",
            ),
            put(
                CLUSTER,
                with("podIdentityProfile", pods(201)),
                400,
                "InvalidParameter",
            ),
            put(CLUSTER, with("podIdentityProfile", pods(200)), 200, ""),
            get(CLUSTER, 200, ""),
        ])
        .await;
    let entry = &last["properties"]["podIdentityProfile"]["userAssignedIdentities"][199];
    assert_eq!(entry["provisioningState"], "Assigned");
    assert_ne!(last["eTag"], read["eTag"]);
    // A PUT replaces all of it, but what can't be switched off.
    let bare = act
        .walk(vec![put(CLUSTER, west(), 200, ""), get(CLUSTER, 200, "")])
        .await;
    assert!(bare["properties"]["podIdentityProfile"].is_null());
    assert_eq!(
        bare["properties"]["oidcIssuerProfile"]["issuerURL"],
        "https://i/T/"
    );
}

#[tokio::test]
async fn role_assignments() {
    let act = start().await;
    let made = act.walk(vec![put(identity("a"), west(), 201, "")]).await;
    let body = |role: &str, kind: &str| {
        let role =
            format!("/subscriptions/x/providers/Microsoft.Authorization/roleDefinitions/{role}");
        let principal = &made["properties"]["principalId"];
        json!({"properties": {"roleDefinitionId": role, "principalId": principal, "principalType": kind}})
    };
    let reader = || body(READER, "ServicePrincipal");
    let mut nobody = reader();
    nobody["properties"]["principalId"] = json!("00000000-0000-4000-8000-000000000009");
    let at = |scope: &str, number: u8| {
        format!("{scope}{ROLES}/00000000-0000-4000-8000-00000000000{number}")
    };
    act.walk(vec![
        put(
            format!("{GROUP}{ROLES}/mine"),
            reader(),
            400,
            "InvalidRoleAssignmentId",
        ),
        put(
            at(GROUP, 1),
            json!({}),
            400,
            "InvalidCreateRoleAssignmentRequest",
        ),
        put(
            at(GROUP, 1),
            body(&"0".repeat(36), "ServicePrincipal"),
            400,
            "RoleDefinitionDoesNotExist",
        ),
        put(at(GROUP, 1), nobody, 400, "PrincipalNotFound"),
        put(
            at(GROUP, 1),
            body(READER, "User"),
            400,
            "UnmatchedPrincipalType",
        ),
        put(
            at("/resourceGroups/none", 1),
            reader(),
            404,
            "ResourceGroupNotFound",
        ),
        put(at(&identity("none"), 1), reader(), 404, "ResourceNotFound"),
        put(at(GROUP, 1), reader(), 201, ""),
        put(at(GROUP, 1), reader(), 200, ""),
        put(
            at(GROUP, 1),
            body(OWNER, "ServicePrincipal"),
            400,
            "RoleAssignmentUpdateNotPermitted",
        ),
        put(at(GROUP, 2), reader(), 409, "RoleAssignmentExists"),
        // The same elsewhere is another.
        put(at("", 2), reader(), 201, ""),
        put(at(&identity("a"), 3), reader(), 201, ""),
        get(
            at(GROUP, 1)
                .to_uppercase()
                .replace("/RESOURCEGROUPS/RG", GROUP),
            200,
            "",
        ),
        delete(at(GROUP, 1), 200, ""),
        delete(at(GROUP, 1), 204, ""),
        get(at(GROUP, 1), 404, "RoleAssignmentNotFound"),
        put(at(GROUP, 1), reader(), 201, ""),
    ])
    .await;
    // How many are seen from a scope: its own, inherited ones, and those below unless atScope().
    let principal = made["properties"]["principalId"].as_str().unwrap();
    let table = [
        (ROLES.to_owned(), 2, true),
        (format!("{ROLES}?$filter=atScope()"), 1, false),
        (format!("{GROUP}{ROLES}?$filter=atScope()"), 2, false),
        (
            format!("{GROUP}{ROLES}?$filter=principalId eq '{principal}'"),
            2,
            true,
        ),
        (
            format!("{GROUP}{ROLES}?$filter=assignedTo('{principal}')"),
            2,
            true,
        ),
        (
            format!("{GROUP}{ROLES}?$filter=principalId eq '{READER}'"),
            0,
            false,
        ),
    ];
    for (path, count, more) in table {
        let page = act.walk(vec![get(path.clone(), 200, "")]).await;
        assert_eq!(
            page["value"].as_array().unwrap().len(),
            count,
            "{path}: {page}"
        );
        assert_eq!(page["nextLink"].is_string(), more, "{path}");
    }
    // What is gone takes along what was assigned at it; what was assigned to it stays.
    act.walk(vec![delete(identity("a"), 200, "")]).await;
    let left = act
        .walk(vec![get(format!("{GROUP}{ROLES}"), 200, "")])
        .await;
    assert_eq!(
        (left["value"].as_array().unwrap().len(), &left["nextLink"]),
        (2, &Value::Null)
    );
}

#[tokio::test]
async fn what_is_asked_before_anything_else() {
    let act = start().await;
    let (arm, tenant) = (&act.scene.simulation.arm, act.scene.simulation.tenant);
    let graph = act.scene.admin_token(&format!("{arm}//.default")).await;
    let graph = format!("Bearer {graph}");
    let client_id = act.scene.simulation.client_id;
    let instance = |host: &str| {
        format!(
            "/common/discovery/instance?api-version=1.1&authorization_endpoint={host}/{tenant}/oauth2/v2.0/authorize"
        )
    };
    let people =
        format!("/v1.0/servicePrincipals?$filter=servicePrincipalNames/any(c:c eq '{client_id}')");
    // The path, its status, and where in the answer which value is.
    let table = [
        (
            "/metadata/endpoints?api-version=2022-09-01".to_owned(),
            200,
            "/resourceManager",
            json!(format!("{arm}/")),
        ),
        (
            "/metadata/endpoints?api-version=2019-05-01".to_owned(),
            200,
            "/0/authentication/loginEndpoint",
            json!(arm),
        ),
        (instance(arm), 200, "/api-version", json!("1.1")),
        (
            instance("https://elsewhere.example.test"),
            400,
            "/error",
            json!("invalid_instance"),
        ),
        (
            "/tenants?api-version=2022-12-01".to_owned(),
            200,
            "/value/0/tenantId",
            json!(tenant),
        ),
        (people, 200, "/value/0/appId", json!(client_id)),
        (
            "/providers/Microsoft.ManagedIdentity/operations?api-version=1".to_owned(),
            200,
            "/value/0/display/operation",
            json!("read"),
        ),
    ];
    for (path, status, pointer, expected) in table {
        let mut request = act.scene.client.get(format!("{arm}{path}"));
        request = if path.starts_with("/v1.0") {
            request.header("authorization", &graph)
        } else {
            request.bearer_auth(&act.token)
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body.pointer(pointer), Some(&expected), "{path}: {body}");
    }
    let mine = [
        ("x-ms-client-request-id", "mine"),
        ("x-ms-return-client-request-id", "true"),
    ];
    let response = act.send(Method::GET, GROUP, &Value::Null, &mine).await;
    assert_eq!(response.headers()["x-ms-client-request-id"], "mine");
    assert!(response.headers().contains_key("x-ms-routing-request-id"));
    let correlation = response.headers()["x-ms-correlation-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let entry = act.scene.simulation.journal().pop().unwrap();
    assert_eq!(entry.details.correlation_id, Some(correlation));
}
