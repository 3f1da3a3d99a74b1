//! What this replica serves: the last pair that was offered and that API servers believe, swapped between handshakes.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use prometheus_client::metrics::gauge::Gauge;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use super::now;
use super::pair::Pair;
use super::rotation::{SETTLE, swaps};
use super::trust::Configuration;
use super::watched::Watched;
use crate::webhook::ready::{Pending, Readiness};

/// How often readiness is looked at where nothing changes: certificates run out by themselves.
const LOOK: Duration = Duration::from_secs(30);
/// The same while caBundle is fresh: a certificate may wait for API servers to learn of it.
const SOON: Duration = Duration::from_secs(1);
/// How long a new caBundle takes to reach an API server that is not behind: before that, no replica becomes ready by it.
const LEARNED: Duration = Duration::from_secs(2);

/// The pair that is served; none at first.
#[derive(Default)]
pub struct Serving(RwLock<Option<(Pair, Arc<CertifiedKey>)>>);

/// The two gauges of the certificate.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// Until when the served certificate is valid, in seconds since 1970.
    pub not_after: Gauge,
    /// 1 where every webhook of the configuration believes it, else 0.
    pub in_sync: Gauge,
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Serving")
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let served = self.0.read().unwrap_or_else(PoisonError::into_inner);
        served.as_ref().map(|(_, certified)| certified.clone())
    }
}

impl Serving {
    /// What is served.
    #[must_use]
    pub fn pair(&self) -> Option<Pair> {
        let served = self.0.read().unwrap_or_else(PoisonError::into_inner);
        served.as_ref().map(|(pair, _)| pair.clone())
    }

    fn swap(&self, pair: Pair, certified: CertifiedKey) {
        let mut served = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *served = Some((pair, Arc::new(certified)));
    }
}

/// What decides on the served pair, and what is told of it.
pub struct Decider {
    /// The listener's.
    pub serving: Arc<Serving>,
    /// What is offered.
    pub offered: watch::Receiver<Option<Pair>>,
    /// Whom API servers believe.
    pub configuration: watch::Receiver<Watched<MutatingWebhookConfiguration>>,
    /// Whether there has to be a configuration for a replica to be ready.
    pub needs_configuration: bool,
    /// Held until a certificate is served.
    pub certificate: Option<Pending>,
    /// Held until API servers believe it.
    pub bundle: Option<Pending>,
    /// The pair that was said to be held back.
    pub held: Option<Pair>,
    /// Where readiness is told.
    pub readiness: Readiness,
    /// Where operators look.
    pub gauges: Gauges,
}

impl Decider {
    /// Decides at each change, for ever.
    pub async fn decide(mut self) {
        let mut refused = None;
        let mut trust = Trust::default();
        loop {
            let offered = self.offered.borrow_and_update().clone();
            let watched = self.configuration.borrow_and_update().clone();
            let live = watched.present().map(|object| Configuration::of(object));
            let (known, now) = (watched.is_known(), now());
            if known {
                trust.look(live.as_ref());
            }
            if let Some(offered) = offered.filter(|it| refused.as_ref() != Some(it)) {
                refused = self.consider(offered, live.as_ref(), trust.unchanged(), now);
            }
            if let Some(pair) = self.serving.pair() {
                self.certificate = None;
                let believed = live.as_ref().map(|it| it.accepts(&pair, now));
                self.gauges.in_sync.set((believed == Some(true)).into());
                let believed = believed.unwrap_or(known && !self.needs_configuration);
                self.tell(believed, trust.is_learned());
            }
            let soon = trust.unchanged() < SETTLE;
            tokio::select! {
                changed = self.offered.changed() => if changed.is_err() { return },
                changed = self.configuration.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(if soon { SOON } else { LOOK }) => {}
            }
        }
    }

    /// Serves the pair if it should be; gives it back if it can't be.
    fn consider(
        &mut self,
        offered: Pair,
        live: Option<&Configuration>,
        unchanged: Duration,
        now: i64,
    ) -> Option<Pair> {
        let served = self.serving.pair();
        if served.as_ref() == Some(&offered) {
            return None;
        }
        let usable = offered
            .certified()
            .and_then(|it| Ok((it, offered.validity()?)));
        let (certified, validity) = match usable {
            Ok(usable) => usable,
            Err(error) => {
                tracing::warn!(%error, "new certificate not usable; the old one goes on");
                return Some(offered);
            }
        };
        if !swaps(served.as_ref(), &offered, live, unchanged, now) {
            // Believed, and only too fresh: it is served in seconds.
            let fresh = live.is_none_or(|live| live.accepts(&offered, now));
            if !fresh && self.held.as_ref() != Some(&offered) {
                tracing::warn!(from = %offered, "new certificate held back: API servers would not believe it, see caBundle");
                self.held = Some(offered);
            }
            return None;
        }
        self.gauges.not_after.set(validity.until);
        tracing::info!(from = %offered, not_after = validity.until, "certificate served");
        self.serving.swap(offered, certified);
        None
    }

