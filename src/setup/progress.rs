//! What people see of a run while it goes: a line a step, and on a terminal a bar below the lines.

use std::fmt::Display;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::screen::Screen;

/// The steps of a run as they come and go.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Of so many steps, none of them begun.
    #[must_use]
    pub fn new(screen: &Screen, steps: usize) -> Self {
        Self(screen.bar(steps))
    }

    /// Shows a step that begins, or waits for its turn.
    pub fn begin(&self, step: &impl Display) {
        self.0.set_message(step.to_string());
    }

    /// Says how a step ended, and ARM's id of its call.
    pub fn done(&self, step: &impl Display, took: Duration, how: &str, id: Option<&str>) {
        let duration_ms = took.as_millis();
        tracing::info!(duration_ms, correlation_id = id, "{step}: {how}");
        self.0.inc(1);
    }

    /// Says that a step failed. Why is for the end.
    pub fn failed(&self, step: &impl Display, took: Duration, id: Option<&str>) {
        let duration_ms = took.as_millis();
        tracing::error!(duration_ms, correlation_id = id, "{step}: failed");
    }
}
