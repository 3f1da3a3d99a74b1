//! A million request targets: none of those that are handed on can be read as the node's identity.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use http::{HeaderMap, Method, Uri};
use identity_injector::proxy::imds::{Route, Rules, route};
use identity_injector::proxy::path::collapsed;
use identity_injector::proxy::resource_ids::ResourceIds;
use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::reading::means_identity;

const STARTS: [&str; 10] = [
    "/",
    "/",
    "/",
    "",
    "//",
    "http://169.254.169.254/",
    "HTTP://localhost:8000/",
    "http://x@169.254.169.254",
    "169.254.169.254:80",
    "http:/",
];
const METADATA: [&str; 6] = [
    "metadata",
    "Metadata",
    "METADATA",
    "%6detadata",
    "metadat%61",
    "\u{ff4d}etadata",
];
const SLASHES: [&str; 12] = [
    "/", "/", "/", "//", "\\", "%2f", "%2F", "%5c", "%252f", "%25252F", "%c0%af", "\u{ff0f}",
];
const MARKS: [&str; 24] = [
    ".", "..", "%2e", "%2E%2e", "/./", "/../", "/..;/", ";", ";x=1", "%3b", "%00", "%0a", "%09",
    " ", "\t", "?", "#", "%3f", "%23", "~", "@", ":80", "&", "*",
];
const REST: [&str; 10] = [
    "identity",
    "identity",
    "Identity",
    "%69dentity",
    "identit%79",
    "oauth2",
    "token",
    "instance",
    "getplatformmetadata",
    "machine",
];

/// A target's parts are the digits of a number, as a million trees of strategies take minutes.
struct Digits(u128);

impl Digits {
    fn below(&mut self, base: usize) -> usize {
        let digit = self.0 % base as u128;
        self.0 /= base as u128;
        usize::try_from(digit).unwrap()
    }

    fn of(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len())]
    }

    /// Nothing, in three of four cases.
    fn mark(&mut self) -> &'static str {
        match self.below(4) {
            0 => self.of(&MARKS),
            _ => "",
        }
    }
}

/// A start, a word, which is mostly `metadata`, and up to four further words, with marks between.
fn target(number: u128) -> String {
    let mut digits = Digits(number);
    let mut target = digits.of(&STARTS).to_owned();
    target += match digits.below(4) {
        0 => digits.of(&REST),
        _ => digits.of(&METADATA),
    };
    for _ in 0..digits.below(5) {
        target += digits.mark();
        target += digits.of(&SLASHES);
        target += digits.mark();
        target += digits.of(&REST);
    }
    target + digits.mark()
}

#[test]
fn a_million_targets() {
    let rules = Rules {
        tenant_id: Arc::from("tenant"),
        client_id: Some(Arc::from("client")),
        identity_headers: Vec::new(),
        resource_ids: ResourceIds::default(),
    };
    let headers: HeaderMap = [("metadata", "true")]
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .into_iter()
        .collect();
    let (handed_on, held_back, identities) =
        (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let config = Config {
        cases: 1_000_000,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&any::<u128>().prop_map(target), |target| {
        let identity = means_identity(&target);
        identities.fetch_add(identity.into(), Relaxed);
        // What is no target for the HTTP library is answered with 400 before we see it.
        let Ok(uri) = target.parse::<Uri>() else {
            return Ok(());
        };
        if route(&Method::GET, &uri, &headers, &rules) != Route::Passthrough {
            held_back.fetch_add(1, Relaxed);
            return Ok(());
        }
        handed_on.fetch_add(1, Relaxed);
        if identity || means_identity(collapsed(uri.path())) {
            return Err(TestCaseError::fail(format!("{target:?} is handed on")));
        }
        Ok(())
    });
    outcome.unwrap();
    // The silence above means something: each kind was there in numbers.
    for (name, count) in [
        ("handed on", handed_on),
        ("held back", held_back),
        ("identities", identities),
    ] {
        assert!(count.load(Relaxed) > 20_000, "{name}: {count:?}");
    }
}
