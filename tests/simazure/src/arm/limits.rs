//! The published request limits, as token buckets: Resource Manager's own and those of managed identities.

use std::collections::HashMap;

use axum::http::{HeaderName, Method};
use jiff::Timestamp;

use super::call::Call;
use super::error::Refusal;
use super::path::{Place, Target};

/// A limit: how many requests at once, and how many more each second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Limit {
    name: &'static str,
    burst: f64,
    each_second: f64,
}

/// What a caller can do to resources, as Resource Manager counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Read,
    Write,
    Delete,
}

/// What a caller can do to identities, as their provider counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Verb {
    Write,
    Get,
    List,
    Delete,
}

/// Whose requests a bucket counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Caller(Kind, String),
    Tenant(Verb),
    Subscription(Verb),
    Resource(Verb, String),
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

/// The buckets in use; none counts when the limits do not hold.
#[derive(Debug)]
pub(crate) struct Limits {
    hold: bool,
    buckets: HashMap<Key, Bucket>,
}

impl Kind {
    fn of(method: &Method) -> Self {
        match method.as_str() {
            "GET" | "HEAD" => Kind::Read,
            "DELETE" => Kind::Delete,
            _ => Kind::Write,
        }
    }

    /// A bucket for each caller, subscription and kind.
    fn limit(self) -> Limit {
        match self {
            Kind::Read => limit("read requests of a subscription", 250.0, 25.0),
            Kind::Write => limit("write requests of a subscription", 200.0, 10.0),
            Kind::Delete => limit("delete requests of a subscription", 200.0, 10.0),
        }
    }

    fn header(self) -> HeaderName {
        HeaderName::from_static(match self {
            Kind::Read => "x-ms-ratelimit-remaining-subscription-reads",
            Kind::Write => "x-ms-ratelimit-remaining-subscription-writes",
            Kind::Delete => "x-ms-ratelimit-remaining-subscription-deletes",
        })
    }
}

impl Verb {
    /// Requests a second in the tenant, the subscription, and for one identity.
    fn rates(self) -> [f64; 3] {
        match self {
            Verb::Write | Verb::Delete => [10.0, 2.0, 0.25],
            Verb::Get => [30.0, 10.0, 0.5],
            Verb::List => [15.0, 5.0, 0.25],
        }
    }
}

fn limit(name: &'static str, burst: f64, each_second: f64) -> Limit {
    Limit {
        name,
        burst,
        each_second,
    }
}

impl Limits {
    pub(crate) fn new(hold: bool) -> Self {
        Self {
            hold,
            buckets: HashMap::new(),
        }
    }

    /// Counts a call, or refuses it with the seconds to wait. A refused one costs nothing.
    pub(crate) fn admit(&mut self, call: &Call) -> Result<(HeaderName, String), Refusal> {
        let kind = Kind::of(&call.method);
        let own = kind.limit();
        let key = Key::Caller(kind, call.caller.clone());
        if !self.hold {
            return Ok((kind.header(), own.burst.to_string()));
        }
        let mut counted = vec![(key.clone(), own)];
        counted.extend(of_identities(call));
        for (key, limit) in &counted {
            let wait = (1.0 - self.tokens(key, *limit, call.now)) / limit.each_second;
            if wait > 0.0 {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "positive, and at most a few seconds"
                )]
                return Err(Refusal::TooManyRequests(limit.name, wait.ceil() as u64));
            }
        }
        for (key, limit) in counted {
            let tokens = self.tokens(&key, limit, call.now) - 1.0;
            let at = call.now;
            self.buckets.insert(key, Bucket { tokens, at });
        }
        let left = self.tokens(&key, own, call.now).floor();
        Ok((kind.header(), left.to_string()))
    }

    fn tokens(&self, key: &Key, limit: Limit, now: Timestamp) -> f64 {
        self.buckets.get(key).map_or(limit.burst, |bucket| {
            let passed = now.duration_since(bucket.at).as_secs_f64().max(0.0);
            (bucket.tokens + passed * limit.each_second).min(limit.burst)
        })
    }
}

/// The buckets of a call about identities. What is done to a credential is done to its identity.
fn of_identities(call: &Call) -> Vec<(Key, Limit)> {
    let resource = |place: &Place| format!("{}/{}", place.group, place.name).to_lowercase();
    let (verb, resource) = match (&call.target, call.method.as_str()) {
        (Target::Identities(group), _) => {
            (Verb::List, group.clone().unwrap_or_default().to_lowercase())
        }
        (Target::Credentials(place), _) => (Verb::List, resource(place)),
        (Target::Identity(place) | Target::Credential(place, _), method) => {
            let verb = match method {
                "GET" | "HEAD" => Verb::Get,
                "DELETE" => Verb::Delete,
                _ => Verb::Write,
            };
            (verb, resource(place))
        }
        _ => return Vec::new(),
    };
    let [tenant, subscription, one] = verb.rates();
    // One second's worth at once, but one at least.
    let each = |name, rate: f64| limit(name, rate.max(1.0), rate);
    vec![
        (
            Key::Tenant(verb),
            each("identity requests of a tenant", tenant),
        ),
        (
            Key::Subscription(verb),
            each("identity requests of a subscription", subscription),
        ),
        (
            Key::Resource(verb, resource),
            each("requests of one identity", one),
        ),
    ]
}
