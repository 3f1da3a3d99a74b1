//! Readiness as a set of named parts: each holds a guard until it works; all can be listed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The parts, and whether each is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, bool>>>);

/// Keeps the process not ready while it lives.
#[derive(Debug)]
pub struct Pending {
    readiness: Readiness,
    part: &'static str,
}

impl Readiness {
    /// A part that is not ready until the guard is dropped.
    #[must_use]
    pub fn pending(&self, part: &'static str) -> Pending {
        self.lock().insert(part, false);
        Pending {
            readiness: self.clone(),
            part,
        }
    }

    /// Every part and whether it is ready, by name.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, bool)> {
        self.lock()
            .iter()
            .map(|(part, ready)| (*part, *ready))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.readiness.lock().insert(self.part, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_the_parts() {
        let readiness = Readiness::default();
        let certificate = readiness.pending("certificate");
        let caches = readiness.pending("caches");
        assert_eq!(
            readiness.parts(),
            [("caches", false), ("certificate", false)]
        );
        drop(certificate);
        assert_eq!(
            readiness.parts(),
            [("caches", false), ("certificate", true)]
        );
        drop(caches);
        assert_eq!(readiness.parts(), [("caches", true), ("certificate", true)]);
    }
}
