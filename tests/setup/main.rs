//! `setup` against peers in process: every call in order, and what a run leaves behind when it is killed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cluster;
mod emit;
mod endless;
mod errors;
mod many;
mod pace;
mod peers;
mod roles;
mod script;
mod sign_in;
#[path = "../support/mod.rs"]
mod support;
mod transport;
mod whole;
mod world;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use identity_injector::screen::Screen;
use identity_injector::setup::config;
use identity_injector::setup::desired::Desired;
use identity_injector::setup::journal::Journal;
use identity_injector::setup::pace::Rates;
use identity_injector::setup::plan::{Plan, credential_name};
use identity_injector::setup::progress::Progress;
use identity_injector::setup::{SetupError, apply, look};
use serde_json::{Value, json};
use tokio::time::timeout;

use peers::{Call, Peer, Reply, arm_error, clients, kube_error, reply};
use script::Script;
use world::World;

type Exchange = (Call, Reply);

const CONFIG: &str = "
subscription: 11111111-2222-3333-4444-555555555555
resourceGroup: {name: walk, location: WestUS2}
issuer: auto
identities:
  - name: identityA
    serviceAccounts: [{namespace: ns, name: sa}]
";
const GROUP: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourcegroups/walk?api-version=2021-04-01";
const RESOURCES: &str =
    "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/walk/providers";
const ISSUER: &str = "https://issuer.test/Some/Path/";
const SUBJECT: &str = "system:serviceaccount:ns:sa";

fn desired() -> Desired {
    config::parse(CONFIG).unwrap()
}

async fn run(desired: &Desired, peer: Arc<impl Peer>) -> Result<Plan, SetupError> {
    run_at(Rates::PUBLISHED, desired, peer).await
}

async fn run_at(rates: Rates, desired: &Desired, peer: Arc<impl Peer>) -> Result<Plan, SetupError> {
    let (arm, cluster) = clients(peer);
    let plan = look(desired, &arm, &cluster).await?;
    let journal = Journal::new(unseen());
    apply::apply(&plan, desired, &arm, &cluster, rates, &journal).await?;
    Ok(plan)
}

/// Progress that nobody looks at.
fn unseen() -> Progress {
    Progress::new(&Screen::plain(), 0)
}

