//! Events on their way in.

use super::counter::{Counter, Counters};
use super::label::label;

label! {
    /// Through what an event came.
    EventSource {
        /// The engine's own API.
        V3 = "v3",
        /// Webitel's API.
        Webitel = "webitel",
        /// A test of a hook.
        Test = "test",
        /// The engine itself: an operational event.
        Engine = "engine",
    }
}

label! {
    /// Why an event was not accepted.
    Rejection {
        /// It breaks the rules of its surface.
        Invalid = "invalid",
        /// Another event has its id or idempotency key.
        Conflict = "conflict",
        /// Its tenant is suspended or being deleted.
        Suspended = "suspended",
        /// Its tenant publishes too fast.
        RateLimited = "rate_limited",
        /// Its tenant has too much stored.
        StorageLimit = "storage_limit",
        /// The events of the call have too many deliveries.
        TooManyDeliveries = "too_many_deliveries",
        /// The disk is full.
        DiskFull = "disk_full",
        /// The node has lost the database.
        Fenced = "fenced",
        /// The database cannot be used.
        Unavailable = "unavailable",
        /// The engine has failed.
        Internal = "internal",
    }
}

/// Events that are stored.
pub static ACCEPTED: Counters<4> = Counters::new();
/// Events that were stored before.
pub static DUPLICATES: Counter = Counter::new();
/// Events that were not stored.
pub static REJECTED: Counters<10> = Counters::new();
