//! `explain`: why each pod is injected or not, rule by rule.

use std::io::Write;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use super::context::Context;
use super::manifests::{Beside, Manifests};
use super::workload::{Workload, workloads};
use crate::exit::Exit;
use crate::inject::{Decision, Explanation, Look, Status, Step, Verdict, explain};
use crate::names;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    manifests: Manifests,
    /// How the explanation is printed
    #[arg(short, long, env = "EXPLAIN_OUTPUT", value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    beside: Beside,
}

/// How the explanation is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people: a block a pod, in aligned columns.
    #[default]
    Table,
    /// For machines: a list with an object for each pod.
    Json,
}

/// Why one pod is injected or not.
#[derive(Debug, Serialize)]
struct Report {
    kind: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    rules: Vec<Step>,
    /// `injected`, `unchanged`, `skipped` or `denied`, as in the webhook's log.
    decision: &'static str,
    /// The short name of a reason to skip or deny.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// What was decided, as a sentence.
    sentence: String,
    /// What would be added, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    adds: Option<Status>,
    warnings: Vec<String>,
}

/// Runs `explain`: prints how the decision on each pod came about.
///
/// # Errors
/// When a file can't be read or holds no YAML.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let manifests = args.manifests.read()?;
    let context = args.beside.context(&manifests)?;
    let mut reports = Vec::new();
    for manifest in manifests.iter().map(|document| &document.value) {
        for workload in workloads(manifest) {
            if let Some(pod) = manifest.pointer(&workload.pointer) {
                reports.push(report(pod, workload, &context));
            }
        }
    }
    if reports.is_empty() {
        eprintln!(
            "nothing to explain: no document is a Pod or of a kind that makes Pods (kinds have case)"
        );
    }
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&reports)? + "\n",
        Output::Table => {
            let blocks: Vec<String> = reports.iter().map(block).collect();
            blocks.join("\n")
        }
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("standard output")?;
    let denied = reports.iter().any(|report| report.decision == "denied");
    Ok(if denied { Exit::Failed } else { Exit::Done })
}

fn report(pod: &Value, workload: Workload, context: &Context) -> Report {
    let explanation = match context.input(pod, &workload) {
        Ok(input) => explain(&input),
        Err(reason) => Explanation {
            steps: Vec::new(),
            verdict: Verdict {
                decision: Decision::Skip(reason),
                warnings: Vec::new(),
            },
            adds: None,
        },
    };
    let mut rules = vec![opt_in(context.opt_in(&workload))];
    rules.extend(explanation.steps);
    let (decision, reason, sentence) = decision(&explanation.verdict.decision, &explanation.adds);
    let warnings = workload.misplaced.iter();
    let warnings = warnings.chain(&explanation.verdict.warnings);
    Report {
        warnings: warnings.map(ToString::to_string).collect(),
        kind: workload.kind,
        name: workload.name,
        namespace: workload.namespace,
        rules,
        decision,
        reason,
        sentence,
        adds: explanation.adds,
    }
}

/// The rule that the API server applies before it asks the webhook.
fn opt_in(label: Option<Option<&str>>) -> Step {
    let look = match label {
        Some(label) => Look {
            from: "Namespace label".to_owned(),
            key: names::USE.to_owned(),
            value: label.map(str::to_owned),
        },
        // One that is not known counts as opted in.
        None => Look::default_of("Namespace"),
    };
    let opted_in = label.is_none_or(|label| label == Some("true"));
    Step {
        rule: "namespace-opted-in",
        outcome: if opted_in { "yes" } else { "no" }.to_owned(),
        look,
    }
}

fn decision(
    decision: &Decision,
    adds: &Option<Status>,
) -> (&'static str, Option<&'static str>, String) {
    match decision {
        Decision::Inject(plan) => {
            let what = match plan.settings.proxy {
                Some(_) => "identity and proxy",
                None => "identity",
            };
            match adds {
                Some(_) => ("injected", None, what.to_owned()),
                None => ("unchanged", None, format!("{what}: nothing is lacking")),
            }
        }
        Decision::Skip(reason) => ("skipped", Some(reason.as_str()), reason.to_string()),
        Decision::Refuse(refusal) => ("denied", Some(refusal.reason()), refusal.to_string()),
    }
}

fn block(report: &Report) -> String {
    let Report {
        kind,
        name,
        decision,
        sentence,
        ..
    } = report;
    let cells = report
        .rules
        .iter()
        .map(|step| (step.rule, &*step.outcome, step.look.to_string()));
    let rows: Vec<_> = [("RULE", "OUTCOME", "FROM".to_owned())]
        .into_iter()
        .chain(cells)
        .collect();
    let widest = |cell: fn(&(&str, &str, String)) -> usize| rows.iter().map(cell).max();
    let rule_width = widest(|row| row.0.chars().count()).unwrap_or_default();
    let outcome_width = widest(|row| row.1.chars().count()).unwrap_or_default();
    let mut text = format!("{kind} {name}\n");
    for (rule, outcome, from) in &rows {
        text += &format!("  {rule:rule_width$}  {outcome:outcome_width$}  {from}\n");
    }
    let reason = report
        .reason
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default();
    text += &format!("  {decision}{reason}: {sentence}\n");
    for line in report.adds.iter().flat_map(additions) {
        text += &format!("    {line}\n");
    }
    for warning in &report.warnings {
        text += &format!("  warning: {warning}\n");
    }
    text
}

/// What would be added, a line for each kind of thing.
fn additions(status: &Status) -> Vec<String> {
    let list = |names: &std::collections::BTreeSet<String>| {
        names
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let kinds = [
        ("init containers", &status.init_containers),
        ("containers", &status.containers),
        ("volumes", &status.volumes),
        ("token mounted in", &status.mounts),
        ("annotations", &status.annotations),
    ];
    let kinds = kinds.into_iter().filter(|(_, names)| !names.is_empty());
    let kinds = kinds.map(|(kind, names)| format!("{kind}: {}", list(names)));
    let env = status.env.iter();
    let env = env.map(|(container, names)| format!("variables of {container}: {}", list(names)));
    kinds.chain(env).collect()
}
