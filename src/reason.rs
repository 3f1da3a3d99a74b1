//! Errors as people read them.
//!
//! Our own say their cause themselves, as a whole sentence. Those of other crates differ: reqwest's leave the cause to be
//! asked for, kube's do both. So errors are printed through here, and by no other way that walks their causes.

use std::error::Error;
use std::iter;

/// An error with its causes, on one line. What is said already is not said again.
#[must_use]
pub fn reason(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for error in iter::successors(Some(error), |error| (*error).source()) {
        let said = error.to_string();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            text = said;
        } else if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::reason;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("file x: {0}")]
        Says(#[source] io::Error),
        #[error("file x")]
        Leaves(#[source] io::Error),
    }

    #[test]
    fn causes_are_said_once() {
        let cause = || io::Error::other("no\n  disk");
        for error in [Outer::Says(cause()), Outer::Leaves(cause())] {
            assert_eq!(reason(&error), "file x: no disk", "{error:?}");
        }
    }
}
