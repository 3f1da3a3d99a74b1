//! A plan with a step of every kind, and values with the characters that every language gives a meaning.

use std::collections::BTreeMap;

use identity_injector::azure::arm::{FederatedCredential, ResourceGroup};
use identity_injector::setup::config;
use identity_injector::setup::desired::{Desired, ServiceAccountId};
use identity_injector::setup::ledger::Ledger;
use identity_injector::setup::observe::{Observed, ObservedIdentity, ObservedServiceAccount};
use identity_injector::setup::plan::{Plan, plan};
use identity_injector::setup::step::IdentityIds;

/// The issuer, and the audience of every credential.
pub const ISSUER: &str = "https://issuer.test/it's/";
pub const AUDIENCE: &str = "api://it's-\"a\"-${b}-$${c}-%{d}-\\e-`f`-$(g)-//h";
pub const SCOPE: &str =
    "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/a'(b)/${c}";

const CONFIG: &str = r#"
subscription: 11111111-2222-3333-4444-555555555555
resourceGroup: {name: walk, location: West US 2}
issuer: auto
audience: 'AUDIENCE'
identities:
  - name: 1-new
    serviceAccounts: [{namespace: ns, name: sa}, {namespace: ns, name: my.sb}, {namespace: ns, name: my-sb}]
    roleAssignments:
      - {scope: /subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/Walk, role: Key Vault Reader}
      - {scope: "SCOPE", role: Key Vault Reader}
  - name: there
    serviceAccounts: [{namespace: ns, name: old}]
    roleAssignments:
      - {scope: /subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/walk, role: Reader}
  - name: done
    serviceAccounts: []
"#;

pub fn desired() -> Desired {
    let text = CONFIG.replace("AUDIENCE", &AUDIENCE.replace('\'', "''"));
    config::parse(&text.replace("SCOPE", SCOPE)).unwrap()
}

/// The plan where the group is to be made, or is there; two identities are there, one with another audience.
pub fn planned(group_is_there: bool) -> Plan {
    let desired = desired();
    let location = "westus2".to_owned();
    let identity = |n: &str, credentials| ObservedIdentity {
        ids: IdentityIds {
            client_id: format!("client-{n}"),
            tenant_id: "tenant".to_owned(),
            principal_id: format!("principal-{n}"),
        },
        location: location.clone(),
        credentials,
        assignments: Vec::new(),
    };
    let credential = FederatedCredential {
        name: "theirs".to_owned(),
        issuer: ISSUER.to_owned(),
        subject: Some("system:serviceaccount:ns:old".to_owned()),
        audiences: vec!["api://other".to_owned()],
    };
    let guid = |role: &str| match role {
        "Reader" => "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        _ => "21090545-7ca7-4776-b22c-e363652d74d2",
    };
    let roles = desired.identities.iter().flat_map(|one| &one.roles);
    let roles = roles.map(|role| {
        let guid = guid(&role.role);
        let kind = "providers/Microsoft.Authorization/roleDefinitions";
        let id = format!(
            "/subscriptions/{}/{kind}/{guid}",
            desired.group.subscription
        );
        (role.clone(), id)
    });
    let account = |name: &str| ServiceAccountId {
        namespace: "ns".to_owned(),
        name: name.to_owned(),
    };
    let observed = Observed {
        issuer: ISSUER.to_owned(),
        group: group_is_there.then(|| ResourceGroup {
            name: "walk".to_owned(),
            location: location.clone(),
        }),
        identities: BTreeMap::from([
            ("there".to_owned(), identity("there", vec![credential])),
            ("done".to_owned(), identity("done", Vec::new())),
        ]),
        roles: roles.collect(),
        service_accounts: BTreeMap::from([
            (account("sa"), ObservedServiceAccount::Absent),
            (
                account("my.sb"),
                ObservedServiceAccount::Present(BTreeMap::new()),
            ),
            (account("my-sb"), ObservedServiceAccount::Absent),
            (
                account("old"),
                ObservedServiceAccount::Present(BTreeMap::new()),
            ),
        ]),
        ledger: Ledger::default(),
        no_ledger_namespace: None,
    };
    plan(&desired, &observed).unwrap()
}
