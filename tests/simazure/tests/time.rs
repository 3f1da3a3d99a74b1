//! What takes time, on a clock that stands: limits, serial writes, long-running operations, replication.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod scene;

use std::time::Duration;

use reqwest::Method;
use scene::act::{
    Act, CLUSTER, GROUP, IDENTITY, ROLES, Step, credential, delete, fic, get, identity, put, west,
};
use scene::{Issuer, SUBJECT, now};
use serde_json::{Value, json};
use simazure::{Cluster, Lags, Options};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const LIMITED: &str = "TooManyRequests";

fn cluster() -> Vec<Cluster> {
    vec![Cluster {
        resource_group: "rg".to_owned(),
        name: "aks".to_owned(),
        issuer: "https://i/".to_owned(),
        ..Cluster::default()
    }]
}

async fn lagging(lags: Lags) -> Act {
    Act::start(Options {
        lags,
        clusters: cluster(),
        ..Options::default()
    })
    .await
}

/// How many calls at once pass, and what the first refused one says in `Retry-After`; none is refused of 1000.
async fn burst(
    act: &Act,
    method: &Method,
    paths: impl Iterator<Item = String>,
    body: &Value,
) -> (usize, u64) {
    let mut passed = 0;
    for path in paths.take(1000) {
        let response = act.send(method.clone(), &path, body, &[]).await;
        if response.status().as_u16() == 429 {
            let after = response.headers()["retry-after"].to_str().unwrap();
            return (passed, after.parse().unwrap());
        }
        passed += 1;
    }
    (passed, 0)
}

#[tokio::test]
async fn published_limits() {
    // Each row: what is asked, over which paths, and how many pass before how long a wait.
    let one =
        |path: String| -> Box<dyn Iterator<Item = String>> { Box::new(std::iter::repeat(path)) };
    let many = |path: fn(usize) -> String| -> Box<dyn Iterator<Item = String>> {
        Box::new((0..).map(path))
    };
    let other = |number: usize| identity(&format!("none-{number}"));
    let table: Vec<(&str, Method, _, Value, (usize, u64))> = vec![
        (
            "Resource Manager's reads: 250, 25/s",
            Method::GET,
            one(GROUP.to_owned()),
            Value::Null,
            (250, 1),
        ),
        // One is spent on the group itself.
        (
            "Resource Manager's writes: 200, 10/s",
            Method::PUT,
            one(GROUP.to_owned()),
            west(),
            (199, 1),
        ),
        (
            "writes of one identity: 0.25/s",
            Method::PUT,
            one(identity("a")),
            west(),
            (1, 4),
        ),
        (
            "writes of its credentials count for it",
            Method::PUT,
            one(fic("a", "fic")),
            credential("s"),
            (1, 4),
        ),
        (
            "writes of a subscription: 2/s",
            Method::PUT,
            many(other),
            west(),
            (2, 1),
        ),
        (
            "reads of one identity: 0.5/s",
            Method::GET,
            one(identity("a")),
            Value::Null,
            (1, 2),
        ),
        (
            "reads of a subscription: 10/s",
            Method::GET,
            many(other),
            Value::Null,
            (10, 1),
        ),
        (
            "lists of one group: 0.25/s",
            Method::GET,
            one(IDENTITY.to_owned()),
            Value::Null,
            (1, 4),
        ),
        (
            "deletions of one identity: 0.25/s",
            Method::DELETE,
            one(identity("a")),
            Value::Null,
            (1, 4),
        ),
        (
            "deletions of a subscription: 2/s",
            Method::DELETE,
            many(other),
            Value::Null,
            (2, 1),
        ),
    ];
    for (case, method, paths, body, expected) in table {
        let act = Act::start(Options {
            throttling: true,
            ..Options::default()
        })
        .await;
        assert_eq!(burst(&act, &method, paths, &body).await, expected, "{case}");
    }
}

#[tokio::test]
async fn who_waits_is_admitted() {
    let act = Act::start(Options {
        throttling: true,
        ..Options::default()
    })
    .await;
    act.walk(vec![
        put(identity("a"), west(), 201, ""),
        put(identity("a"), west(), 429, LIMITED),
        Step::Pass(3),
        put(identity("a"), west(), 429, LIMITED),
        Step::Pass(1),
        put(identity("a"), west(), 200, ""),
    ])
    .await;
    let response = act.send(Method::GET, GROUP, &Value::Null, &[]).await;
    let left = &response.headers()["x-ms-ratelimit-remaining-subscription-reads"];
    assert_eq!(left, "249");
}

