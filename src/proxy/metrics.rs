//! What the proxy counts. Every label is a word of a closed set, no name of anybody or anything; the series are there
//! from the start, at zero: a rate sees the first event.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::azure::aadsts::Class;
use crate::azure::token::{Exchanges, OBTAINED};
use crate::exposition::{self, Labels};
use crate::proxy::imds::Protocol;
use crate::proxy::passthrough::Unanswered;
use crate::proxy::refusal::Refusal;

/// The node answered.
const ANSWERED: &str = "answered";

/// Everything the proxy measures.
#[derive(Debug)]
pub struct Metrics {
    /// All of it, for who reads it.
    pub registry: Arc<Registry>,
    token_requests: Family<Labels<2>, Counter>,
    refusals: Family<Labels<1>, Counter>,
    passed: Family<Labels<1>, Counter>,
}

impl Metrics {
    /// Everything at zero; the exchanges are counted where they are made.
    #[must_use]
    pub fn new(exchanges: &Exchanges) -> Self {
        let token_requests = Family::<Labels<2>, Counter>::default();
        let refusals = Family::<Labels<1>, Counter>::default();
        let passed = Family::<Labels<1>, Counter>::default();
        for outcome in [OBTAINED].into_iter().chain(Class::ALL.map(Class::as_str)) {
            drop(exchanges.get_or_create(&[("outcome", outcome)]));
            for protocol in Protocol::ALL {
                drop(token_requests.get_or_create(&token_request(protocol, outcome)));
            }
        }
        for reason in Refusal::ERRORS {
            drop(refusals.get_or_create(&[("reason", reason)]));
        }
        for outcome in [ANSWERED].into_iter().chain(Unanswered::WORDS) {
            drop(passed.get_or_create(&[("outcome", outcome)]));
        }
        let mut registry = exposition::registry();
        registry.register(
            "azwi_proxy_token_requests",
            "Token requests by protocol and by what the application got",
            token_requests.clone(),
        );
        registry.register(
            "azwi_proxy_exchanges",
            "Requests to Microsoft Entra by what it answered",
            exchanges.clone(),
        );
        registry.register(
            "azwi_proxy_refusals",
            "Requests that were refused without asking anybody, by the error they got",
            refusals.clone(),
        );
        registry.register(
            "azwi_proxy_passthrough",
            "Requests for the node's instance metadata service by how they ended",
            passed.clone(),
        );
        Self {
            registry: Arc::new(registry),
            token_requests,
            refusals,
            passed,
        }
    }

    /// Counts a token request that ended with a token, or in a failure.
    pub fn asked(&self, protocol: Protocol, failure: Option<Class>) {
        let outcome = failure.map_or(OBTAINED, Class::as_str);
        let labels = token_request(protocol, outcome);
        self.token_requests.get_or_create(&labels).inc();
    }

    /// Counts a request that was refused.
    pub fn refused(&self, refusal: &Refusal) {
        let labels = [("reason", refusal.error())];
        self.refusals.get_or_create(&labels).inc();
    }

    /// Counts a request that was the node's to answer.
    pub fn passed(&self, failure: Option<&Unanswered>) {
        let labels = [("outcome", failure.map_or(ANSWERED, Unanswered::as_str))];
        self.passed.get_or_create(&labels).inc();
    }
}

fn token_request(protocol: Protocol, outcome: &'static str) -> Labels<2> {
    [("protocol", protocol.as_str()), ("outcome", outcome)]
}
