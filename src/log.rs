//! Log output: text for people, JSON for machines, always on stderr.

use std::io::IsTerminal;

use clap::{Args as ClapArgs, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::screen::Screen;

/// Where kube logs each call that fails, beside giving the error to us, who say it in context.
const ALREADY_SAID: &str = "kube_client::client::builder";

/// Log flags, shared by every command.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// How log lines look
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = Format::Text, global = true)]
    pub log_format: Format,
    /// error, warn, info, debug or trace; also per room, as in `info,identity_injector::proxy=debug`
    #[arg(long, env = "LOG_LEVEL", default_value = "info", global = true, value_parser = levels)]
    pub log_level: Targets,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sets the process's log output. Call once. Gives what it writes to.
#[must_use]
pub fn init(args: &Args) -> Screen {
    let log = tracing_subscriber::registry().with(args.log_level.clone());
    let screen = match args.log_format {
        Format::Text => Screen::with_bars(),
        Format::Json => Screen::plain(),
    };
    let writer = screen.clone();
    let lines = fmt::layer().with_writer(move || writer.clone());
    match args.log_format {
        Format::Text => {
            let ansi = std::io::stderr().is_terminal();
            log.with(lines.with_target(false).with_ansi(ansi)).init();
        }
        Format::Json => log.with(lines.json().flatten_event(true)).init(),
    }
    screen
}

/// Reads levels. A word that is no level must not pass as the name of a room: it would silence all others.
fn levels(text: &str) -> Result<Targets, String> {
    let legal = "use error, warn, info, debug, trace or off, or ROOM=LEVEL, separated by commas";
    // An empty word would pass as `error`.
    let is_level =
        |word: &str| word.contains('=') || !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    if !text.split(',').all(is_level) {
        return Err(legal.to_owned());
    }
    format!("{ALREADY_SAID}=off,{text}")
        .parse()
        .map_err(|_| legal.to_owned())
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::levels;

    #[test]
    fn level_names() {
        // text, and whether proxy and kube are heard at debug
        let table = [
            ("info", Some((false, false))),
            ("DEBUG", Some((true, true))),
            ("info,identity_injector::proxy=debug", Some((true, false))),
            ("off", Some((false, false))),
            ("nonsense", None),
            ("info,nonsense", None),
            ("info,identity_injector=loud", None),
            ("", None),
        ];
        for (text, expected) in table {
            let heard = levels(text).ok().map(|levels| {
                let heard = |target| levels.would_enable(target, &Level::DEBUG);
                (heard("identity_injector::proxy"), heard("kube_client"))
            });
            assert_eq!(heard, expected, "{text:?}");
        }
        let levels = levels("trace").unwrap();
        assert!(!levels.would_enable("kube_client::client::builder", &Level::ERROR));
    }
}
