//! What a person should know about one workload, as a line for standard error.

use std::fmt;

use super::workload::Workload;

/// A line about one workload.
#[derive(Debug)]
pub struct Note {
    severity: Severity,
    text: String,
}

/// What a note means for the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The result stands.
    Warning,
    /// Nothing is printed.
    Refused,
}

impl Note {
    /// A note about that workload.
    #[must_use]
    pub fn new(severity: Severity, workload: &Workload, text: &impl fmt::Display) -> Self {
        let Workload { kind, name, .. } = workload;
        let text = format!("{kind} {name}: {text}");
        Note { severity, text }
    }

    /// Whether nothing may be printed.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.severity == Severity::Refused
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Refused => "refused",
        };
        write!(f, "{severity}: {}", self.text)
    }
}