/// Runs the whole of `exchanges` and gives the run's error, or "" if there was none.
async fn error_after(exchanges: Vec<Exchange>) -> String {
    let script = Script::new(exchanges);
    let result = run(&desired(), script.clone()).await;
    script.finish();
    result
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

// The calls, each with its answer when all is well.

fn call(line: impl Into<String>, body: Value, reply: Reply) -> Exchange {
    let line = line.into();
    (Call { line, body }, reply)
}

fn identity_path() -> String {
    format!("{RESOURCES}/Microsoft.ManagedIdentity/userAssignedIdentities/identityA")
}

fn our_credential() -> String {
    let desired = desired();
    credential_name(&desired.identities[0].service_accounts[0], ISSUER)
}

fn group_json() -> Value {
    json!({"name": "walk", "location": "westus2"})
}

fn identity_json() -> Value {
    json!({"name": "identityA", "location": "westus2",
        "properties": {"clientId": "client-a", "tenantId": "tenant-a", "principalId": "p"}})
}

fn credential_json(name: &str, subject: &str, audience: &str) -> Value {
    json!({"name": name,
        "properties": {"issuer": ISSUER, "subject": subject, "audiences": [audience]}})
}

fn right_credential(name: &str) -> Value {
    credential_json(name, SUBJECT, "api://AzureADTokenExchange")
}

fn get_group(reply: Reply) -> Exchange {
    call(format!("arm GET {GROUP}"), Value::Null, reply)
}

fn put_group(reply: Reply) -> Exchange {
    call(
        format!("arm PUT {GROUP}"),
        json!({"location": "WestUS2"}),
        reply,
    )
}

fn get_identity(reply: Reply) -> Exchange {
    let line = format!("arm GET {}?api-version=2024-11-30", identity_path());
    call(line, Value::Null, reply)
}

fn put_identity() -> Exchange {
    let line = format!("arm PUT {}?api-version=2024-11-30", identity_path());
    call(
        line,
        json!({"location": "WestUS2"}),
        reply(201, identity_json()),
    )
}

fn list_credentials(credentials: &[Value]) -> Exchange {
    let path = identity_path();
    let line = format!("arm GET {path}/federatedIdentityCredentials?api-version=2024-11-30");
    call(line, Value::Null, reply(200, json!({"value": credentials})))
}

fn put_credential(name: &str, reply: Reply) -> Exchange {
    let path = identity_path();
    let line = format!("arm PUT {path}/federatedIdentityCredentials/{name}?api-version=2024-11-30");
    let body = json!({"properties": {"issuer": ISSUER, "subject": SUBJECT,
        "audiences": ["api://AzureADTokenExchange"]}});
    call(line, body, reply)
}

fn credential_made() -> Reply {
    reply(201, right_credential(&our_credential()))
}

fn get_issuer() -> Exchange {
    let line = "k8s GET /.well-known/openid-configuration";
    call(
        line,
        Value::Null,
        reply(200, json!({"issuer": ISSUER, "jwks_uri": "x"})),
    )
}

fn get_namespace() -> Exchange {
    let object = json!({"metadata": {"name": "ns"}});
    call(
        "k8s GET /api/v1/namespaces/ns",
        Value::Null,
        reply(200, object),
    )
}

fn get_account(reply: Reply) -> Exchange {
    call(
        "k8s GET /api/v1/namespaces/ns/serviceaccounts/sa",
        Value::Null,
        reply,
    )
}

fn account_json(client_id: &str) -> Value {
    json!({"metadata": {"name": "sa", "namespace": "ns", "annotations": {
        "azure.workload.identity/client-id": client_id,
        "azure.workload.identity/tenant-id": "tenant-a", "other": "kept"}}})
}

fn apply_account(reply: Reply) -> Exchange {
    let line = "k8s PATCH /api/v1/namespaces/ns/serviceaccounts/sa?fieldManager=identity-injector";
    let body = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa",
        "annotations": {"azure.workload.identity/client-id": "client-a",
            "azure.workload.identity/tenant-id": "tenant-a"}}});
    call(line, body, reply)
}

fn absent() -> Reply {
    kube_error(404, "NotFound", "serviceaccounts \"sa\" not found")
}

/// The calls that look, where the identity and these credentials are there, and the ServiceAccount is annotated.
fn look_at(credentials: &[Value]) -> Vec<Exchange> {
    vec![
        get_group(reply(200, group_json())),
        get_identity(reply(200, identity_json())),
        list_credentials(credentials),
        get_issuer(),
        get_namespace(),
        get_account(reply(200, account_json("client-a"))),
    ]
}

#[tokio::test(start_paused = true)]
async fn makes_all_from_nothing() {
    let exchanges = vec![
        get_group(arm_error(404, "ResourceGroupNotFound", "not there")),
        get_issuer(),
        get_namespace(),
        get_account(absent()),
        put_group(reply(201, group_json())),
        put_identity(),
        put_credential(&our_credential(), credential_made()),
        apply_account(reply(201, account_json("client-a"))),
    ];
    assert_eq!(error_after(exchanges).await, "");
}

#[tokio::test(start_paused = true)]
async fn writes_nothing_where_all_is_done() {
    let exchanges = look_at(&[right_credential(&our_credential())]);
    assert_eq!(error_after(exchanges).await, "");
}

