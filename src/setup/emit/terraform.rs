//! A plan as a Terraform module. Pure.
//!
//! ServiceAccounts are left to kubectl, by commands in the comments: the kubernetes provider would own them whole, and
//! delete with the identity what pods run under; who may write to Azure often has no way to the cluster at all.

use std::collections::BTreeMap;

use super::symbols::Symbols;
use super::{HEAD, commented};
use crate::azure::arm::{GroupId, Trust, request, role_guid};
use crate::setup::plan::Plan;
use crate::setup::step::Step;

/// The first azurerm that has `user_assigned_identity_id`.
const PROVIDERS: &str = r#"terraform {
  required_version = ">= 1.5"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = ">= 4.65, < 6"
    }
  }
}
"#;

const IDENTITY: &str = "azurerm_user_assigned_identity";
const CREDENTIAL: &str = "azurerm_federated_identity_credential";

/// The module.
pub(super) fn module(plan: &Plan, group: &GroupId) -> String {
    let mut module = Module::new(plan, group);
    for step in &plan.steps {
        module.add(step);
    }
    let commands = plan.steps.iter().filter(|step| is_on_cluster(step));
    module.text + &commented::tail("#", commands, group)
}

fn is_on_cluster(step: &Step) -> bool {
    matches!(step, Step::AnnotateServiceAccount { .. })
}

struct Module<'a> {
    group: &'a GroupId,
    text: String,
    symbols: Symbols,
    /// How each identity is referred to.
    identities: BTreeMap<&'a str, String>,
    /// The credential of each identity that was written last.
    latest: BTreeMap<&'a str, String>,
    /// How the group is referred to.
    group_reference: &'static str,
}

impl<'a> Module<'a> {
    fn new(plan: &Plan, group: &'a GroupId) -> Self {
        let subscription = quoted(&group.subscription.to_string());
        let made = |step: &Step| matches!(step, Step::CreateResourceGroup { .. });
        let on_cluster = plan.steps.iter().any(is_on_cluster);
        let how = commented::head(
            "#",
            "setup.tf",
            "terraform init\nterraform apply\n",
            on_cluster,
        );
        let mut module = Self {
            group,
            text: format!(
                "# {HEAD}\n\
                 {how}\n\
                 {PROVIDERS}\n\
                 provider \"azurerm\" {{\n  features {{}}\n  subscription_id = {subscription}\n}}\n"
            ),
            symbols: Symbols::default(),
            identities: BTreeMap::new(),
            latest: BTreeMap::new(),
            group_reference: "azurerm_resource_group.group",
        };
        if !plan.steps.iter().any(made) {
            module.group_reference = "data.azurerm_resource_group.group";
            let name = ("name", quoted(&group.name));
            module.block("data \"azurerm_resource_group\" \"group\"", &[name]);
        }
        module
    }

