//! What came of the steps of a run so far. It outlives the run, however that ends.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::progress::Progress;
use super::step::Step;
use super::write::{Outcome, WriteError};

/// A step that was begun and has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The step.
    pub step: Step,
    /// How it ended.
    pub end: End,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was done, or another had done it.
    Well(Outcome),
    /// It failed.
    Failed {
        /// Why, and what to do.
        error: String,
        /// ARM's id of the call, if ARM answered it.
        correlation_id: Option<String>,
    },
}

/// Keeps what is taken, and says it as it comes.
#[derive(Debug)]
pub struct Journal {
    progress: Progress,
    taken: Mutex<Vec<Taken>>,
}

impl Journal {
    /// An empty one.
    #[must_use]
    pub fn new(progress: Progress) -> Self {
        Self {
            progress,
            taken: Mutex::default(),
        }
    }

    /// What was taken so far, in the order of its ends.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.clone()
    }

    pub(super) fn begin(&self, step: &Step) {
        self.progress.begin(step);
    }

    pub(super) fn end(&self, step: &Step, took: Duration, outcome: &Result<Outcome, WriteError>) {
        let progress = &self.progress;
        let end = match outcome {
            Ok(outcome) => {
                let how = match outcome {
                    Outcome::Done(_) => "done",
                    Outcome::Adopted(_) => "another made it meanwhile, used as it is",
                };
                progress.done(step, took, how, outcome.correlation_id());
                End::Well(outcome.clone())
            }
            Err(error) => {
                progress.failed(step, took, error.correlation_id());
                End::Failed {
                    error: error.to_string(),
                    correlation_id: error.correlation_id().map(str::to_owned),
                }
            }
        };
        let step = step.clone();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.push(Taken { step, end });
    }
}
