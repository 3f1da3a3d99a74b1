//! What the webhook counts, and the text that Prometheus reads.
//!
//! Label values are words of closed sets, and their series are there from the start, at zero: a rate sees the first
//! event. The one open label is the histogram's namespace, as the reference has it; see [`Durations`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::certificate::serving::Gauges;
use super::outcome::Outcome;
use crate::exposition::{self, Labels};
use crate::inject::Warning;

/// The reference's buckets, in seconds.
const BUCKETS: [f64; 32] = [
    0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008, 0.009, 0.01, //
    0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, //
    0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, //
    1.5, 2.0, 2.5, 3.0,
];

/// Everything the webhook measures.
#[derive(Debug)]
pub struct Metrics {
    /// All of it, for who reads it.
    pub registry: Arc<Registry>,
    admissions: Family<Labels<3>, Counter>,
    warnings: Family<Labels<1>, Counter>,
    durations: Durations,
    /// Where ServiceAccounts were found.
    pub lookups: Lookups,
    /// The served certificate.
    pub certificate: Gauges,
    /// 1 where azure-workload-identity is installed too, else 0.
    pub reference_installed: Gauge,
}

/// Look-ups of ServiceAccounts, by where and how they ended.
#[derive(Clone, Debug)]
pub struct Lookups {
    /// In the cache.
    pub cached: Counter,
    /// By a live GET.
    pub found: Counter,
    /// A live GET says that there is none.
    pub missing: Counter,
    /// A live GET was not answered in time.
    pub timeout: Counter,
    /// A live GET was refused.
    pub refused: Counter,
}

/// How long answers took, by namespace. A name is a label only while a Namespace of that name exists; anything else,
/// such as a name that somebody makes up, is counted under the empty name.
#[derive(Clone, Debug, Default)]
struct Durations(Arc<RwLock<HashMap<Box<str>, Histogram>>>);

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = exposition::registry();
        let admissions = Family::<Labels<3>, Counter>::default();
        for outcome in Outcome::all() {
            for dry_run in [false, true] {
                drop(admissions.get_or_create(&admission(outcome, dry_run)));
            }
        }
        let warnings = Family::<Labels<1>, Counter>::default();
        for reason in Warning::REASONS {
            drop(warnings.get_or_create(&[("reason", reason)]));
        }
        let lookups = Family::<Labels<2>, Counter>::default();
        let durations = Durations::default();
        let certificate = Gauges::default();
        registry.register_collector(Box::new(durations.clone()));
        registry.register(
            "azwi_admission",
            "Admission requests by what became of them",
            admissions.clone(),
        );
        registry.register(
            "azwi_admission_warnings",
            "Warnings given on pods, by their reason",
            warnings.clone(),
        );
        registry.register(
            "azwi_sa_lookup",
            "Look-ups of ServiceAccounts by where and how they ended",
            lookups.clone(),
        );
        registry.register(
            "azwi_cert_not_after_seconds",
            "Until when the served certificate is valid, in seconds since 1970",
            certificate.not_after.clone(),
        );
        registry.register(
            "azwi_ca_bundle_in_sync",
            "1 where every webhook of the MutatingWebhookConfiguration believes the served certificate, else 0",
            certificate.in_sync.clone(),
        );
        let reference_installed = Gauge::default();
        registry.register(
            "azwi_reference_installed",
            "1 where azure-workload-identity or the AKS add-on is installed too, else 0",
            reference_installed.clone(),
        );
        Metrics {
            registry: Arc::new(registry),
            admissions,
            warnings,
            durations,
            lookups: Lookups::of(&lookups),
            certificate,
            reference_installed,
        }
    }
}

impl Metrics {
    /// Counts a request.
    pub fn admitted(&self, outcome: Outcome, dry_run: bool) {
        self.admissions
            .get_or_create(&admission(outcome, dry_run))
            .inc();
    }

    /// Counts a pod's warnings.
    pub fn warned(&self, warnings: &[Warning]) {
        for warning in warnings {
            self.warnings
                .get_or_create(&[("reason", warning.reason())])
                .inc();
        }
    }

    /// Measures an answer about a pod of `namespace`.
    pub fn answered(&self, namespace: &str, took: Duration, exists: impl Fn(&str) -> bool) {
        self.durations
            .observe(namespace, took.as_secs_f64(), exists);
    }
}

impl Lookups {
    fn of(family: &Family<Labels<2>, Counter>) -> Self {
        let series = |source, outcome| {
            family.get_or_create_owned(&[("source", source), ("outcome", outcome)])
        };
        Lookups {
            cached: series("cache", "found"),
            found: series("live", "found"),
            missing: series("live", "missing"),
            timeout: series("live", "timeout"),
            refused: series("live", "refused"),
        }
    }
}

impl Durations {
    fn observe(&self, namespace: &str, seconds: f64, exists: impl Fn(&str) -> bool) {
        let namespace = if exists(namespace) { namespace } else { "" };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(histogram) = known.get(namespace) {
            return histogram.observe(seconds);
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // A new name makes room: clusters that make and delete a Namespace for each test run must not fill memory.
        known.retain(|namespace, _| namespace.is_empty() || exists(namespace));
        known
            .entry(namespace.into())
            .or_insert_with(|| Histogram::new(BUCKETS))
            .observe(seconds);
    }
}

/// A collector, because a registered metric's help gets a full stop, which the reference's does not have.
impl Collector for Durations {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut encoder = encoder.encode_descriptor(
            "azwi_mutation_request",
            "Distribution of how long it took for the azure-workload-identity mutation request",
            None,
            MetricType::Histogram,
        )?;
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for (namespace, histogram) in known.iter() {
            let labels = [("namespace", &**namespace), ("service_name", "webhook")];
            histogram.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn admission(outcome: Outcome, dry_run: bool) -> Labels<3> {
    [
        ("result", outcome.result()),
        ("reason", outcome.reason()),
        ("dry_run", if dry_run { "true" } else { "false" }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_a_label_while_it_exists() {
        let durations = Durations::default();
        let table: [(&str, &[&str], &[&str]); 5] = [
            ("a", &["a", "b"], &["a"]),
            ("made-up", &["a", "b"], &["", "a"]),
            ("also-made-up", &["a", "b"], &["", "a"]),
            ("b", &["a", "b"], &["", "a", "b"]),
            ("c", &["b", "c"], &["", "b", "c"]),
        ];
        for (asked, existing, expected) in table {
            durations.observe(asked, 0.1, |name| existing.contains(&name));
            let known = durations.0.read().unwrap();
            let mut names: Vec<&str> = known.keys().map(|name| &**name).collect();
            names.sort_unstable();
            assert_eq!(names, expected, "{asked}");
        }
    }
}