#[tokio::test]
async fn credentials_are_written_one_after_the_other() {
    const CONCURRENT: &str = "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity";
    let act = lagging(Lags {
        write: Duration::from_secs(2),
        ..Lags::default()
    })
    .await;
    act.walk(vec![
        put(identity("a"), west(), 201, ""),
        put(identity("b"), west(), 201, ""),
    ])
    .await;
    // The first write is answered only when it is done, so it is sent aside.
    let first = async {
        act.send(Method::PUT, &fic("a", "one"), &credential("1"), &[])
            .await
            .status()
    };
    let second = async {
        while act.scene.simulation.calls() < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        act.walk(vec![
            put(fic("a", "two"), credential("2"), 409, CONCURRENT),
            delete(fic("a", "two"), 409, CONCURRENT),
            get(fic("a", "one"), 200, ""),
        ])
        .await;
        act.pass(2);
        let other = async { act.walk(vec![delete(fic("a", "two"), 204, "")]).await };
        let advance = async {
            while act.scene.simulation.calls() < 8 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            act.pass(2);
        };
        tokio::join!(other, advance);
    };
    let (first, ()) = tokio::join!(first, second);
    assert_eq!(first, 201);
}

#[tokio::test]
async fn a_groups_deletion_is_polled() {
    let act = lagging(Lags {
        operation: Duration::from_secs(30),
        ..Lags::default()
    })
    .await;
    act.walk(vec![put(identity("a"), west(), 201, "")]).await;
    let begun = act.send(Method::DELETE, GROUP, &Value::Null, &[]).await;
    assert_eq!(begun.status(), 202);
    let location = begun.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(begun.headers()["retry-after"], "10");
    let poll = async || {
        act.get_or_put(Method::GET, &location, &Value::Null, &[])
            .await
            .unwrap()
    };
    assert!(begun.bytes().await.unwrap().is_empty());
    act.pass(29);
    let running = poll().await;
    assert_eq!(
        (running.status().as_u16(), &running.headers()["retry-after"]),
        (202, &"1".parse().unwrap())
    );
    let group = act
        .walk(vec![
            put(identity("b"), west(), 409, "ResourceGroupBeingDeleted"),
            put(GROUP, west(), 409, "ResourceGroupBeingDeleted"),
            get(GROUP, 200, ""),
        ])
        .await;
    assert_eq!(group["properties"]["provisioningState"], "Deleting");
    act.pass(1);
    assert_eq!(poll().await.status(), 200);
    act.walk(vec![
        get(GROUP, 404, "ResourceGroupNotFound"),
        get(identity("a"), 404, "ResourceGroupNotFound"),
        delete(GROUP, 404, "ResourceGroupNotFound"),
        put(GROUP, west(), 201, ""),
        get(identity("a"), 404, "ResourceNotFound"),
    ])
    .await;
}

#[tokio::test]
async fn a_clusters_write_is_polled() {
    let act = lagging(Lags {
        operation: Duration::from_secs(5),
        ..Lags::default()
    })
    .await;
    let mut cluster = act.walk(vec![get(CLUSTER, 200, "")]).await;
    cluster["tags"] = json!({"a": "1"});
    let begun = act
        .send(
            Method::PUT,
            CLUSTER,
            &cluster,
            &[("if-match", cluster["eTag"].as_str().unwrap())],
        )
        .await;
    assert_eq!(
        (begun.status().as_u16(), &begun.headers()["retry-after"]),
        (200, &"5".parse().unwrap())
    );
    let operation = begun.headers()["azure-asyncoperation"]
        .to_str()
        .unwrap()
        .to_owned();
    let status = async || {
        let answer = act
            .get_or_put(Method::GET, &operation, &Value::Null, &[])
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        answer.json::<Value>().await.unwrap()["status"].clone()
    };
    assert_eq!(status().await, "InProgress");
    let during = act
        .walk(vec![
            put(CLUSTER, west(), 409, "OperationNotAllowed"),
            get(CLUSTER, 200, ""),
        ])
        .await;
    assert_eq!(during["properties"]["provisioningState"], "Updating");
    act.pass(5);
    assert_eq!(status().await, "Succeeded");
    let after = act.walk(vec![get(CLUSTER, 200, "")]).await;
    assert_eq!(
        (&after["properties"]["provisioningState"], &after["tags"]),
        (&json!("Succeeded"), &cluster["tags"])
    );
    let stale = act
        .send(
            Method::PUT,
            CLUSTER,
            &cluster,
            &[("if-match", cluster["eTag"].as_str().unwrap())],
        )
        .await;
    assert_eq!(stale.status(), 412);
    let exists = act
        .send(Method::PUT, CLUSTER, &cluster, &[("if-none-match", "*")])
        .await;
    assert_eq!(exists.status(), 412);
}

