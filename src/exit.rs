//! Exit codes, said once.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, nothing to report.
    Done = 0,
    /// Found something, or failed.
    Failed = 1,
    /// Could not check.
    CouldNotCheck = 2,
    /// The command line was wrong (EX_USAGE of sysexits.h).
    Usage = 64,
}

/// Why a command ended early, and the code for it.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// Why, to be printed with its causes.
    pub error: anyhow::Error,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            exit: Exit::Failed,
            error: error.into(),
        }
    }
}
