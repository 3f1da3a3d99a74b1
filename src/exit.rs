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

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