#[tokio::test]
async fn identities_replicate() {
    let act = lagging(Lags {
        identity: Duration::from_secs(10),
        ..Lags::default()
    })
    .await;
    let made = act.walk(vec![put(identity("a"), west(), 201, "")]).await;
    let role =
        format!("/subscriptions/x/providers/Microsoft.Authorization/roleDefinitions/{READER}");
    let assignment = |kind: Value| {
        let principal = &made["properties"]["principalId"];
        json!({"properties": {"roleDefinitionId": role, "principalId": principal, "principalType": kind}})
    };
    let at = |number: u8| format!("{GROUP}{ROLES}/00000000-0000-4000-8000-00000000000{number}");
    let typed = || assignment(json!("ServicePrincipal"));
    act.walk(vec![
        get(identity("a"), 200, ""),
        put(
            fic("a", "fic"),
            credential("s"),
            404,
            "ParentResourceNotFound",
        ),
        put(at(1), assignment(Value::Null), 400, "PrincipalNotFound"),
        // Saying what it is makes up for the delay.
        put(at(1), typed(), 201, ""),
        Step::Pass(9),
        put(
            fic("a", "fic"),
            credential("s"),
            404,
            "ParentResourceNotFound",
        ),
        Step::Pass(1),
        put(fic("a", "fic"), credential("s"), 201, ""),
        // Left out it is taken for a user.
        put(
            at(2),
            assignment(Value::Null),
            400,
            "UnmatchedPrincipalType",
        ),
        put(at(2), typed(), 409, "RoleAssignmentExists"),
        put(at(1), typed(), 200, ""),
    ])
    .await;
}

#[tokio::test]
async fn entra_learns_late_and_remembers_misses() {
    let issuer = Issuer::start();
    let act = Act::start(Options {
        issuer_cas: vec![issuer.ca_pem.clone()],
        lags: Lags {
            identity: Duration::from_secs(10),
            credential: Duration::from_secs(5),
            negative_cache: Duration::from_secs(120),
            ..Lags::default()
        },
        ..Options::default()
    })
    .await;
    let mut claims = issuer.claims();
    claims["exp"] = json!(now() + 3600);
    let assertion = issuer.key.sign(&claims).unwrap();
    let code = async |identity: &Value| {
        let form = [
            ("grant_type", "client_credentials"),
            (
                "client_id",
                identity["properties"]["clientId"].as_str().unwrap(),
            ),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", &assertion),
            ("scope", "https://vault.azure.net/.default"),
        ];
        let (_, body) = act.scene.token(act.scene.simulation.tenant, &form).await;
        body["error_codes"][0].as_u64().unwrap_or_default()
    };
    let mut right = credential(SUBJECT);
    right["properties"]["issuer"] = json!(issuer.url);

    // Who waits is served at once.
    let patient = act
        .walk(vec![put(identity("patient"), west(), 201, "")])
        .await;
    act.walk(vec![
        Step::Pass(10),
        put(fic("patient", "fic"), right.clone(), 201, ""),
        Step::Pass(5),
    ])
    .await;
    assert_eq!(code(&patient).await, 0);

    // Who asks too early hears the old answer for two minutes, however often it asks.
    let hasty = act
        .walk(vec![put(identity("hasty"), west(), 201, "")])
        .await;
    act.pass(10);
    act.walk(vec![put(fic("hasty", "fic"), right.clone(), 201, "")])
        .await;
    for (pass, expected) in [(0, 70025), (60, 70025), (59, 70025), (1, 0)] {
        act.pass(pass);
        assert_eq!(code(&hasty).await, expected, "after {pass} s more");
    }

    // An identity that has not arrived is no application.
    let unknown = act
        .walk(vec![put(identity("unknown"), west(), 201, "")])
        .await;
    for (pass, expected) in [(0, 700_016), (119, 700_016), (1, 70025)] {
        act.pass(pass);
        assert_eq!(code(&unknown).await, expected, "after {pass} s more");
    }

    // A deletion is learnt of late too.
    act.walk(vec![delete(fic("patient", "fic"), 200, "")]).await;
    for (pass, expected) in [(4, 0), (1, 70025)] {
        act.pass(pass);
        assert_eq!(code(&patient).await, expected, "after {pass} s more");
    }
}
