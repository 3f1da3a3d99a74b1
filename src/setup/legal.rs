//! What Azure and Kubernetes take as values, beside the words that refuse another.

use uuid::Uuid;

use crate::azure::address;
use crate::kubernetes::{is_dns_label, is_dns_subdomain};

/// Azure's limit of an issuer, subject or audience, in characters.
const TRUST_LENGTH: usize = 600;

/// What a value may be.
pub(super) struct Rule {
    /// What to use instead; ends the sentence that refuses.
    pub(super) words: &'static str,
    /// Whether a value is legal.
    pub(super) allows: fn(&str) -> bool,
}

pub(super) const ISSUER: Rule = Rule {
    words: "use auto, {aks: ...} or an https URL of at most 600 characters, without user, query and fragment",
    allows: |text| {
        // The URL parser mends what is none of these; Azure compares what it was given.
        let plain = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
        (AUDIENCE.allows)(text)
            && text.chars().all(plain)
            && address::plain(text).is_ok_and(|url| url.scheme() == "https")
    },
};

pub(super) const AUDIENCE: Rule = Rule {
    words: "use 1 to 600 characters, no white space",
    allows: |text| {
        let blank = |c: char| c.is_whitespace() || c.is_control();
        (1..=TRUST_LENGTH).contains(&text.chars().count()) && !text.contains(blank)
    },
};

pub(super) const LOCATION: Rule = Rule {
    words: "use a region, as WestUS2",
    allows: |text| {
        let word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric());
        text.split(' ').all(word)
    },
};

pub(super) const GROUP_NAME: Rule = Rule {
    words: "use 1 to 90 letters, digits and . _ - ( ), with no full stop at the end",
    allows: |name| {
        let word = |c: char| c.is_alphanumeric() || "._-()".contains(c);
        (1..=90).contains(&name.chars().count()) && name.chars().all(word) && !name.ends_with('.')
    },
};

pub(super) const IDENTITY_NAME: Rule = Rule {
    words: "use 3 to 128 letters, digits, hyphens and underscores, a letter or digit first",
    allows: |name| (3..=128).contains(&name.len()) && is_word(name),
};

pub(super) const AKS_NAME: Rule = Rule {
    words: "use 1 to 63 letters, digits, hyphens and underscores, a letter or digit first",
    allows: |name| (1..=63).contains(&name.len()) && is_word(name),
};

pub(super) const NAMESPACE: Rule = Rule {
    words: "use a DNS label: 1 to 63 lower-case letters, digits and hyphens, no hyphen first or last",
    allows: is_dns_label,
};

pub(super) const SERVICE_ACCOUNT: Rule = Rule {
    words: "use a DNS name: at most 253 characters, labels of lower-case letters, digits and hyphens \
            with full stops between",
    allows: is_dns_subdomain,
};

pub(super) const SCOPE: Rule = Rule {
    words: "use an ARM id without a slash at the end: /subscriptions/GUID, a group or resource in it, or \
            /providers/Microsoft.Management/managementGroups/NAME",
    allows: |scope| {
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\\%?#".contains(c);
        let segments: Vec<_> = scope.split('/').collect();
        let same = |segment: &str, name: &str| segment.eq_ignore_ascii_case(name);
        let known = match segments.as_slice() {
            ["", kind, guid, ..] if same(kind, "subscriptions") => Uuid::parse_str(guid).is_ok(),
            ["", kind, provider, group, _] => {
                same(kind, "providers")
                    && same(provider, "Microsoft.Management")
                    && same(group, "managementGroups")
            }
            _ => false,
        };
        let named = |segment: &&str| !matches!(*segment, "" | "." | "..");
        known && scope.chars().all(plain) && segments.iter().skip(1).all(named)
    },
};

pub(super) const ROLE: Rule = Rule {
    words: "use a role's name, as Reader, or its GUID",
    allows: |role| {
        (1..=512).contains(&role.chars().count())
            && role.trim() == role
            && !role.contains(char::is_control)
            && !role.contains('/')
    },
};

fn is_word(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric();
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c == '-' || c == '_')
}
