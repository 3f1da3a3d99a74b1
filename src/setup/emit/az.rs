//! A plan as a script for the az CLI and kubectl. Pure.

use std::fmt::Write;

use super::HEAD;
use crate::azure::arm::{GroupId, Trust, role_guid};
use crate::names::{CLIENT_ID, FIELD_MANAGER, TENANT_ID};
use crate::setup::plan::Plan;
use crate::setup::step::Step;

/// The script.
pub(super) fn script(plan: &Plan, group: &GroupId) -> String {
    let head = format!("#!/bin/sh\n# {HEAD}\nset -eu\n");
    plan.steps.iter().fold(head, |text, step| {
        text + "\n# " + &step.to_string() + "\n" + &commands(step, group)
    })
}

/// The commands of one step, each ending in a line break.
pub(super) fn commands(step: &Step, group: &GroupId) -> String {
    let subscription = format!("--subscription {}", group.subscription);
    let within = within(group);
    match step {
        Step::CreateResourceGroup { name, location } => format!(
            "az group create {subscription} --name {} --location {}\n",
            quoted(name),
            quoted(location)
        ),
        Step::CreateIdentity { name, location } => format!(
            "az identity create {within} --name {} --location {}\n\
             sleep 20 # until Azure knows it everywhere\n",
            quoted(name),
            quoted(location)
        ),
        Step::CreateFederatedCredential {
            identity,
            name,
            trust,
        } => credential("create", &within, identity, name, trust),
        Step::UpdateFederatedCredential {
            identity,
            name,
            trust,
            ..
        } => credential("update", &within, identity, name, trust),
        Step::AssignRole {
            identity,
            scope,
            role_definition_id,
            ..
        } => format!(
            "{}az role assignment create --role {} --scope {} \\\n  \
             --assignee-object-id \"$principal_id\" --assignee-principal-type ServicePrincipal\n",
            look_up(&within, identity, &["principal_id"]),
            quoted(role_guid(role_definition_id)),
            quoted(scope)
        ),
        Step::AnnotateServiceAccount {
            namespace,
            name,
            identity,
            ..
        } => format!(
            "{}kubectl apply --server-side --field-manager={FIELD_MANAGER} --filename=- <<END\n\
             apiVersion: v1\n\
             kind: ServiceAccount\n\
             metadata:\n  \
               name: \"{name}\"\n  \
               namespace: \"{namespace}\"\n  \
               annotations:\n    \
                 {CLIENT_ID}: \"$client_id\"\n    \
                 {TENANT_ID}: \"$tenant_id\"\n\
             END\n",
            look_up(&within, identity, &["client_id", "tenant_id"]),
        ),
    }
}

/// The arguments that name the group.
pub(super) fn within(group: &GroupId) -> String {
    let (subscription, name) = (group.subscription, quoted(&group.name));
    format!("--subscription {subscription} --resource-group {name}")
}

fn credential(verb: &str, within: &str, identity: &str, name: &str, trust: &Trust) -> String {
    format!(
        "az identity federated-credential {verb} {within} --identity-name {} --name {} \\\n  \
         --issuer {} --subject {} --audiences {}\n",
        quoted(identity),
        quoted(name),
        quoted(&trust.issuer),
        quoted(&trust.subject),
        quoted(&trust.audience)
    )
}

/// Sets a variable for each id of an identity: `client_id` is az's `clientId`.
fn look_up(within: &str, identity: &str, ids: &[&str]) -> String {
    let mut text = String::new();
    for id in ids {
        let query = id.replace("_id", "Id");
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{id}=$(az identity show {within} --name {} --query {query} --output tsv)",
            quoted(identity)
        );
    }
    text
}

/// A word of the shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words() {
        for (word, expected) in [
            ("a b", "'a b'"),
            ("$(x)`y`", "'$(x)`y`'"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
