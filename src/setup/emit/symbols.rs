//! Names of our own for what has names of Azure's and Kubernetes'.

use std::collections::BTreeSet;

/// The symbols given so far, each once.
#[derive(Debug, Default)]
pub(super) struct Symbols(BTreeSet<String>);

impl Symbols {
    /// A symbol of letters, digits and underscores, no digit first, that reads as `name` and was not given before.
    pub(super) fn of(&mut self, name: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let mut symbol: String = name.chars().map(plain).collect();
        if symbol.starts_with(|c: char| c.is_ascii_digit()) {
            symbol.insert(0, '_');
        }
        let counted = (2..).map(|n| format!("{symbol}_{n}"));
        let candidates = std::iter::once(symbol.clone()).chain(counted);
        let mut free = candidates.filter(|symbol| self.0.insert(symbol.clone()));
        free.next().unwrap_or(symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::Symbols;

    #[test]
    fn each_is_legal_and_given_once() {
        let mut symbols = Symbols::default();
        for (name, symbol) in [
            ("userAssignedIdentityA", "userAssignedIdentityA"),
            ("a-b", "a_b"),
            ("a_b", "a_b_2"),
            ("a.b", "a_b_3"),
            ("a_b_2", "a_b_2_2"),
            ("1st", "_1st"),
            ("größe", "gr__e"),
        ] {
            assert_eq!(symbols.of(name), symbol, "{name}");
        }
    }
}
