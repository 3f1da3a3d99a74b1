//! What the keeper does next: so that at no moment an API server meets a leaf it does not believe.
//!
//! A new authority is published beside the old ones, then API servers get time to learn of it, then the leaf changes,
//! then, when every replica serves the new leaf, the old authorities go. Each step starts from what is there, so a
//! keeper that died leaves nothing half done.

use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::pair::Pair;
use super::secret::{Forced, Kept};
use super::trust::{self, Configuration};

/// How long API servers have to learn of a caBundle. Their watches take milliseconds; a loaded one a few seconds.
pub const SETTLE: Duration = Duration::from_secs(10);
/// How long replicas have to take a leaf out of the Secret, also one that no EndpointSlice tells of yet, or any more.
const SPREAD: Duration = Duration::from_secs(5);
/// How long nothing is looked at, where nothing changes.
const REST: Duration = Duration::from_secs(3600);

/// What the keeper sees.
pub struct Seen<'a> {
    /// The Secret.
    pub kept: &'a Kept,
    /// The MutatingWebhookConfiguration, where there is one.
    pub configuration: Option<&'a Configuration>,
    /// The names a leaf must be for.
    pub hosts: &'a [String],
    /// For how long the configuration's caBundles have been what is kept.
    pub published: Option<Duration>,
    /// For how long the Secret's leaf has been what it is.
    pub offered: Duration,
    /// What this replica serves.
    pub served: Option<&'a Pair>,
}

/// One step.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Change the Secret.
    Change(Change),
    /// Write the Secret's authorities into every caBundle.
    Publish,
    /// Change the Secret, if every replica's leaf is of the newest authority.
    IfServed(Change),
    /// Nothing, for so long, unless something changes.
    Rest(Duration),
}

/// A change of the Secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// Why, for the log.
    pub why: &'static str,
    /// Whether a new authority comes before all others.
    pub authority: bool,
    /// The authorities behind the one that signs.
    pub behind: Vec<CertificateDer<'static>>,
    /// The leaf that stays; a new one where there is none.
    pub leaf: Option<LeafPem>,
}

/// A leaf that stays.
#[derive(Clone, PartialEq, Eq)]
pub struct LeafPem {
    /// `tls.crt`.
    pub certificate: Vec<u8>,
    /// `tls.key`.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for LeafPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LeafPem")
    }
}

/// The next step at `now`, in seconds since 1970.
#[must_use]
pub fn next(seen: &Seen<'_>, now: i64) -> Step {
    let kept = seen.kept;
    let mut authorities = kept.authorities.clone();
    authorities.retain(|authority| trust::holds(authority, now));
    let mut all = authorities.clone();
    trust::add(
        &mut all,
        seen.configuration
            .into_iter()
            .flat_map(|it| it.authorities(now)),
    );
    let believed = |pair: &Pair, roots: &[_]| seen.believed(pair, roots, now);
    let leaf = [kept.leaf.as_ref(), seen.served].into_iter().flatten();
    let leaf = leaf.into_iter().find(|pair| believed(pair, &all));

    let signer = kept.signer.as_ref().filter(|signer| {
        let is_due = signer.validity.is_due(now) || !signer.validity.holds(now);
        !is_due && kept.forced != Some(Forced::Authority)
    });
    let Some(signer) = signer else {
        // Also those that no leaf we know is of: another replica's may be.
        return Step::Change(Change {
            why: "a new authority",
            authority: true,
            behind: all,
            leaf: leaf.map(pem),
        });
    };
    let others = |mut all: Vec<CertificateDer<'static>>| {
        all.retain(|authority| *authority != signer.certificate);
        all
    };
    let change = |why, behind, leaf: Option<&Pair>| Change {
        why,
        authority: false,
        behind,
        leaf: leaf.map(pem),
    };
    let Some(leaf) = leaf else {
        return Step::Change(change(
            "a leaf, as there is none",
            others(authorities),
            None,
        ));
    };
    let forgotten = |pair: &&Pair| believed(pair, &all) && !believed(pair, &authorities);
    let forgets = [leaf]
        .into_iter()
        .chain(seen.served)
        .any(|pair| forgotten(&pair));
    if forgets || !kept.leaf.as_ref().is_some_and(|it| same(it, leaf)) {
        let why = "what is served, and whom API servers believe";
        return Step::Change(change(why, others(all), Some(leaf)));
    }
    let differs = |it: &Configuration| {
        let differs = |entry: &trust::Entry| trust::certificates(&entry.bundle) != kept.authorities;
        it.entries.iter().any(differs)
    };
    if seen.configuration.is_some_and(differs) {
        return Step::Publish;
    }
    let newest = [signer.certificate.clone()];
    let validity = leaf.validity().ok();
    let is_due = validity.is_none_or(|validity| validity.is_due(now));
    if is_due || kept.forced == Some(Forced::Leaf) || !believed(leaf, &newest) {
        return match (seen.configuration, seen.published) {
            (Some(_), published) if published.unwrap_or_default() < SETTLE => {
                Step::Rest(SETTLE.saturating_sub(published.unwrap_or_default()))
            }
            _ => Step::Change(change("a new leaf", others(authorities), None)),
        };
    }
    if kept.authorities != newest {
        if seen.offered < SPREAD {
            return Step::Rest(SPREAD - seen.offered);
        }
        return Step::IfServed(change(
            "no authority but the newest",
            Vec::new(),
            Some(leaf),
        ));
    }
    let due = validity.map_or(now, |validity| validity.due().min(signer.validity.due()));
    let left = Duration::from_secs(u64::try_from(due - now).unwrap_or_default());
    Step::Rest(left.min(REST))
}

