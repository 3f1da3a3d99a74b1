//! The plan on stdout, as a table for people or JSON for machines.

use clap::ValueEnum;

use super::plan::Plan;
use super::step::Row;

/// How the plan is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people: one line a step, in aligned columns
    #[default]
    Table,
    /// For machines: one object with `steps` and `adopted`
    Json,
}

/// The plan as text that ends in a line break.
///
/// # Errors
/// When it can't be written as JSON.
pub fn render(plan: &Plan, output: Output) -> Result<String, serde_json::Error> {
    match output {
        Output::Table => Ok(table(plan)),
        Output::Json => Ok(serde_json::to_string_pretty(plan)? + "\n"),
    }
}

fn table(plan: &Plan) -> String {
    let mut text = String::new();
    if plan.steps.is_empty() {
        text.push_str("nothing to do\n");
    } else {
        text.push_str(&columns(plan.steps.iter().map(super::step::Step::row)));
    }
    for adopted in &plan.adopted {
        text.push_str(&format!("note: {adopted}\n"));
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
        .map(|[a, k, n, detail]| format!("{a:action$}  {k:kind$}  {n:name$}  {detail}\n"))
        .collect()
}
