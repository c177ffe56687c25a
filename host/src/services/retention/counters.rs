//! How much was deleted since the start of this process.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::Deleted;

/// See the module's head.
#[derive(Debug, Default)]
pub struct RetentionCounters {
    /// Events.
    pub events: AtomicU64,
    /// Deliveries.
    pub deliveries: AtomicU64,
    /// Attempts.
    pub attempts: AtomicU64,
    /// Bodies of requests and responses.
    pub bodies: AtomicU64,
    /// Names by which repeated events are known.
    pub ids: AtomicU64,
}

impl RetentionCounters {
    /// Each kind with its number.
    #[must_use]
    pub fn by_kind(&self) -> [(&'static str, u64); 5] {
        let Self { events, deliveries, attempts, bodies, ids } = self;
        let counters = [
            ("events", events),
            ("deliveries", deliveries),
            ("attempts", attempts),
            ("bodies", bodies),
            ("ids", ids),
        ];
        counters.map(|(kind, counter)| (kind, counter.load(Ordering::Relaxed)))
    }

    pub(super) fn add(&self, deleted: Deleted) {
        let Deleted { events, deliveries, attempts, bodies } = deleted;
        self.events.fetch_add(events, Ordering::Relaxed);
        self.deliveries.fetch_add(deliveries, Ordering::Relaxed);
        self.attempts.fetch_add(attempts, Ordering::Relaxed);
        self.bodies.fetch_add(bodies, Ordering::Relaxed);
    }
}
