//! What became of a request: one closed set behind the metrics, the log and the audit annotations.

use crate::inject::{Reason, Refusal};

/// What became of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// The pod gets something.
    Injected,
    /// The pod has everything already.
    #[default]
    Unchanged,
    /// The pod stays as it is.
    Skipped(Reason),
    /// The request is about no new pod; the webhook's rules should not have sent it.
    NotANewPod,
    /// The request is about what makes pods; it was warned of at most.
    Workload,
    /// The pod may not be created, for a [`Refusal::reason`].
    Denied(&'static str),
    /// The API server did not say what the decision needs.
    LookupFailed,
    /// The body is no review.
    Unreadable,
}

impl Outcome {
    /// Every outcome that a webhook can have.
    pub fn all() -> impl Iterator<Item = Outcome> {
        let skipped = [Reason::OptedOut, Reason::NotRequested, Reason::MirrorPod];
        [
            Outcome::Injected,
            Outcome::Unchanged,
            Outcome::NotANewPod,
            Outcome::Workload,
            Outcome::LookupFailed,
            Outcome::Unreadable,
        ]
        .into_iter()
        .chain(skipped.map(Outcome::Skipped))
        .chain(Refusal::REASONS.map(Outcome::Denied))
    }

    /// The outcome in a word; never changes.
    #[must_use]
    pub fn result(self) -> &'static str {
        match self {
            Outcome::Injected => "injected",
            Outcome::Unchanged => "unchanged",
            Outcome::Skipped(_) | Outcome::NotANewPod | Outcome::Workload => "skipped",
            Outcome::Denied(_) => "denied",
            Outcome::LookupFailed | Outcome::Unreadable => "error",
        }
    }

    /// Why, in a word that never changes; empty where the result says it all.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Outcome::Injected | Outcome::Unchanged => "",
            Outcome::Skipped(reason) => reason.as_str(),
            Outcome::NotANewPod => "not_a_new_pod",
            Outcome::Workload => "workload",
            Outcome::Denied(reason) => reason,
            Outcome::LookupFailed => "lookup_failed",
            Outcome::Unreadable => "unreadable",
        }
    }
}
