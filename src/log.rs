//! Log output: text for people, JSON for machines, always on stderr.

use std::io::IsTerminal;

use clap::{Args as ClapArgs, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Log flags, shared by every command.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// How log lines look
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = Format::Text, global = true)]
    pub log_format: Format,
    /// error, warn, info, debug or trace; also per room, as in `info,identity_injector::proxy=debug`
    #[arg(long, env = "LOG_LEVEL", default_value = "info", global = true)]
    pub log_level: String,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The log level can't be read.
#[derive(Debug, thiserror::Error)]
#[error("--log-level {level:?}: {source}; use error, warn, info, debug or trace")]
pub struct BadLevel {
    level: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Sets the process's log output. Call once.
///
/// # Errors
/// When the level is none of the known ones.
pub fn init(args: &Args) -> Result<(), BadLevel> {
    let filter = EnvFilter::builder()
        .parse(&args.log_level)
        .map_err(|source| BadLevel {
            level: args.log_level.clone(),
            source,
        })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match args.log_format {
        Format::Text => lines
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .init(),
        Format::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