#[tokio::test(start_paused = true)]
async fn adopts_a_credential_under_another_name() {
    let script = Script::new(look_at(&[right_credential("made-by-terraform")]));
    let plan = run(&desired(), script.clone()).await.unwrap();
    script.finish();
    assert_eq!(plan.steps, []);
    let said = plan.adopted[0].to_string();
    assert!(said.contains("identityA/made-by-terraform"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn changes_a_wrong_audience_under_the_name_it_has() {
    let mut exchanges = look_at(&[credential_json("theirs", SUBJECT, "api://other")]);
    exchanges.push(put_credential(
        "theirs",
        reply(200, right_credential("theirs")),
    ));
    assert_eq!(error_after(exchanges).await, "");
}

#[tokio::test(start_paused = true)]
async fn refuses_a_21st_credential_before_any_write() {
    let others: Vec<_> = (0..20)
        .map(|n| credential_json(&format!("other-{n}"), &format!("{SUBJECT}{n}"), "a"))
        .collect();
    let error = error_after(look_at(&others)).await;
    assert!(
        error.contains("identityA has 20 federated credentials"),
        "{error}"
    );
    for way_out in [
        "several identities",
        "share service accounts",
        "identity bindings",
    ] {
        assert!(error.contains(way_out), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn reports_who_holds_an_annotation() {
    let mut conflict = kube_error(409, "Conflict", "Apply failed with 1 conflict");
    conflict.body["details"] = json!({"causes": [{"reason": "FieldManagerConflict",
        "message": "conflict with \"helm\" using v1",
        "field": ".metadata.annotations.azure.workload.identity/client-id"}]});
    let mut exchanges = look_at(&[right_credential("c-1")]);
    exchanges.pop();
    exchanges.push(get_account(reply(200, account_json("someone-else"))));
    exchanges.push(apply_account(conflict));
    let error = error_after(exchanges).await;
    for part in [
        "ns/sa",
        "\"helm\"",
        "azure.workload.identity/client-id",
        "not overwritten",
    ] {
        assert!(error.contains(part), "{part:?} not in {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn refuses_a_missing_namespace_before_any_write() {
    let line = "k8s GET /api/v1/namespaces/ns";
    let exchanges = vec![
        get_group(arm_error(404, "ResourceGroupNotFound", "not there")),
        get_issuer(),
        call(line, Value::Null, kube_error(404, "NotFound", "not there")),
    ];
    let error = error_after(exchanges).await;
    assert!(error.contains("no such namespace: ns"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn does_not_take_a_wrong_address_for_an_empty_azure() {
    let table = [
        (
            arm_error(404, "SubscriptionNotFound", "no"),
            "check `subscription`",
        ),
        (reply(404, json!("a gateway's page")), "no error code"),
        (reply(200, json!({"hello": "world"})), "unreadable answer"),
    ];
    for (answer, said) in table {
        let error = error_after(vec![get_group(answer)]).await;
        assert!(error.contains(said), "{said:?} not in {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn follows_pages_on_the_same_host_only() {
    let list = |next: &str| {
        let (call, mut reply) = list_credentials(&[]);
        reply.body["nextLink"] = json!(next);
        (call, reply)
    };
    let next = "arm GET /page?$skiptoken=2";
    let page = json!({"value": [right_credential("on-page-2")]});
    let mut exchanges = look_at(&[]);
    exchanges[2] = list("https://management.azure.com/page?$skiptoken=2");
    exchanges.insert(3, call(next, Value::Null, reply(200, page)));
    assert_eq!(error_after(exchanges).await, "");

    let mut exchanges = look_at(&[]);
    exchanges.truncate(3);
    exchanges[2] = list("https://evil.test/page");
    let error = error_after(exchanges).await;
    assert!(
        error.contains("https://evil.test/page: not followed"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn reads_the_issuer_of_an_aks_cluster() {
    let config = CONFIG.replace("auto", "{aks: {resourceGroup: clusters, name: aks1}}");
    let desired = config::parse(&config).unwrap();
    let path = RESOURCES.replace("walk", "clusters");
    let line = format!(
        "arm GET {path}/Microsoft.ContainerService/managedClusters/aks1?api-version=2025-10-01"
    );
    let table = [
        (json!({"issuerURL": ISSUER}), None),
        (json!({"enabled": false}), Some("--enable-oidc-issuer")),
    ];
    for (profile, said) in table {
        let body = json!({"properties": {"oidcIssuerProfile": profile}});
        let mut exchanges = look_at(&[right_credential("c-1")]);
        exchanges[3] = call(&line, Value::Null, reply(200, body));
        if said.is_some() {
            exchanges.truncate(4);
        }
        let script = Script::new(exchanges);
        let error = run(&desired, script.clone()).await.err();
        script.finish();
        let error = error.map(|error| error.to_string());
        assert_eq!(error.is_some(), said.is_some());
        assert!(error.unwrap_or_default().contains(said.unwrap_or_default()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_killed_after_any_write_is_finished_by_the_next() {
    let config = CONFIG.replace(
        "[{namespace: ns, name: sa}]",
        "[{namespace: ns, name: sa}, {namespace: ns, name: sb}]",
    );
    let desired = config::parse(&config).unwrap();
    let rates = Rates::UNLIMITED;
    let whole = World::with_namespace("ns");
    run_at(rates, &desired, whole.clone()).await.unwrap();
    let writes = whole.take_writes();
    let of_ledger = 3;
    assert_eq!(
        writes,
        6 + of_ledger,
        "group, identity, two credentials, two service accounts; the ledger made, noted, confirmed"
    );

    for answered in 0..writes {
        let case = format!("killed after write {}", answered + 1);
        let world = World::with_namespace("ns");
        world.die_after(Some(answered));
        let first = run_at(rates, &desired, world.clone());
        let first = timeout(Duration::from_secs(1), first).await;
        assert!(first.is_err(), "{case}");
        world.die_after(None);
        world.take_writes();
        run_at(rates, &desired, world.clone()).await.unwrap();
        assert_eq!(world.objects(), whole.objects(), "{case}");
        world.take_writes();
        run_at(rates, &desired, world.clone()).await.unwrap();
        assert_eq!(
            world.take_writes(),
            0,
            "{case}: a third run has nothing to do"
        );
    }
}

#[test]
fn exit_codes_before_the_first_call() {
    let directory = std::env::temp_dir().join(format!("setup-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let good = || Some(CONFIG.to_owned());
    let password = [("AZURE_RESOURCE_MANAGER_URL", "https://u:pw@h")];
    let authority = [("AZURE_AUTHORITY_HOST", "https://u:pw@h")];
    type Variables<'a> = &'a [(&'a str, &'a str)];
    let table: [(&str, Option<String>, Variables<'_>, i32, &str); 7] = [
        (
            "no such file",
            None,
            &[],
            64,
            "No such file or directory (os error 2)",
        ),
        (
            "unknown field",
            Some(format!("{CONFIG}colour: red\n")),
            &[],
            64,
            "unknown field `colour`, expected one of subscription, resourceGroup, issuer, audience, identities at line 8, \
             column 1",
        ),
        (
            "no scope",
            Some(format!(
                "{CONFIG}    roleAssignments: [{{scope: /x, role: Reader}}]\n"
            )),
            &[],
            64,
            "line 8: identities[0].roleAssignments[0].scope: \"/x\" is not legal: use an ARM id without a slash at the \
             end: /subscriptions/GUID, a group or resource in it, or \
             /providers/Microsoft.Management/managementGroups/NAME",
        ),
        (
            "Resource Manager with a password",
            good(),
            &password,
            64,
            "--arm-url (AZURE_RESOURCE_MANAGER_URL) \"...@h\": must have neither user, query nor fragment",
        ),
        (
            "Entra with a password",
            good(),
            &authority,
            64,
            "--authority-host (AZURE_AUTHORITY_HOST) \"...@h\": must have neither user, query nor fragment",
        ),
        (
            "empty is unset",
            good(),
            &[("AZURE_RESOURCE_MANAGER_URL", ""), ("SETUP_OUTPUT", "")],
            2,
            "sign-in by client secret: AZURE_TENANT_ID is not set",
        ),
        (
            "no sign-in",
            good(),
            &[],
            2,
            "sign-in by client secret: AZURE_TENANT_ID is not set",
        ),
    ];
    for (name, config, variables, code, said) in table {
        let file = directory.join("config.yaml");
        match config {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => assert!(!file.exists()),
        }
        let output = Command::new(env!("CARGO_BIN_EXE_identity-injector"))
            .args(["setup", "plan", "--config"])
            .arg(&file)
            .env_clear()
            .env("SETUP_SIGN_IN", "client-secret")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}: {stderr}");
        let config = match name {
            "no such file" | "unknown field" | "no scope" => format!("config {}: ", file.display()),
            _ => String::new(),
        };
        assert_eq!(
            stderr,
            format!("identity-injector: {config}{said}\n"),
            "{name}"
        );
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
