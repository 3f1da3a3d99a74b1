//! When a call to ARM is worth sending again, and after how long.

use std::time::Duration;

use tokio::time::{Instant, sleep};

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
    /// How long they took, with the waits between them.
    pub elapsed: Duration,
}

/// How long to wait before the call that just failed is sent again; `None` gives up.
#[must_use]
pub fn pause(error: &ArmError, tries: Tries) -> Option<Duration> {
    let doubling = |first: u64, cap: u64| {
        let factor = 1_u64.checked_shl(tries.failed).unwrap_or(u64::MAX);
        Duration::from_secs(first.saturating_mul(factor).min(cap))
    };
    let within = |limit: Duration, pause: Duration| {
        (tries.elapsed.saturating_add(pause) <= limit).then_some(pause)
    };
    match error {
        ArmError::NoAnswer { .. } => (tries.failed < OUTAGE_TRIES).then(|| doubling(1, 60)),
        ArmError::Refused(failure) => {
            let Failure {
                kind, retry_after, ..
            } = **failure;
            let retry_after = retry_after.map(|pause| pause.max(SHORTEST_PAUSE));
            match kind {
                FailureKind::Throttled => {
                    within(PATIENCE, retry_after.unwrap_or_else(|| doubling(10, 60)))
                }
                FailureKind::ConcurrentWrites => within(PATIENCE, doubling(5, 60)),
                FailureKind::ParentNotFound | FailureKind::PrincipalNotFound => {
                    within(REPLICATION, REPLICATION_PAUSE)
                }
                FailureKind::Unavailable if tries.failed < OUTAGE_TRIES => {
                    within(PATIENCE, retry_after.unwrap_or_else(|| doubling(1, 60)))
                }
                FailureKind::Unavailable
                | FailureKind::NotFound
                | FailureKind::SubscriptionNotFound
                | FailureKind::Unauthenticated
                | FailureKind::Forbidden
                | FailureKind::RolesForbidden
                | FailureKind::AlreadyAssigned
                | FailureKind::PolicyDenied
                | FailureKind::AlreadyTrusted
                | FailureKind::RegionUnsupported
                | FailureKind::ProviderNotRegistered
                | FailureKind::Conflict
                | FailureKind::Unfinished
                | FailureKind::Invalid => None,
            }
        }
        ArmError::SignIn(_)
        | ArmError::Unreadable { .. }
        | ArmError::ForeignPage { .. }
        | ArmError::EndlessList { .. } => None,
    }
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
        let Some(pause) = pause(&error, tries) else {
            return Err(error);
        };
        let seconds = pause.as_secs();
        match &error {
            // Without the advice, which is for the end.
            ArmError::Refused(failure) => tracing::warn!("{failure}: trying again in {seconds} s"),
            error => tracing::warn!("{error}: trying again in {seconds} s"),
        }
        sleep(pause).await;
        tries.failed += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Tries, pause};
    use crate::azure::arm::{ArmError, Failure, FailureKind};

    #[test]
    fn pauses() {
        use FailureKind::*;
        // kind, Retry-After, failed before, seconds since the first, pause
        let table = [
            (Throttled, Some(17), 0, 0, Some(17)),
            (Throttled, Some(0), 0, 0, Some(1)),
            (Throttled, Some(0), 100, 600, None),
            (Throttled, None, 0, 0, Some(10)),
            (Throttled, Some(601), 0, 0, None),
            (Throttled, Some(17), 9, 590, None),
            (ConcurrentWrites, None, 0, 0, Some(5)),
            (ConcurrentWrites, None, 2, 15, Some(20)),
            (ConcurrentWrites, None, 70, 300, Some(60)),
            (ConcurrentWrites, None, 12, 600, None),
            (ParentNotFound, None, 0, 0, Some(5)),
            (ParentNotFound, None, 47, 235, Some(5)),
            (ParentNotFound, None, 48, 240, None),
            (PrincipalNotFound, None, 0, 0, Some(5)),
            (PrincipalNotFound, None, 48, 240, None),
            (Unavailable, None, 0, 0, Some(1)),
            (Unavailable, Some(30), 1, 1, Some(30)),
            (Unavailable, None, 3, 7, None),
            (Forbidden, Some(5), 0, 0, None),
            (AlreadyTrusted, None, 0, 0, None),
            (RolesForbidden, None, 0, 0, None),
            (Conflict, None, 0, 0, None),
        ];
        for (kind, retry_after, failed, elapsed, expected) in table {
            let error = ArmError::Refused(Box::new(Failure {
                operation: "PUT /x".to_owned(),
                kind,
                status: 0,
                code: String::new(),
                message: String::new(),
                correlation_id: String::new(),
                retry_after: retry_after.map(Duration::from_secs),
            }));
            let tries = Tries {
                failed,
                elapsed: Duration::from_secs(elapsed),
            };
            let expected = expected.map(Duration::from_secs);
            assert_eq!(
                pause(&error, tries),
                expected,
                "{kind:?} after {failed}, {elapsed} s"
            );
        }
    }
}
