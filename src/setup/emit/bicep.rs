//! A plan as a Bicep file at the scope of the resource group. Pure.
//!
//! A file can neither make the group it is deployed to, nor give roles elsewhere, nor reach the cluster: that is left
//! to commands in its comments, which one line takes out of it.

use std::collections::BTreeSet;

use super::symbols::Symbols;
use super::{HEAD, az, commented};
use crate::azure::arm::{GroupId, Trust, assignment_name, role_guid, same_name};
use crate::setup::plan::Plan;
use crate::setup::step::Step;

const IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";
const IDENTITIES_VERSION: &str = "2024-11-30";
const ASSIGNMENT: &str = "Microsoft.Authorization/roleAssignments@2022-04-01";

/// The file.
pub(super) fn file(plan: &Plan, group: &GroupId) -> String {
    let (before, rest): (Vec<_>, Vec<_>) = plan
        .steps
        .iter()
        .partition(|step| matches!(step, Step::CreateResourceGroup { .. }));
    let (after, within): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|step| !is_within(step, group));
    let before = before.into_iter().map(|step| az::commands(step, group));
    let commands = before.collect::<String>() + &deployment(group);
    [
        format!("// {HEAD}\n"),
        commented::head("//", "setup.bicep", &commands, !after.is_empty()),
        "\ntargetScope = 'resourceGroup'\n".to_owned(),
        resources(&within, group),
        commented::tail("//", after, group),
    ]
    .concat()
}

/// Whether a step's effect is in the group.
fn is_within(step: &Step, group: &GroupId) -> bool {
    match step {
        Step::AssignRole { scope, .. } => same_name(scope, &group_path(group)),
        Step::AnnotateServiceAccount { .. } => false,
        Step::CreateResourceGroup { .. }
        | Step::CreateIdentity { .. }
        | Step::CreateFederatedCredential { .. }
        | Step::UpdateFederatedCredential { .. } => true,
    }
}

fn group_path(group: &GroupId) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{}",
        group.subscription, group.name
    )
}

/// The resources of each identity: itself, its credentials, its roles.
fn resources(steps: &[&Step], group: &GroupId) -> String {
    let mut symbols = Symbols::default();
    let mut text = String::new();
    let mut seen = BTreeSet::new();
    let names = steps.iter().filter_map(|step| step.identity());
    for name in names.filter(|name| seen.insert(*name)) {
        let symbol = symbols.of(&format!("identity_{name}"));
        let steps = || steps.iter().filter(|step| step.identity() == Some(name));
        let location = steps().find_map(|step| match step {
            Step::CreateIdentity { location, .. } => Some(location.as_str()),
            _ => None,
        });
        text += &identity(&symbol, name, location);
        let credentials: String = steps().filter_map(|step| credential(step)).collect();
        if !credentials.is_empty() {
            let list = symbols.of(&format!("credentials_{name}"));
            text += &credentials_of(&symbol, &list, &credentials);
        }
        for step in steps() {
            text += &role(step, &symbol, &mut symbols, group);
        }
    }
    text
}

fn identity(symbol: &str, name: &str, location: Option<&str>) -> String {
    let name = quoted(name);
    let (existing, location) = match location {
        Some(location) => ("", format!("  location: {}\n", quoted(location))),
        None => ("existing ", String::new()),
    };
    format!(
        "\nresource {symbol} '{IDENTITY}@{IDENTITIES_VERSION}' {existing}= {{\n  name: {name}\n{location}}}\n"
    )
}

/// An item of the list of credentials.
fn credential(step: &Step) -> Option<String> {
    let (Step::CreateFederatedCredential { name, trust, .. }
    | Step::UpdateFederatedCredential { name, trust, .. }) = step
    else {
        return None;
    };
    let Trust {
        issuer,
        subject,
        audience,
    } = trust;
    let [name, issuer, subject, audience] = [name, issuer, subject, audience].map(|it| quoted(it));
    Some(format!(
        "  {{\n    name: {name}\n    issuer: {issuer}\n    subject: {subject}\n    audience: {audience}\n  }}\n"
    ))
}

fn credentials_of(identity: &str, list: &str, items: &str) -> String {
    format!(
        "\n// One after the other: Azure refuses two writes to one identity's credentials at once.\n\
         @batchSize(1)\n\
         resource {list} '{IDENTITY}/federatedIdentityCredentials@{IDENTITIES_VERSION}' = [for credential in [\n\
         {items}]: {{\n  \
           parent: {identity}\n  \
           name: credential.name\n  \
           properties: {{\n    \
             issuer: credential.issuer\n    \
             subject: credential.subject\n    \
             audiences: [\n      \
               credential.audience\n    \
             ]\n  \
           }}\n\
         }}]\n"
    )
}

/// A role at the group itself; of another step nothing.
fn role(step: &Step, identity: &str, symbols: &mut Symbols, group: &GroupId) -> String {
    let Step::AssignRole {
        identity: identity_name,
        scope,
        role,
        role_definition_id,
        principal_id,
    } = step
    else {
        return String::new();
    };
    let symbol = symbols.of(&format!("role_{identity_name}_{role}"));
    // Setup's own name has the principal in it, and a new identity's is not known when names are made.
    let name = match principal_id {
        Some(id) => quoted(&assignment_name(scope, id, role_definition_id).to_string()),
        None => {
            let role = quoted(role_guid(role_definition_id));
            format!("guid(resourceGroup().id, {identity}.id, {role})")
        }
    };
    let id = quoted(role_definition_id);
    format!(
        "\n// {step}, at {}\n\
         resource {symbol} '{ASSIGNMENT}' = {{\n  \
           name: {name}\n  \
           properties: {{\n    \
             roleDefinitionId: {id}\n    \
             principalId: {identity}.properties.principalId\n    \
             principalType: 'ServicePrincipal'\n  \
           }}\n\
         }}\n",
        group.name
    )
}

fn deployment(group: &GroupId) -> String {
    format!(
        "az deployment group create {} --template-file setup.bicep\n",
        az::within(group)
    )
}

/// A string literal.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('\'', r"\'");
    let text = text
        .replace('\n', r"\n")
        .replace('\r', r"\r")
        .replace('\t', r"\t");
    format!("'{}'", text.replace("${", r"\${"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn strings() {
        for (text, expected) in [
            ("it's", r"'it\'s'"),
            (r#"a "b" \ c"#, r#"'a "b" \\ c'"#),
            ("${a} $b $ {c}", r"'\${a} $b $ {c}'"),
            ("$${a}", r"'$\${a}'"),
            (r"\${a}", r"'\\\${a}'"),
            ("a\nb\tc\r", r"'a\nb\tc\r'"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