/// Whether a replica that serves `served` is to serve `offered` instead, `live` being what API servers believe since
/// `unchanged`: unless some may believe the old one only.
#[must_use]
pub fn swaps(
    served: Option<&Pair>,
    offered: &Pair,
    live: Option<&Configuration>,
    unchanged: Duration,
    now: i64,
) -> bool {
    let (Some(served), Some(live)) = (served, live) else {
        return true;
    };
    !live.accepts(served, now) || (live.accepts(offered, now) && unchanged >= SETTLE)
}

impl Seen<'_> {
    fn believed(&self, pair: &Pair, roots: &[CertificateDer<'static>], now: i64) -> bool {
        let Ok(chain) = pair.chain() else {
            return false;
        };
        let verifies = |host: &String| trust::verifies(&chain, roots, host, now);
        self.hosts.iter().all(verifies)
    }
}

fn pem(pair: &Pair) -> LeafPem {
    LeafPem {
        certificate: pair.certificate.clone(),
        key: pair.key.clone(),
    }
}

fn same(one: &Pair, other: &Pair) -> bool {
    one.certificate == other.certificate && one.key == other.key
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::Secret;
    use rcgen::KeyPair;

    use super::*;
    use crate::names::ROTATE;
    use crate::webhook::certificate::authority::Authority;
    use crate::webhook::certificate::secret;
    use crate::webhook::certificate::trust::Entry;

    const DAY: i64 = 86_400;
    const START: i64 = 1_800_000_000;
    const HOST: &str = "identity-injector.identity-injector-system.svc";

    /// The objects, what the API server knows of them, and two replicas; no input or output.
    struct World {
        /// What the clock says.
        now: i64,
        /// Seconds that passed.
        passed: i64,
        secret: Option<Secret>,
        configuration: Configuration,
        /// When caBundle last changed.
        changed: i64,
        /// What an API server that is behind still believes, and until when.
        stale: (Vec<u8>, i64),
        /// What each replica serves; none for one that starts.
        replicas: [Option<Pair>; 2],
        /// Which of them were ever ready, so that API servers call them.
        ready: [bool; 2],
        published: Option<(Vec<CertificateDer<'static>>, i64)>,
        /// When the Secret's leaf last changed, as the keeper saw it.
        offered: i64,
        taken: Vec<&'static str>,
        /// After how many steps taken the keeper dies, and the other replica is the keeper.
        dies: Option<usize>,
    }

    impl World {
        fn new() -> Self {
            let entry = Entry {
                name: "pods".to_owned(),
                host: HOST.to_owned(),
                bundle: Vec::new(),
            };
            World {
                now: START,
                passed: 0,
                secret: Some(Secret::default()),
                configuration: Configuration {
                    entries: vec![entry],
                    version: String::new(),
                },
                changed: 0,
                stale: (Vec::new(), 0),
                replicas: [None, None],
                ready: [false, false],
                published: None,
                offered: 0,
                taken: Vec::new(),
                dies: None,
            }
        }

        fn settled() -> Self {
            let mut world = Self::new();
            world.settle();
            world.taken.clear();
            world
        }

        fn pass(&mut self, seconds: i64) {
            self.now += seconds;
            self.passed += seconds;
        }

        fn kept(&self) -> Kept {
            self.secret.as_ref().map(Kept::of).unwrap_or_default()
        }

        /// Both replicas see the Secret, and serve what is in it as `serving` decides.
        fn replicate(&mut self) {
            let offered = self.secret.as_ref().and_then(secret::pair);
            let Some(offered) = offered.filter(|pair| pair.certified().is_ok()) else {
                return;
            };
            let unchanged = seconds(self.passed - self.changed);
            for served in &mut self.replicas {
                let live = Some(&self.configuration);
                if swaps(served.as_ref(), &offered, live, unchanged, self.now) {
                    *served = Some(offered.clone());
                }
            }
        }

        /// One step of a keeper that serves what the first replica does.
        fn step(&mut self) -> Step {
            let kept = self.kept();
            let differs = |it: &Entry| trust::certificates(&it.bundle) != kept.authorities;
            if self.configuration.entries.iter().any(differs) {
                self.published = None;
            } else if self
                .published
                .as_ref()
                .is_none_or(|(what, _)| *what != kept.authorities)
            {
                self.published = Some((kept.authorities.clone(), self.passed));
            }
            let published = self
                .published
                .as_ref()
                .map(|(_, since)| self.passed - since);
            let seen = Seen {
                kept: &kept,
                configuration: Some(&self.configuration),
                hosts: &[HOST.to_owned()],
                published: published.map(seconds),
                offered: seconds(self.passed - self.offered),
                served: self.replicas[0].as_ref(),
            };
            let step = next(&seen, self.now);
            match &step {
                Step::Rest(rest) => self.pass(rest.as_secs().try_into().unwrap()),
                Step::Publish => {
                    self.taken.push("publish");
                    let entry = &mut self.configuration.entries[0];
                    let old = std::mem::replace(
                        &mut entry.bundle,
                        secret::pem(&kept.authorities).into_bytes(),
                    );
                    // An API server learns of it nearly as late as it may.
                    self.changed = self.passed;
                    self.stale = (old, self.passed + 9);
                }
                Step::Change(change) => self.change(&kept, change),
                Step::IfServed(change) => {
                    let newest = [kept.signer.as_ref().unwrap().certificate.clone()];
                    let serves = |pair: &Option<Pair>| {
                        let chain = pair.as_ref().map(|pair| pair.chain().unwrap());
                        chain.is_some_and(|it| trust::verifies(&it, &newest, HOST, self.now))
                    };
                    if self.replicas.iter().all(serves) {
                        self.change(&kept, change);
                    } else {
                        self.pass(2);
                    }
                }
            }
            step
        }

        fn change(&mut self, kept: &Kept, change: &Change) {
            self.taken.push(change.why);
            if change.leaf.is_none() {
                self.offered = self.passed;
            }
            let key = || KeyPair::generate().unwrap();
            let made = Authority::new(key(), self.now).unwrap();
            let signer = match &kept.signer {
                Some(signer) if !change.authority => signer,
                _ => &made,
            };
            let mut authorities = vec![signer.certificate.clone()];
            authorities.extend(change.behind.iter().cloned());
            let (certificate, key) = match &change.leaf {
                Some(leaf) => (leaf.certificate.clone(), leaf.key.clone()),
                None => {
                    let leaf = signer.leaf(&[HOST.to_owned()], &key(), self.now).unwrap();
                    (leaf.certificate.into(), leaf.key.into())
                }
            };
            let data = secret::data(&authorities, &signer.key(), (&certificate, &key));
            let data = data.into_iter().map(|(key, value)| (key.to_owned(), value));
            self.secret = Some(Secret {
                data: Some(data.collect()),
                ..Secret::default()
            });
        }

        /// Every API server, also one that is behind, believes every replica that ever was ready.
        fn holds(&mut self) -> bool {
            let mut behind = self.configuration.clone();
            if self.passed < self.stale.1 {
                behind.entries[0].bundle.clone_from(&self.stale.0);
            }
            let mut held = true;
            for (pair, ready) in self.replicas.iter().zip(&mut self.ready) {
                let believes = |it: &Configuration| {
                    pair.as_ref().is_some_and(|pair| it.accepts(pair, self.now))
                };
                let believed = believes(&self.configuration) && believes(&behind);
                held &= believed || !*ready;
                *ready |= believed;
            }
            held
        }

        /// Steps until there is nothing to do; true if API servers believed every replica at each.
        fn settle(&mut self) -> bool {
            let mut held = true;
            for _ in 0..40 {
                let step = self.step();
                held &= self.holds();
                if self.dies == Some(self.taken.len()) {
                    self.dies = None;
                    self.published = None;
                    self.offered = self.passed;
                    self.replicas = [self.replicas[1].take(), None];
                    self.ready = [self.ready[1], false];
                }
                self.replicate();
                held &= self.holds();
                if matches!(step, Step::Rest(rest) if rest > SETTLE) {
                    return held;
                }
            }
            panic!("never settles: {:?}", self.taken);
        }

        /// A replica is replaced by one that serves nothing yet.
        fn starts(&mut self, replica: usize) {
            self.replicas[replica] = None;
            self.ready[replica] = false;
        }

        fn ask(&mut self, what: &str) {
            let annotations = BTreeMap::from([(ROTATE.to_owned(), what.to_owned())]);
            let secret = self.secret.as_mut().unwrap();
            secret.metadata.annotations = Some(annotations);
        }

        fn corrupt(&mut self, key: &str, value: &[u8]) {
            let data = self.secret.as_mut().unwrap().data.as_mut().unwrap();
            data.insert(key.to_owned(), ByteString(value.to_vec()));
        }
    }

    fn seconds(seconds: i64) -> Duration {
        Duration::from_secs(seconds.try_into().unwrap())
    }

    const NEW_AUTHORITY: [&str; 5] = [
        "a new authority",
        "publish",
        "a new leaf",
        "no authority but the newest",
        "publish",
    ];

    type Scene = (&'static str, fn(&mut World), &'static [&'static str]);

    /// What happens to a world at rest, and the steps that follow.
    const SCENES: [Scene; 17] = [
        ("nothing", |_| {}, &[]),
        (
            "a leaf is asked for",
            |world| world.ask("leaf"),
            &["a new leaf"],
        ),
        (
            "an authority is asked for",
            |world| world.ask("authority"),
            &NEW_AUTHORITY,
        ),
        (
            "nonsense is asked for",
            |world| world.ask("everything"),
            &[],
        ),
        (
            "20 days pass",
            |world| world.now += 20 * DAY + 1,
            &["a new leaf"],
        ),
        (
            "the Secret is deleted",
            |world| world.secret = None,
            &NEW_AUTHORITY,
        ),
        (
            "the Secret is emptied",
            |world| world.secret = Some(Secret::default()),
            &NEW_AUTHORITY,
        ),
        (
            "the authority's key is lost",
            |world| world.corrupt("ca.key", b""),
            &NEW_AUTHORITY,
        ),
        (
            "the authorities are lost",
            |world| world.corrupt("ca.crt", b"garbage"),
            &NEW_AUTHORITY,
        ),
        (
            "the Secret is deleted as the keeper goes",
            |world| {
                world.secret = None;
                world.starts(0);
            },
            &[
                "a new authority",
                "publish",
                "no authority but the newest",
                "publish",
            ],
        ),
        (
            "the Secret is emptied and the keeper starts",
            |world| {
                world.secret = Some(Secret::default());
                world.starts(0);
            },
            &[
                "a new authority",
                "publish",
                "no authority but the newest",
                "publish",
            ],
        ),
        (
            "the leaf is torn",
            |world| world.corrupt("tls.crt", b"garbage"),
            &["what is served, and whom API servers believe"],
        ),
        (
            "the leaf is lost and the keeper starts",
            |world| {
                world.corrupt("tls.key", b"");
                world.replicas = [None, None];
                world.ready = [false, false];
            },
            &["a leaf, as there is none"],
        ),
        (
            "somebody resets the configuration",
            |world| world.configuration.entries[0].bundle.clear(),
            &["publish"],
        ),
        (
            "the clock jumps back a day",
            |world| world.now -= DAY,
            &["a new authority", "publish"],
        ),
        (
            "the clock jumps ahead for ever",
            |world| world.now += 4_000 * DAY,
            &["a new authority", "publish"],
        ),
        (
            "another Secret comes from a backup",
            |world| world.secret = World::settled().secret,
            &[
                "what is served, and whom API servers believe",
                "publish",
                "no authority but the newest",
                "publish",
            ],
        ),
    ];

    /// Where API servers can't believe what is served before the first step is taken.
    const HOPELESS: [&str; 3] = [
        "the clock jumps back a day",
        "the clock jumps ahead for ever",
        "somebody resets the configuration",
    ];

    /// Each scene with a keeper that lives, and with one that dies after each of the steps.
    fn scenes() -> impl Iterator<
        Item = (
            &'static str,
            fn(&mut World),
            &'static [&'static str],
            Option<usize>,
        ),
    > {
        SCENES.into_iter().flat_map(|(scene, happens, steps)| {
            let deaths = (1..=steps.len()).map(Some);
            let all = [None].into_iter().chain(deaths);
            all.map(move |dies| (scene, happens, steps, dies))
        })
    }

    #[test]
    fn scenes_end_at_rest_and_api_servers_believe_every_replica_throughout() {
        for (scene, happens, steps, dies) in scenes() {
            let mut world = World::settled();
            happens(&mut world);
            world.dies = dies;
            let held = world.settle();
            assert_eq!(world.taken, steps, "{scene}, {dies:?}");
            assert!(held || HOPELESS.contains(&scene), "{scene}, {dies:?}");
            assert!(
                world.holds() && world.replicas[0] == world.replicas[1],
                "{scene}"
            );
            assert_eq!(world.kept().authorities.len(), 1, "{scene}");
        }
    }
}