    fn add(&mut self, step: &'a Step) {
        match step {
            Step::CreateResourceGroup { name, location } => {
                self.comment(step);
                let arguments = [("name", quoted(name)), ("location", quoted(location))];
                self.block("resource \"azurerm_resource_group\" \"group\"", &arguments);
            }
            Step::CreateIdentity { name, location } => {
                self.comment(step);
                let symbol = self.symbols.of(name);
                let arguments = [
                    ("name", quoted(name)),
                    (
                        "resource_group_name",
                        format!("{}.name", self.group_reference),
                    ),
                    ("location", quoted(location)),
                ];
                self.block(&format!("resource \"{IDENTITY}\" \"{symbol}\""), &arguments);
                self.identities.insert(name, format!("{IDENTITY}.{symbol}"));
            }
            Step::CreateFederatedCredential {
                identity,
                name,
                trust,
            }
            | Step::UpdateFederatedCredential {
                identity,
                name,
                trust,
                ..
            } => {
                let identity_reference = self.identity(identity);
                self.comment(step);
                let symbol = self.credential(identity, &identity_reference, name, trust);
                if matches!(step, Step::UpdateFederatedCredential { .. }) {
                    let id = request::put_credential(self.group, identity, name, trust).id();
                    let to = format!("{CREDENTIAL}.{symbol}");
                    self.block("import", &[("to", to), ("id", quoted(&id))]);
                }
            }
            Step::AssignRole {
                identity,
                scope,
                role,
                role_definition_id,
                ..
            } => {
                let identity_reference = self.identity(identity);
                self.comment(step);
                let symbol = self.symbols.of(&format!("{identity}-{role}"));
                let principal_id = format!("{identity_reference}.principal_id");
                // The name that setup gives too, so that it finds its own.
                let name = format!(
                    "uuidv5(\"url\", lower(\"{}|${{{principal_id}}}|{}\"))",
                    escaped(scope),
                    escaped(role_guid(role_definition_id))
                );
                self.block(
                    &format!("resource \"azurerm_role_assignment\" \"{symbol}\""),
                    &[
                        ("name", name),
                        ("scope", quoted(scope)),
                        ("role_definition_id", quoted(role_definition_id)),
                        ("principal_id", principal_id),
                        ("principal_type", quoted("ServicePrincipal")),
                    ],
                );
            }
            Step::AnnotateServiceAccount { .. } => {}
        }
    }

    /// How an identity is referred to; one that is there already is looked up first.
    fn identity(&mut self, name: &'a str) -> String {
        if let Some(reference) = self.identities.get(name) {
            return reference.clone();
        }
        let symbol = self.symbols.of(name);
        let arguments = [
            ("name", quoted(name)),
            (
                "resource_group_name",
                format!("{}.name", self.group_reference),
            ),
        ];
        self.block(&format!("data \"{IDENTITY}\" \"{symbol}\""), &arguments);
        let reference = format!("data.{IDENTITY}.{symbol}");
        self.identities.insert(name, reference.clone());
        reference
    }

    /// Azure refuses two writes to one identity's credentials at once, so each waits for the one before.
    fn credential(
        &mut self,
        identity: &'a str,
        identity_reference: &str,
        name: &str,
        trust: &Trust,
    ) -> String {
        let symbol = self.symbols.of(name);
        let mut arguments = vec![
            ("name", quoted(name)),
            (
                "user_assigned_identity_id",
                format!("{identity_reference}.id"),
            ),
            ("issuer", quoted(&trust.issuer)),
            ("subject", quoted(&trust.subject)),
            ("audience", format!("[{}]", quoted(&trust.audience))),
        ];
        if let Some(before) = self.latest.insert(identity, symbol.clone()) {
            arguments.push(("depends_on", format!("[{CREDENTIAL}.{before}]")));
        }
        self.block(
            &format!("resource \"{CREDENTIAL}\" \"{symbol}\""),
            &arguments,
        );
        symbol
    }

    fn comment(&mut self, step: &Step) {
        self.text += &format!("\n# {step}");
    }

    /// A block of arguments, their values below each other.
    fn block(&mut self, head: &str, arguments: &[(&str, String)]) {
        let widths = arguments.iter().map(|(name, _)| name.len());
        let width = widths.max().unwrap_or_default();
        let lines = arguments.iter();
        let lines = lines.map(|(name, value)| format!("  {name:width$} = {value}\n"));
        self.text += &format!("\n{head} {{\n{}}}\n", lines.collect::<String>());
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// What stands for itself between double quotes.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('"', "\\\"");
    let text = text
        .replace('\n', r"\n")
        .replace('\r', r"\r")
        .replace('\t', r"\t");
    text.replace("${", "$${").replace("%{", "%%{")
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn strings() {
        for (text, expected) in [
            ("it's", r#""it's""#),
            (r#"a "b" \ c"#, r#""a \"b\" \\ c""#),
            ("${a} $b $ {c}", r#""$${a} $b $ {c}""#),
            ("%{if true}", r#""%%{if true}""#),
            ("$${a}", r#""$$${a}""#),
            ("a\nb\tc\r", r#""a\nb\tc\r""#),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
