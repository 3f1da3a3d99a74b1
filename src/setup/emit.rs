//! A plan as a script for the az CLI and kubectl, for who may not give a job rights in Azure. Pure.

use std::fmt::Write;

use clap::ValueEnum;

use super::desired::Desired;
use super::plan::Plan;
use super::step::Step;
use crate::azure::arm::{GroupId, Trust, role_guid};
use crate::names::{CLIENT_ID, FIELD_MANAGER, TENANT_ID};

/// What a plan is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A POSIX shell script that calls az and kubectl
    Az,
}

const HEAD: &str = "\
#!/bin/sh
# What setup would do. It is not in setup's ledger, so `setup destroy` will leave it.
set -eu
";

/// The steps of `plan`, in order, as text that ends in a line break.
#[must_use]
pub fn emit(plan: &Plan, desired: &Desired, format: Format) -> String {
    match format {
        Format::Az => plan.steps.iter().fold(HEAD.to_owned(), |text, step| {
            text + "\n# " + &step.to_string() + "\n" + &az(step, &desired.group)
        }),
    }
}

fn az(step: &Step, group: &GroupId) -> String {
    let subscription = format!("--subscription {}", group.subscription);
    let within = format!("{subscription} --resource-group {}", quoted(&group.name));
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
