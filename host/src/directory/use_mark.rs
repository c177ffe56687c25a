//! Marks keys that are used.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether a key was used since that was stored.
#[derive(Debug, Default)]
pub struct UseMark(AtomicBool);

impl UseMark {
    /// The key is used. Writes only once, so that cores do not contend for it.
    pub(super) fn set(&self) {
        if !self.0.load(Relaxed) {
            self.0.store(true, Relaxed);
        }
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Whether it is set; it is not from then on.
    pub(super) fn take(&self) -> bool {
        self.is_set() && self.0.swap(false, Relaxed)
    }
}
