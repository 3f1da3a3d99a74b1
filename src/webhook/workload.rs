//! Warnings for whoever applies a Deployment, Job or another workload: those of its pods reach a controller only.

use std::time::Instant;

use super::handler::Webhook;
use super::outcome::Outcome;
use super::review::{Answer, Request};
use crate::inject::{Decision, MOST_WARNINGS, WARNING_LENGTH, Warning, above_template, template};

impl Webhook {
    /// What the workload's author should know of its pods. Never a denial, never a patch.
    pub async fn advise(&self, request: &Request, deadline: Instant) -> Answer {
        let kind = &request.kind;
        let template = template(&kind.api_version(), &kind.kind);
        let mut texts = Vec::new();
        let mut warnings = Vec::new();
        if let Some(template) = template
            && let Some(pod) = request.object.pointer(template)
        {
            warnings = above_template(&request.object, template);
            // A look-up that fails is no reason to hold a workload up: its pods are asked about anyway.
            if let Ok(verdict) = self.verdict(pod, &request.namespace, deadline).await {
                if let Decision::Refuse(refusal) = verdict.decision {
                    texts = wrapped(&format!("its pods will be refused: {refusal}"));
                }
                warnings.extend(verdict.warnings);
            }
        }
        // A ServiceAccount that comes later is no mistake: pods wait for it.
        warnings.retain(|warning| !matches!(warning, Warning::NoServiceAccount { .. }));
        self.metrics.warned(&warnings);
        texts.extend(warnings.iter().map(Warning::text));
        texts.truncate(MOST_WARNINGS);
        Answer {
            warnings: texts,
            outcome: Outcome::Workload,
            ..Answer::default()
        }
    }
}

/// A sentence in as many lines as the length asks for, broken between words.
fn wrapped(sentence: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in sentence.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WARNING_LENGTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sentence_is_broken_between_words() {
        let long = "word ".repeat(60);
        let lines = wrapped(long.trim_end());
        assert!(
            lines
                .iter()
                .all(|line| line.chars().count() <= WARNING_LENGTH),
            "{lines:?}"
        );
        assert_eq!(
            (lines.len(), lines.join(" ")),
            (3, long.trim_end().to_owned())
        );
        assert_eq!(wrapped("short"), ["short"]);
    }
}
