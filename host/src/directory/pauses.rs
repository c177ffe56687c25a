//! How much is paused: tenants, and the whole engine; and whether tenants have limits of their own.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed};

use crate::domain::UnixMillis;

/// The engine is not paused.
const NOT: i64 = i64::MIN;

/// How much is paused. Mostly nothing is, which costs a delivery the look at one number.
#[derive(Debug)]
pub(super) struct Pauses {
    /// Paused tenants, and the engine.
    count: AtomicUsize,
    /// Since when the engine is paused.
    engine: AtomicI64,
    /// Whether any tenant has a limit that is looked up for each event or delivery.
    rare_limits: AtomicBool,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { count: AtomicUsize::new(0), engine: AtomicI64::new(NOT), rare_limits: AtomicBool::new(false) }
    }
}

impl Pauses {
    /// Whether a tenant or the engine is paused.
    pub(super) fn any(&self) -> bool {
        self.count.load(Relaxed) > 0
    }

    /// Whether any tenant has a limit that is looked up for each event or delivery.
    pub(super) fn has_rare_limits(&self) -> bool {
        self.rare_limits.load(Relaxed)
    }

    pub(super) fn set_rare_limits(&self, any: bool) {
        self.rare_limits.store(any, Relaxed);
    }

    /// Since when the engine is paused.
    pub(super) fn engine_since(&self) -> Option<UnixMillis> {
        Some(self.engine.load(Relaxed)).filter(|since| *since != NOT).map(UnixMillis)
    }

    /// Sets since when the engine is paused. Returns whether that changed.
    pub(super) fn set_engine(&self, since: Option<UnixMillis>) -> bool {
        let since = since.map_or(NOT, |since| since.0);
        self.engine.swap(since, Relaxed) != since
    }

    /// So many tenants are paused.
    pub(super) fn count(&self, tenants: usize) {
        self.count.store(tenants + usize::from(self.engine_since().is_some()), Relaxed);
    }
}
