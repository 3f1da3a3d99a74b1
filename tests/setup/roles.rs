//! Roles given to an identity: found by name or GUID, given once under a name of their own.

use identity_injector::azure::arm::assignment_name;
use identity_injector::setup::config;
use identity_injector::setup::desired::Desired;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::peers::{Reply, arm_error, reply};
use crate::script::Script;
use crate::{CONFIG, Exchange, call, look_at, our_credential, right_credential, run};

const SCOPE: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/data";
const GUID: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const KIND: &str = "providers/Microsoft.Authorization";

fn desired(role: &str) -> Desired {
    let roles = format!("    roleAssignments: [{{scope: {SCOPE}, role: \"{role}\"}}]\n");
    config::parse(&format!("{CONFIG}{roles}")).unwrap()
}

fn role_id() -> String {
    format!("/subscriptions/s/{KIND}/roleDefinitions/{GUID}")
}

fn role_name() -> String {
    assignment_name(SCOPE, "p", GUID).to_string()
}

fn find_role(filter: &str, found: &[Value]) -> Exchange {
    let line =
        format!("arm GET {SCOPE}/{KIND}/roleDefinitions?$filter={filter}&api-version=2022-04-01");
    call(line, Value::Null, reply(200, json!({"value": found})))
}

fn list_assignments(found: &[Value]) -> Exchange {
    let filter = "principalId%20eq%20%27p%27";
    let line =
        format!("arm GET {SCOPE}/{KIND}/roleAssignments?$filter={filter}&api-version=2022-04-01");
    call(line, Value::Null, reply(200, json!({"value": found})))
}

fn assignment(scope: &str) -> Value {
    json!({"name": role_name(), "properties": {"scope": scope, "roleDefinitionId": role_id(),
        "principalId": "p", "principalType": "ServicePrincipal"}})
}

fn put_assignment(reply: Reply) -> Exchange {
    let name = role_name();
    let line = format!("arm PUT {SCOPE}/{KIND}/roleAssignments/{name}?api-version=2022-04-01");
    let body = json!({"properties": {"roleDefinitionId": role_id(), "principalId": "p",
        "principalType": "ServicePrincipal"}});
    call(line, body, reply)
}

/// The calls that look where all but the role is there, then these.
fn exchanges(role: Exchange, assignments: &[Value], writes: Vec<Exchange>) -> Vec<Exchange> {
    let mut exchanges = look_at(&[right_credential(&our_credential())]);
    exchanges.insert(3, list_assignments(assignments));
    exchanges.insert(4, role);
    exchanges.extend(writes);
    exchanges
}

fn reader() -> Exchange {
    find_role("roleName%20eq%20%27Reader%27", &[json!({"id": role_id()})])
}

#[tokio::test(start_paused = true)]
async fn gives_a_role_once() {
    let hidden = || {
        arm_error(
            400,
            "PrincipalNotFound",
            "Principal p does not exist in the directory",
        )
    };
    let made = || put_assignment(reply(201, assignment(SCOPE)));
    let exists = arm_error(
        409,
        "RoleAssignmentExists",
        "The role assignment already exists.",
    );
    let by_guid = call(
        format!("arm GET {SCOPE}/{KIND}/roleDefinitions/{GUID}?api-version=2022-04-01"),
        Value::Null,
        reply(200, json!({"id": role_id()})),
    );
    let quoted = "roleName%20eq%20%27It%27%27s%20a%20%26%20b%2Bc%27";
    let role = json!({"id": role_id()});
    // role, how it is found, what is there, what is written, the seconds it takes
    let table = [
        ("Reader", reader(), vec![], vec![made()], 0..=0),
        (GUID, by_guid, vec![], vec![made()], 0..=0),
        (
            "It's a & b+c",
            find_role(quoted, &[role]),
            vec![],
            vec![made()],
            0..=0,
        ),
        ("Reader", reader(), vec![assignment(SCOPE)], vec![], 0..=0),
        (
            "Reader",
            reader(),
            vec![assignment("/subscriptions/s")],
            vec![made()],
            0..=0,
        ),
        (
            "Reader",
            reader(),
            vec![],
            vec![put_assignment(exists)],
            0..=0,
        ),
        (
            "Reader",
            reader(),
            vec![],
            vec![put_assignment(hidden()), put_assignment(hidden()), made()],
            10..=13,
        ),
    ];
    for (index, (role, found, there, writes, seconds)) in table.into_iter().enumerate() {
        let script = Script::new(exchanges(found, &there, writes));
        let start = Instant::now();
        run(&desired(role), script.clone()).await.unwrap();
        script.finish();
        let took = start.elapsed().as_secs();
        assert!(seconds.contains(&took), "row {index}: {role}: {took} s");
    }
}

#[tokio::test(start_paused = true)]
async fn says_what_is_missing() {
    let forbidden = arm_error(
        403,
        "AuthorizationFailed",
        "The client 'c' does not have authorization to perform action \
         'Microsoft.Authorization/roleAssignments/write' over scope '/x'.",
    );
    let mut unknown = exchanges(find_role("roleName%20eq%20%27Reader%27", &[]), &[], vec![]);
    unknown.truncate(5);
    let table = [
        (unknown, "there is no role \"Reader\" at "),
        (
            exchanges(reader(), &[], vec![put_assignment(forbidden)]),
            "the signed-in identity needs Role Based Access Control Administrator",
        ),
    ];
    for (exchanges, said) in table {
        let script = Script::new(exchanges);
        let error = run(&desired("Reader"), script.clone())
            .await
            .unwrap_err()
            .to_string();
        script.finish();
        assert!(error.contains(said), "{said:?} not in {error}");
    }
}