    fn tell(&mut self, believed: bool, learned: bool) {
        match (believed, &self.bundle) {
            (true, Some(_)) if learned => self.bundle = None,
            (false, None) => {
                tracing::warn!(
                    "API servers would not believe the served certificate: see caBundle"
                );
                self.bundle = Some(self.readiness.pending("ca-bundle"));
            }
            _ => {}
        }
    }
}

/// The caBundles, and since when they are what they are.
#[derive(Default)]
struct Trust {
    seen: Option<(Vec<Vec<u8>>, Instant)>,
    /// Whether they changed while we looked.
    changed: bool,
}

impl Trust {
    fn look(&mut self, live: Option<&Configuration>) {
        let bundles = live.map(Configuration::bundles).unwrap_or_default();
        match &self.seen {
            Some((seen, _)) if *seen == bundles => {}
            seen => {
                self.changed = seen.is_some();
                self.seen = Some((bundles, Instant::now()));
            }
        }
    }

    fn unchanged(&self) -> Duration {
        let since = self.seen.as_ref().map(|(_, since)| since.elapsed());
        since.unwrap_or_default()
    }

    /// Whether API servers know what we know.
    fn is_learned(&self) -> bool {
        !self.changed || self.unchanged() >= LEARNED
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::webhook::certificate::files;

    const IN_2040: i64 = 2_208_988_800;
    const IN_2050: i64 = 2_524_608_000;

    /// Writes a pair as the kubelet mounts it: `tls.crt -> ..data/tls.crt`, `..data` swapped by rename.
    fn mount(volume: &Path, generation: usize, certificate: &str, key: &str) {
        let folder = volume.join(generation.to_string());
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("tls.crt"), certificate).unwrap();
        std::fs::write(folder.join("tls.key"), key).unwrap();
        let link = volume.join("..data_tmp");
        std::os::unix::fs::symlink(generation.to_string(), &link).unwrap();
        std::fs::rename(link, volume.join("..data")).unwrap();
        for name in ["tls.crt", "tls.key"] {
            let link = volume.join(name);
            if !link.exists() {
                std::os::unix::fs::symlink(Path::new("..data").join(name), link).unwrap();
            }
        }
    }

    fn pair(last_year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[tokio::test]
    async fn follows_the_kubelets_symlink_swap_and_keeps_the_old_pair_for_a_torn_one() {
        let volume = tempfile::tempdir().unwrap();
        let ((first, first_key), (second, second_key)) = (pair(2040), pair(2050));
        mount(volume.path(), 0, &first, &first_key);
        let read = files::read(volume.path()).await.unwrap();
        let offers = watch::Sender::new(Some(read));
        let configurations = watch::Sender::new(Watched::Absent);
        let readiness = Readiness::default();
        let (serving, gauges) = (Arc::new(Serving::default()), Gauges::default());
        let decider = Decider {
            serving: serving.clone(),
            offered: offers.subscribe(),
            configuration: configurations.subscribe(),
            needs_configuration: false,
            certificate: Some(readiness.pending("certificate")),
            bundle: Some(readiness.pending("ca-bundle")),
            held: None,
            readiness: readiness.clone(),
            gauges: gauges.clone(),
        };
        let deciding = tokio::spawn(decider.decide());
        let poll = Duration::from_millis(2);
        let following = tokio::spawn(files::follow(volume.path().into(), offers, poll));
        let steps = [
            ("a torn pair", &second, &first_key, IN_2040),
            ("no certificate", &String::new(), &first_key, IN_2040),
            ("a new pair", &second, &second_key, IN_2050),
            ("torn again", &first, &second_key, IN_2050),
            ("the old pair", &first, &first_key, IN_2040),
        ];
        for (generation, (case, certificate, key, until)) in steps.into_iter().enumerate() {
            mount(volume.path(), generation + 1, certificate, key);
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(gauges.not_after.get(), until, "{case}");
            let served = serving.pair().unwrap().validity().unwrap();
            assert_eq!(served.until, until, "{case}");
        }
        assert!(readiness.parts().into_iter().all(|(_, ready)| ready));
        following.abort();
        deciding.abort();
    }

    #[tokio::test]
    async fn a_folder_without_a_pair_is_named() {
        let error = files::read(Path::new("/nowhere")).await.err().unwrap();
        assert!(
            error.to_string().starts_with("/nowhere/tls.crt: "),
            "{error}"
        );
    }
}
