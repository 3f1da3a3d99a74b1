//! When a call to ARM is worth sending again, and after how long.
//!
//! Waits have jitter, so that runs which were refused together do not come back together: a growing wait is half fixed
//! and half by chance (equal jitter), one that is asked for or fixed is drawn out by up to a quarter, never cut short.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::azure::arm::{ArmError, Failure, FailureKind};

/// How long a call that meets throttling or foreign writers may take, in all.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a new identity may take to be seen everywhere.
const REPLICATION: Duration = Duration::from_secs(240);
/// How often replication is looked at.
const REPLICATION_PAUSE: Duration = Duration::from_secs(5);
/// The shortest wait, also where ARM asks for none.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// How often a call that met no or an unwell ARM is sent again.
const OUTAGE_TRIES: u32 = 3;

/// The tries of one call so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// How many failed before this one.
    pub failed: u32,
    /// How many of those, the last in a row, met no or an unwell ARM.
    pub outages: u32,
    /// How long they took, with the waits between them.
    pub elapsed: Duration,
}

/// How long to wait before the call that just failed is sent again; `None` gives up. `jitter` is any byte.
#[must_use]
pub fn pause(error: &ArmError, tries: Tries, jitter: u8) -> Option<Duration> {
    let wait = |limit: Duration, base: Duration, most: Duration| {
        let left = limit.checked_sub(tries.elapsed)?;
        let chance = (most - base) * u32::from(jitter) / u32::from(u8::MAX);
        (base <= left).then(|| (base + chance).min(left))
    };
    let fixed = |limit, base: Duration| wait(limit, base, base + base / 4);
    let growing = |limit, first: u64, cap: u64| {
        let factor = 2_u64.checked_shl(tries.failed).unwrap_or(u64::MAX);
        let most = Duration::from_secs(first.saturating_mul(factor).min(cap));
        wait(limit, most / 2, most)
    };
    match error {
        ArmError::NoAnswer { .. } if tries.outages < OUTAGE_TRIES => growing(PATIENCE, 1, 60),
        ArmError::Refused(failure) => {
            let Failure {
                kind, retry_after, ..
            } = **failure;
            let asked = retry_after.map(|asked| asked.max(SHORTEST_PAUSE));
            match (kind, asked) {
                (FailureKind::Throttled, Some(asked)) => fixed(PATIENCE, asked),
                (FailureKind::Throttled, None) => growing(PATIENCE, 10, 120),
                (FailureKind::ConcurrentWrites, _) => growing(PATIENCE, 5, 60),
                (FailureKind::ParentNotFound | FailureKind::PrincipalNotFound, _) => {
                    fixed(REPLICATION, REPLICATION_PAUSE)
                }
                (FailureKind::Unavailable, _) if tries.outages >= OUTAGE_TRIES => None,
                (FailureKind::Unavailable, Some(asked)) => fixed(PATIENCE, asked),
                (FailureKind::Unavailable, None) => growing(PATIENCE, 1, 60),
                (
                    FailureKind::NotFound
                    | FailureKind::SubscriptionNotFound
                    | FailureKind::Unauthenticated
                    | FailureKind::Forbidden
                    | FailureKind::RolesForbidden
                    | FailureKind::AlreadyAssigned
                    | FailureKind::PolicyDenied
                    | FailureKind::AlreadyTrusted
                    | FailureKind::RegionUnsupported
                    | FailureKind::ProviderNotRegistered
                    | FailureKind::Locked
                    | FailureKind::BeingDeleted
                    | FailureKind::Elsewhere
                    | FailureKind::Conflict
                    | FailureKind::Unfinished
                    | FailureKind::Invalid,
                    _,
                ) => None,
            }
        }
        ArmError::NoAnswer { .. }
        | ArmError::SignIn(_)
        | ArmError::Unreadable { .. }
        | ArmError::ForeignPage { .. }
        | ArmError::EndlessList { .. } => None,
    }
}

fn is_outage(error: &ArmError) -> bool {
    matches!(error, ArmError::NoAnswer { .. }) || error.kind() == Some(FailureKind::Unavailable)
}

