//! What is printed on stdout, as a table for people or JSON for machines.

use clap::ValueEnum;

use super::plan::Plan;
use super::removal::Removal;
use super::report::Report;
use super::step::{Row, Step};
use super::undo::Undo;
use super::verify::Finding;

/// How the plan is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people: one line a step, in aligned columns
    #[default]
    Table,
    /// For machines; `apply` prints at its end what came of each
    Json,
}

/// The plan as text that ends in a line break.
///
/// # Errors
/// When it can't be written as JSON.
pub fn render(plan: &Plan, output: Output) -> Result<String, serde_json::Error> {
    match output {
        Output::Table => Ok(table(
            plan.steps.iter().map(Step::row).collect(),
            plan.adopted
                .iter()
                .map(|adopted| format!("note: {adopted}")),
        )),
        Output::Json => Ok(serde_json::to_string_pretty(plan)? + "\n"),
    }
}

/// The way back as text that ends in a line break.
///
/// # Errors
/// When it can't be written as JSON.
pub fn render_removal(removal: &Removal, output: Output) -> Result<String, serde_json::Error> {
    match output {
        Output::Table => Ok(table(
            removal.steps.iter().map(Undo::row).collect(),
            removal.left.iter().map(|left| format!("left: {left}")),
        )),
        Output::Json => Ok(serde_json::to_string_pretty(removal)? + "\n"),
    }
}

/// What came of a run, as JSON that ends in a line break.
///
/// # Errors
/// When it can't be written as JSON.
pub fn render_report(report: &Report) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

/// What came of each ServiceAccount, one line each.
///
/// # Errors
/// When it can't be written as JSON.
pub fn render_findings(findings: &[Finding], output: Output) -> Result<String, serde_json::Error> {
    match output {
        Output::Table => Ok(findings
            .iter()
            .map(|finding| format!("{finding}\n"))
            .collect()),
        Output::Json => Ok(serde_json::to_string_pretty(findings)? + "\n"),
    }
}

fn table(rows: Vec<Row>, notes: impl Iterator<Item = String>) -> String {
    let mut text = match rows.is_empty() {
        true => "nothing to do\n".to_owned(),
        false => columns(rows.into_iter()),
    };
    for note in notes {
        text.push_str(&note);
        text.push('\n');
    }
    text
}

fn columns(rows: impl Iterator<Item = Row>) -> String {
    let head = ["ACTION", "KIND", "NAME", "DETAIL"].map(str::to_owned);
    let cells = |row: Row| {
        [
            row.action.to_owned(),
            row.kind.to_owned(),
            row.name,
            row.detail,
        ]
    };
    let lines: Vec<_> = std::iter::once(head).chain(rows.map(cells)).collect();
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let (action, kind, name) = (width(0), width(1), width(2));
    lines
        .iter()
        .map(|[a, k, n, detail]| {
            let line = format!("{a:action$}  {k:kind$}  {n:name$}  {detail}");
            line.trim_end().to_owned() + "\n"
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Output, render};
    use crate::azure::arm::Trust;
    use crate::setup::adopted::Adopted;
    use crate::setup::ledger::Change;
    use crate::setup::plan::Plan;
    use crate::setup::step::Step;

    fn plan() -> Plan {
        Plan {
            steps: vec![
                Step::CreateIdentity {
                    name: "idA".to_owned(),
                    location: "WestUS2".to_owned(),
                },
                Step::CreateFederatedCredential {
                    identity: "idA".to_owned(),
                    name: "ns-sa-00000000".to_owned(),
                    trust: Trust {
                        issuer: "https://i/".to_owned(),
                        subject: "s".to_owned(),
                        audience: "a".to_owned(),
                    },
                },
            ],
            adopted: vec![Adopted::ResourceGroup {
                name: "rg".to_owned(),
                location: "eastus".to_owned(),
            }],
            noted: Change::default(),
        }
    }

    #[test]
    fn table_is_aligned() {
        let expected = "\
ACTION  KIND                 NAME                DETAIL
create  ManagedIdentity      idA                 in WestUS2
create  FederatedCredential  idA/ns-sa-00000000  trusts s of https://i/
note: resource group rg is in eastus: used as it is
";
        assert_eq!(render(&plan(), Output::Table).unwrap(), expected);
        assert_eq!(
            render(&Plan::default(), Output::Table).unwrap(),
            "nothing to do\n"
        );
    }

    #[test]
    fn json_has_a_field_for_each_value() {
        let text = render(&plan(), Output::Json).unwrap();
        let expected = json!({
            "steps": [
                {"step": "createIdentity", "name": "idA", "location": "WestUS2"},
                {"step": "createFederatedCredential", "identity": "idA", "name": "ns-sa-00000000",
                    "issuer": "https://i/", "subject": "s", "audience": "a"},
            ],
            "adopted": [{"adopted": "resourceGroup", "name": "rg", "location": "eastus"}],
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }
}
