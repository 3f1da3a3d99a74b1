//! Shell commands in the comments of a file that can't do the same, and the line that takes them out. Pure.

use super::az;
use crate::azure::arm::GroupId;
use crate::setup::step::Step;

/// The lines at the head of `file`: save it, run these, and then the commands at its end if there are any.
pub(super) fn head(comment: &str, file: &str, commands: &str, has_tail: bool) -> String {
    let mut text = format!("{comment}\n{comment} Save it as {file}, then run:\n");
    text += &lines(commands, &format!("{comment}   "));
    if has_tail {
        text += &format!(
            "{comment}   sed -n 's|^{comment}[$] ||p' {file} | sh -eu   # the commands at its end\n"
        );
    }
    text
}

/// The commands of these steps, for the end of a file; nothing if there are none.
pub(super) fn tail<'s>(
    comment: &str,
    steps: impl IntoIterator<Item = &'s Step>,
    group: &GroupId,
) -> String {
    let start = format!("{comment}$ ");
    let text: String = steps
        .into_iter()
        .map(|step| lines(&format!("# {step}\n{}", az::commands(step, group)), &start))
        .collect();
    match text.as_str() {
        "" => text,
        commands => format!("\n{comment} What is left to az and kubectl:\n{commands}"),
    }
}

fn lines(commands: &str, start: &str) -> String {
    let lines = commands.lines();
    lines.map(|line| format!("{start}{line}\n")).collect()
}
