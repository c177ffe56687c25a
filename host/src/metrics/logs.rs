//! The log.

use super::counter::Counter;

/// Lines that were dropped, because what reads the log is slower than the engine writes it.
pub static DROPPED: Counter = Counter::new();
