//! Standard error as people see it: lines, and on a terminal a bar below them while something goes on.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressFinish, ProgressStyle};

const BAR: &str = "{bar:24} {pos} of {len}, {elapsed}  {wide_msg}";
/// How often a bar is drawn anew while nothing happens, for its clock.
const TICK: Duration = Duration::from_secs(1);

/// Standard error. Clones write to the same one.
#[derive(Clone, Debug)]
pub struct Screen(Option<MultiProgress>);

impl Screen {
    /// Lines alone, as for who reads them by a program.
    #[must_use]
    pub fn plain() -> Self {
        Self(None)
    }

    /// Lines and bars if standard error is a terminal that can move its cursor, else lines alone.
    #[must_use]
    pub fn with_bars() -> Self {
        let moves = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        Self((moves && io::stderr().is_terminal()).then(MultiProgress::new))
    }

    /// A bar of so many steps, which is gone once it is dropped.
    #[must_use]
    pub fn bar(&self, steps: usize) -> ProgressBar {
        let (Some(bars), Ok(style)) = (&self.0, ProgressStyle::with_template(BAR)) else {
            return ProgressBar::hidden();
        };
        let bar = ProgressBar::new(u64::try_from(steps).unwrap_or(u64::MAX));
        let bar = bars.add(bar.with_style(style).with_finish(ProgressFinish::AndClear));
        bar.enable_steady_tick(TICK);
        bar
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Some(bars) => bars.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressStyle;

    use super::BAR;

    #[test]
    fn the_bar_is_one() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
