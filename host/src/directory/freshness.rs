//! How old the configuration in memory may be.
//!
//! Another node may have revoked a key meanwhile. A node that cannot look for changes answers no request that needs the
//! configuration; it goes on delivering with what it has.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use crate::clock;
use crate::storage::Revision;

/// Configuration that was not compared with the database's for this long is too old to answer requests.
pub const MAX_AGE: Duration = Duration::from_secs(5);

/// When the configuration in memory was that of the database.
#[derive(Debug)]
pub(super) struct Freshness {
    /// By the boot clock: a process that was stopped, or a machine that slept, tells at its first request that it is late.
    compared_at_ms: AtomicI64,
    /// The revision that memory has, for who cannot wait for the lock on changes.
    revision: AtomicI64,
    /// Whether others change the configuration at all.
    is_followed: AtomicBool,
}

impl Freshness {
    /// For configuration that is loaded now.
    pub(super) fn new() -> Self {
        Self {
            compared_at_ms: AtomicI64::new(clock::since_boot_ms()),
            revision: AtomicI64::new(0),
            is_followed: AtomicBool::new(false),
        }
    }

    pub(super) fn revision(&self) -> Revision {
        Revision(self.revision.load(Ordering::Acquire))
    }

    pub(super) fn set_revision(&self, revision: Revision) {
        self.revision.store(revision.0, Ordering::Release);
    }

    /// The configuration is what the database had at `began_ms`.
    pub(super) fn set(&self, began_ms: i64) {
        self.compared_at_ms.fetch_max(began_ms, Ordering::AcqRel);
    }

    /// Others change the configuration: from now on it is too old if it was not compared for long.
    pub(super) fn expect_changes(&self) {
        self.is_followed.store(true, Ordering::Release);
    }

    pub(super) fn is_stale(&self, now_ms: i64) -> bool {
        let age_ms = now_ms - self.compared_at_ms.load(Ordering::Acquire);
        self.is_followed.load(Ordering::Acquire)
            && u128::try_from(age_ms).is_ok_and(|age| age > MAX_AGE.as_millis())
    }
}

/// The configuration in memory may be older than [`MAX_AGE`].
#[derive(Debug, thiserror::Error)]
#[error(
    "the node cannot reach its database, so its configuration may be out of date; try again later, or at another node"
)]
pub struct StaleConfiguration;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_stale_if_it_is_followed_and_was_not_compared_for_five_seconds() {
        let freshness = Freshness::new();
        let began = clock::since_boot_ms() + 1_000;
        freshness.set(began);
        for (is_followed, age_ms, is_stale) in [
            (false, 3_600_000, false),
            (true, 0, false),
            (true, 5_000, false),
            (true, 5_001, true),
            (true, -1, false),
        ] {
            freshness.is_followed.store(is_followed, Ordering::Release);
            assert_eq!(freshness.is_stale(began + age_ms), is_stale, "{is_followed} {age_ms}");
        }
        freshness.set(began - 60_000);
        assert!(!freshness.is_stale(began), "an older look changes nothing");
    }
}
