//! Patterns with `*` for any text and `?` for one character.

/// Whether the whole text fits the pattern.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut characters = pattern.chars();
    match characters.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = characters.as_str();
            text.char_indices()
                .map(|(start, _)| start)
                .chain([text.len()])
                .any(|start| matches(rest, &text[start..]))
        }
        Some(expected) => {
            let mut left = text.chars();
            left.next()
                .is_some_and(|found| expected == '?' || expected == found)
                && matches(characters.as_str(), left.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        let table = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*/x/*", "/a/x/y/x/z", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
