//! The limits that the dispatcher keeps.

use std::time::Duration;

/// How many deliveries may be in memory and in progress.
#[derive(Debug, Clone)]
pub struct DispatcherLimits {
    /// Requests in flight.
    pub in_flight: usize,
    /// Requests in flight of one tenant.
    pub in_flight_per_tenant: usize,
    /// Requests in flight of one hook.
    pub in_flight_per_hook: usize,
    /// Requests between start and record: those in flight, and attempts that are not recorded yet. After a crash, at
    /// most this many may be sent a second time.
    pub unfinished: usize,
    /// Deliveries queued in memory. One tenant may have half of them.
    pub queued: usize,
    /// Deliveries of one hook queued in memory.
    pub queued_per_hook: usize,
    /// Deliveries queued in memory, in bytes.
    pub queued_bytes: usize,
    /// How long a lease lasts. This is far longer than a queue takes to empty: if a lease ends while its delivery is still
    /// queued, the request may be sent twice.
    pub lease: Duration,
}
