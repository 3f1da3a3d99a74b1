//! One keeper at a time, by a Lease.
//!
//! A holder's time is measured here, from when its last renewal was seen, never by the time it wrote: a node whose clock
//! is wrong can neither keep the Lease for ever nor lose it early. (The crates for this compare the written time.)
//! Two keepers for a moment do no harm: every write names the version it is for.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::names::FIELD_MANAGER;
use crate::reason::reason;

/// How long a holder that is silent keeps the Lease, in seconds.
const HELD: u8 = 15;
/// The same of one that claims more, in seconds.
const LONGEST: u64 = 60;
/// How often it is looked at, and renewed.
const LOOK: Duration = Duration::from_secs(3);
/// How long a holder that can't renew goes on as one: less than others wait.
const DOUBT: Duration = Duration::from_secs(10);
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whose a Lease is.
#[derive(Debug, PartialEq, Eq)]
enum Holder {
    Us,
    Nobody,
    Another,
}

/// What a look made of us.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Leads,
    Follows,
    /// By our clock no certificate should be made.
    Aside,
}

/// Whose the Lease is, when it was last seen to change `unchanged` ago.
fn holder(lease: Option<&LeaseSpec>, us: &str, unchanged: Duration) -> Holder {
    let name = lease.and_then(|lease| lease.holder_identity.as_deref());
    let held = lease.and_then(|lease| lease.lease_duration_seconds);
    let held = held.and_then(|seconds| u64::try_from(seconds).ok());
    match name.unwrap_or_default() {
        "" => Holder::Nobody,
        name if name == us => Holder::Us,
        _ if unchanged >= Duration::from_secs(held.unwrap_or(HELD.into()).min(LONGEST)) => {
            Holder::Nobody
        }
        _ => Holder::Another,
    }
}

/// How far our clock may be from the API server's for certificates that both call valid, in seconds.
const TOLERATED: i64 = 300;
/// How long a candidate with a wrong clock leaves the Lease to others.
const ASIDE: Duration = Duration::from_secs(60);

/// How many seconds our clock is ahead of the API server's, by when it says that we wrote the Lease just now. Not said
/// where that is tolerable.
fn ahead(lease: &Lease, now: Timestamp) -> Option<i64> {
    let fields = lease.metadata.managed_fields.iter().flatten();
    let mut ours = fields.filter(|it| it.manager.as_deref() == Some(FIELD_MANAGER));
    let wrote = ours.find_map(|it| it.time.as_ref())?;
    let ahead = now.as_second() - wrote.0.as_second();
    (ahead.abs() > TOLERATED).then_some(ahead)
}

/// A candidate for the Lease `name`.
pub struct Candidate {
    /// Where the Lease is.
    pub api: Api<Lease>,
    /// Its name.
    pub name: &'static str,
    /// Ours, unique among replicas and their restarts.
    pub us: String,
}

