//! What a run has to say as Kubernetes Events. Pure.

use std::collections::BTreeMap;

use super::desired::ServiceAccountId;
use super::journal::{End, Taken};
use super::report::{Account, Identity, Outcome, Report};
use super::step::Step;

/// What the API server takes of an Event's note, in bytes.
const NOTE_LENGTH: usize = 1024;

/// One Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The ServiceAccount it is about; none is the report.
    pub about: Option<ServiceAccountId>,
    /// Whether something is wrong.
    pub warning: bool,
    /// In a word.
    pub reason: &'static str,
    /// In a sentence, as long as an Event's may be.
    pub note: String,
}

/// Of each ServiceAccount that was annotated, or was begun and failed, and at the end of the run.
#[must_use]
pub fn notices(report: &Report, taken: &[Taken]) -> Vec<Notice> {
    let of_accounts = report.identities.iter().flat_map(|identity| {
        let lane: Vec<_> = taken
            .iter()
            .filter(|taken| taken.step.identity() == Some(&identity.name))
            .collect();
        let accounts = identity.service_accounts.iter();
        accounts.filter_map(move |account| of_account(identity, account, &lane))
    });
    of_accounts.chain([of_run(report)]).collect()
}

fn of_account(identity: &Identity, account: &Account, lane: &[&Taken]) -> Option<Notice> {
    let annotated = lane.iter().any(|taken| {
        let annotates = matches!(taken.step, Step::AnnotateServiceAccount { .. });
        annotates && taken.step.concerns(&account.id) && matches!(taken.end, End::Well(_))
    });
    let failure = lane.iter().find_map(|taken| match &taken.end {
        End::Failed { error, .. } => Some(format!("{}: {error}", taken.step)),
        End::Well(_) => None,
    });
    let about = Some(account.id.clone());
    match failure {
        _ if annotated => Some(Notice {
            about,
            warning: false,
            reason: "IdentityAnnotated",
            note: cut(format!(
                "pods with this ServiceAccount get identity {}",
                identity.name
            )),
        }),
        Some(failure) if account.entry.outcome == Outcome::Failed => Some(Notice {
            about,
            warning: true,
            reason: "IdentityFailed",
            note: cut(format!("no identity {}: {failure}", identity.name)),
        }),
        // Not come to, for another identity's sake.
        _ => None,
    }
}

fn of_run(report: &Report) -> Notice {
    let mut counts = BTreeMap::new();
    for identity in &report.identities {
        *counts.entry(identity.entry.outcome).or_insert(0) += 1;
    }
    let counts: Vec<_> = counts
        .iter()
        .rev()
        .map(|(outcome, count)| format!("{count} {}", outcome.word()))
        .collect();
    let (reason, note) = match &report.error {
        None => ("SetupDone", format!("identities: {}", counts.join(", "))),
        Some(error) => ("SetupFailed", error.clone()),
    };
    Notice {
        about: None,
        warning: report.error.is_some(),
        reason,
        note: cut(note),
    }
}

fn cut(mut note: String) -> String {
    if note.len() > NOTE_LENGTH {
        let end = "...";
        note.truncate(note.floor_char_boundary(NOTE_LENGTH - end.len()));
        note += end;
    }
    note
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn notes_are_as_long_as_they_may_be() {
        let table = [
            ("short".to_owned(), "short".to_owned()),
            ("a".repeat(1024), "a".repeat(1024)),
            ("a".repeat(1025), "a".repeat(1021) + "..."),
            ("é".repeat(600), "é".repeat(510) + "..."),
        ];
        for (note, expected) in table {
            assert_eq!(cut(note.clone()), expected, "{note}");
        }
    }
}
