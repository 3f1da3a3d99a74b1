//! Readiness as a set of named parts: each holds a guard until it works; what is pending can be listed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The parts that are not ready yet.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    pending: Arc<Mutex<BTreeSet<&'static str>>>,
}

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
        self.parts(|parts| parts.insert(part));
        Pending {
            readiness: self.clone(),
            part,
        }
    }

    /// The parts that are not ready, by name.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.parts(|parts| parts.iter().copied().collect())
    }

    fn parts<T>(&self, with: impl FnOnce(&mut BTreeSet<&'static str>) -> T) -> T {
        with(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.readiness.parts(|parts| parts.remove(self.part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_what_is_pending() {
        let readiness = Readiness::default();
        let certificate = readiness.pending("certificate");
        let caches = readiness.pending("caches");
        assert_eq!(readiness.missing(), ["caches", "certificate"]);
        drop(certificate);
        assert_eq!(readiness.missing(), ["caches"]);
        drop(caches);
        assert!(readiness.missing().is_empty());
    }
}