impl Candidate {
    /// Holds the Lease whenever nobody else does, and says in `leads` whether we do. Gives it back on `shutdown`.
    pub async fn stand(self, leads: watch::Sender<bool>, shutdown: CancellationToken) {
        let mut seen: Option<(Option<String>, Instant)> = None;
        let mut renewed = Instant::now();
        let mut failing = false;
        while !shutdown.is_cancelled() {
            let mut pause = LOOK;
            match tokio::time::timeout(PATIENCE, self.turn(&mut seen)).await {
                Ok(Ok(standing)) => {
                    failing = false;
                    renewed = Instant::now();
                    self.say(&leads, standing == Standing::Leads);
                    if standing == Standing::Aside {
                        let _ = tokio::time::timeout(PATIENCE, self.give_back()).await;
                        pause = ASIDE;
                    }
                }
                other => {
                    if !std::mem::replace(&mut failing, true) {
                        let reason = match other {
                            Ok(Err(error)) => reason(&error),
                            _ => format!("no answer within {}s", PATIENCE.as_secs()),
                        };
                        tracing::warn!(reason, "Lease {}: can't be read or renewed", self.name);
                    }
                    if renewed.elapsed() > DOUBT {
                        self.say(&leads, false);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => {}
            }
        }
        if leads.send_replace(false) {
            // Nobody has to wait for the time to run out. If it fails, they wait.
            let _ = tokio::time::timeout(PATIENCE, self.give_back()).await;
        }
    }

    /// One look: whether the Lease is ours now.
    async fn turn(&self, seen: &mut Option<(Option<String>, Instant)>) -> kube::Result<Standing> {
        let lease = self.api.get_opt(self.name).await?;
        let version = lease
            .as_ref()
            .and_then(|it| it.metadata.resource_version.clone());
        if seen.as_ref().is_none_or(|(last, _)| *last != version) {
            *seen = Some((version.clone(), Instant::now()));
        }
        let unchanged = seen
            .as_ref()
            .map(|(_, at)| at.elapsed())
            .unwrap_or_default();
        let spec = lease.as_ref().and_then(|lease| lease.spec.as_ref());
        if holder(spec, &self.us, unchanged) == Holder::Another {
            return Ok(Standing::Follows);
        }
        match self.write(version, &self.us).await {
            Ok(lease) => Ok(ahead(&lease, Timestamp::now()).map_or(Standing::Leads, |seconds| {
                tracing::warn!(
                    seconds,
                    "this node's clock is ahead of the API server's: another replica makes the certificates"
                );
                Standing::Aside
            })),
            // Another was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Standing::Follows),
            Err(error) => Err(error),
        }
    }

    async fn give_back(&self) -> kube::Result<()> {
        let lease = self.api.get(self.name).await?;
        let ours = lease
            .spec
            .as_ref()
            .and_then(|it| it.holder_identity.as_ref())
            == Some(&self.us);
        match ours {
            true => self
                .write(lease.metadata.resource_version, "")
                .await
                .map(drop),
            false => Ok(()),
        }
    }

    async fn write(&self, version: Option<String>, holder: &str) -> kube::Result<Lease> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.to_owned()),
                resource_version: version,
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(HELD.into()),
                renew_time: Some(MicroTime(Timestamp::now())),
                ..LeaseSpec::default()
            }),
        };
        // An apply makes the Lease where there is none, with no right but for this one name.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.api
            .patch(self.name, &params, &Patch::Apply(&lease))
            .await
    }

    fn say(&self, leads: &watch::Sender<bool>, ours: bool) {
        let changed = leads.send_if_modified(|leads| std::mem::replace(leads, ours) != ours);
        if changed {
            tracing::info!(leads = ours, "Lease {}", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, Time};

    use super::*;

    #[test]
    fn clocks() {
        let wrote = |manager: &str, time: &str| Lease {
            metadata: ObjectMeta {
                managed_fields: Some(vec![ManagedFieldsEntry {
                    manager: Some(manager.to_owned()),
                    time: Some(Time(time.parse().unwrap())),
                    ..ManagedFieldsEntry::default()
                }]),
                ..ObjectMeta::default()
            },
            spec: None,
        };
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        let table = [
            ("right", FIELD_MANAGER, "2026-01-01T11:59:59Z", None),
            ("tolerable", FIELD_MANAGER, "2026-01-01T12:05:00Z", None),
            ("behind", FIELD_MANAGER, "2026-01-01T12:05:01Z", Some(-301)),
            ("ahead", FIELD_MANAGER, "2026-01-01T11:00:00Z", Some(3600)),
            ("another's", "kubectl", "2025-01-01T00:00:00Z", None),
        ];
        for (case, manager, time, expected) in table {
            assert_eq!(ahead(&wrote(manager, time), now), expected, "{case}");
        }
        assert_eq!(ahead(&Lease::default(), now), None, "nothing said");
    }

    #[test]
    fn whose_the_lease_is() {
        let lease = |holder: &str, seconds| LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: seconds,
            // What a wrong clock wrote; it decides nothing.
            renew_time: Some(MicroTime(Timestamp::MAX)),
            ..LeaseSpec::default()
        };
        let table = [
            ("none", None, 0, Holder::Nobody),
            ("empty", Some(LeaseSpec::default()), 0, Holder::Nobody),
            ("given back", Some(lease("", Some(15))), 0, Holder::Nobody),
            ("ours", Some(lease("us", Some(15))), 99, Holder::Us),
            (
                "another's",
                Some(lease("them", Some(15))),
                14,
                Holder::Another,
            ),
            (
                "a silent one's",
                Some(lease("them", Some(15))),
                15,
                Holder::Nobody,
            ),
            (
                "for ever",
                Some(lease("them", Some(i32::MAX))),
                60,
                Holder::Nobody,
            ),
            (
                "for a minute",
                Some(lease("them", Some(60))),
                59,
                Holder::Another,
            ),
            (
                "no time said",
                Some(lease("them", None)),
                14,
                Holder::Another,
            ),
            (
                "no time, silent",
                Some(lease("them", None)),
                15,
                Holder::Nobody,
            ),
            (
                "nonsense",
                Some(lease("them", Some(-1))),
                14,
                Holder::Another,
            ),
        ];
        for (case, lease, unchanged, expected) in table {
            let found = holder(lease.as_ref(), "us", Duration::from_secs(unchanged));
            assert_eq!(found, expected, "{case}");
        }
    }
}