/// Makes a call, again as long as [`pause`] says so.
///
/// # Errors
/// The last error.
pub async fn persist<T>(call: impl AsyncFn() -> Result<T, ArmError>) -> Result<T, ArmError> {
    let start = Instant::now();
    let mut tries = Tries::default();
    loop {
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        tries.elapsed = start.elapsed();
        let [jitter, ..] = Uuid::new_v4().into_bytes();
        let Some(pause) = pause(&error, tries, jitter) else {
            return Err(error);
        };
        let seconds = pause.as_secs_f64();
        match &error {
            // Without the advice, which is for the end.
            ArmError::Refused(failure) => {
                tracing::warn!("{failure}: trying again in {seconds:.1} s");
            }
            error => tracing::warn!("{error}: trying again in {seconds:.1} s"),
        }
        sleep(pause).await;
        tries.failed += 1;
        tries.outages = match is_outage(&error) {
            true => tries.outages + 1,
            false => 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::{Tries, pause, persist};
    use crate::azure::arm::{ArmError, Failure, FailureKind};

    #[test]
    fn pauses() {
        use FailureKind::*;
        // kind, Retry-After, failed before, seconds since the first, the shortest and the longest pause in ms
        let table = [
            (Throttled, Some(16), 0, 0, Some((16_000, 20_000))),
            (Throttled, Some(0), 0, 0, Some((1000, 1250))),
            (Throttled, Some(0), 100, 600, None),
            (Throttled, None, 0, 0, Some((10_000, 20_000))),
            (Throttled, None, 9, 0, Some((60_000, 120_000))),
            (Throttled, Some(600), 0, 0, Some((600_000, 600_000))),
            (Throttled, Some(601), 0, 0, None),
            (Throttled, Some(17), 9, 590, None),
            (ConcurrentWrites, None, 0, 0, Some((5000, 10_000))),
            (ConcurrentWrites, Some(99), 0, 0, Some((5000, 10_000))),
            (ConcurrentWrites, None, 2, 15, Some((20_000, 40_000))),
            (ConcurrentWrites, None, 70, 300, Some((30_000, 60_000))),
            (ConcurrentWrites, None, 12, 560, Some((30_000, 40_000))),
            (ConcurrentWrites, None, 12, 600, None),
            (ParentNotFound, None, 0, 0, Some((5000, 6250))),
            (ParentNotFound, None, 47, 235, Some((5000, 5000))),
            (ParentNotFound, None, 48, 236, None),
            (PrincipalNotFound, None, 0, 0, Some((5000, 6250))),
            (PrincipalNotFound, None, 48, 240, None),
            (Unavailable, None, 0, 0, Some((1000, 2000))),
            (Unavailable, Some(30), 1, 1, Some((30_000, 37_500))),
            (Unavailable, None, 3, 7, None),
            (Forbidden, Some(5), 0, 0, None),
            (AlreadyTrusted, None, 0, 0, None),
            (RolesForbidden, None, 0, 0, None),
            (Conflict, None, 0, 0, None),
            (Locked, None, 0, 0, None),
        ];
        for (kind, retry_after, failed, elapsed, expected) in table {
            let error = refused(kind, retry_after);
            let tries = Tries {
                failed,
                outages: failed,
                elapsed: Duration::from_secs(elapsed),
            };
            let pause = |jitter| pause(&error, tries, jitter);
            let case = format!("{kind:?} after {failed}, {elapsed} s");
            let expected = expected.map(|(least, most)| [least, most].map(Duration::from_millis));
            let [least, most] = expected.map_or([None; 2], |pauses| pauses.map(Some));
            assert_eq!([pause(0), pause(u8::MAX)], [least, most], "{case}");
            assert!(
                pause(0) <= pause(100) && pause(100) <= pause(u8::MAX),
                "{case}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_after_other_refusals_is_waited_for() {
        use FailureKind::*;
        // what the calls meet, and whether one is sent after them
        let table: [(&[FailureKind], bool); 4] = [
            (&[Throttled, Throttled, Throttled, Unavailable], true),
            (
                &[
                    Unavailable,
                    Unavailable,
                    Unavailable,
                    Throttled,
                    Unavailable,
                ],
                true,
            ),
            (&[Unavailable; 3], true),
            (&[Unavailable; 4], false),
        ];
        for (kinds, sent) in table {
            let calls = AtomicUsize::new(0);
            let outcome = persist(async || {
                let n = calls.fetch_add(1, Ordering::SeqCst);
                kinds
                    .get(n)
                    .map_or(Ok(()), |kind| Err(refused(*kind, None)))
            });
            assert_eq!(outcome.await.is_ok(), sent, "{kinds:?}");
        }
    }

    fn refused(kind: FailureKind, retry_after: Option<u64>) -> ArmError {
        ArmError::Refused(Box::new(Failure {
            operation: "PUT /x".to_owned(),
            kind,
            status: 0,
            code: String::new(),
            message: String::new(),
            correlation_id: String::new(),
            retry_after: retry_after.map(Duration::from_secs),
        }))
    }
}
