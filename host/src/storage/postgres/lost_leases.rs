//! Leases whose deliveries nobody has in memory.
//!
//! The connection was lost before the answer came, so nobody knows whether the transaction that gave the lease is
//! committed; or who asked for it has gone away. Without this, their deliveries would wait until the leases end. As soon as
//! the database answers, the deliveries that have such a lease are due.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock;
use crate::domain::{DeliveryId, Lease, LeaseId, UnixMillis};

/// A lost lease.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    pub lease: LeaseId,
    pub until: UnixMillis,
    /// The delivery, if only its event may name it.
    pub stored_with: Option<DeliveryId>,
    pub since: Instant,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct LostLeases(Mutex<Vec<Lost>>);

impl LostLeases {
    /// A claim under `lease` failed, and may be committed even so.
    pub fn add_claim(&self, lease: Lease) {
        let since = clock::monotonic();
        self.lock().push(Lost { lease: lease.id, until: lease.until, stored_with: None, since });
    }

    /// Deliveries that may be stored, with leases until these times.
    pub fn add_stored(&self, deliveries: impl IntoIterator<Item = (DeliveryId, UnixMillis)>) {
        let since = clock::monotonic();
        self.lock().extend(deliveries.into_iter().map(|(id, until)| Lost {
            lease: LeaseId::of_stored(id),
            until,
            stored_with: Some(id),
            since,
        }));
    }

    /// All that are looked for.
    pub fn all(&self) -> Vec<Lost> {
        self.lock().clone()
    }

    /// Those that were lost before `time` are no longer looked for.
    pub fn forget(&self, time: Instant) {
        self.lock().retain(|lost| lost.since > time);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Lost>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
