//! A config of many identities, each for 5 ServiceAccounts.

use std::fmt::Write;

/// How many ServiceAccounts each identity has.
pub const ACCOUNTS: usize = 5;

/// `config` with so many identities in the place of its own: `id-N` for `sa-N-0` to `sa-N-4` of `namespace`.
pub fn identities(config: &str, namespace: &str, count: usize) -> String {
    let mut text = config.split("  - name:").next().unwrap().to_owned();
    for identity in 0..count {
        let accounts: Vec<_> = (0..ACCOUNTS)
            .map(|account| format!("{{namespace: {namespace}, name: sa-{identity}-{account}}}"))
            .collect();
        let accounts = accounts.join(", ");
        writeln!(
            text,
            "  - {{name: id-{identity}, serviceAccounts: [{accounts}]}}"
        )
        .unwrap();
    }
    text
}
