//! Why events are not accepted.

use super::admission::NotAdmitted;
use crate::metrics::events::{EventSource, REJECTED, Rejection};
use crate::storage::{ConflictOn, StorageError};

/// The most deliveries of one call with several events. They are stored in one transaction, for which other tenants wait.
pub const MAX_DELIVERIES_PER_CALL: usize = 20_000;

/// Why events were not accepted. Nothing of the call is stored.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Another event has the same id or idempotency key.
    #[error("event {index} of the call conflicts with another event")]
    Conflict {
        /// The index of the event in the call.
        index: usize,
        /// What conflicts.
        on: ConflictOn,
    },
    /// The tenant publishes nothing at the moment.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// The events of one call create more deliveries than one transaction should hold.
    #[error(
        "the events create more than {MAX_DELIVERIES_PER_CALL} deliveries, the maximum for one request; send fewer events"
    )]
    TooMany,
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl IngestError {
    /// Counts so many events of `source` that were not accepted.
    pub(super) fn count(&self, events: usize, source: EventSource) {
        // What the engine tells is refused as a matter of course: it is known from another node, or its tenant is suspended.
        if source != EventSource::Engine {
            REJECTED.of(self.reason()).add(events as u64);
        }
    }

    fn reason(&self) -> Rejection {
        match self {
            Self::Conflict { .. } => Rejection::Conflict,
            Self::TooMany => Rejection::TooManyDeliveries,
            Self::NotAdmitted(NotAdmitted::Suspended) => Rejection::Suspended,
            Self::NotAdmitted(NotAdmitted::TooFast(_)) => Rejection::RateLimited,
            Self::NotAdmitted(NotAdmitted::Full { .. }) => Rejection::StorageLimit,
            Self::Storage(error) => of_storage(error),
        }
    }
}

fn of_storage(error: &StorageError) -> Rejection {
    match error {
        StorageError::NoSpace => Rejection::DiskFull,
        StorageError::Fenced => Rejection::Fenced,
        StorageError::Unstorable => Rejection::Invalid,
        StorageError::Damaged { .. } => Rejection::Internal,
        StorageError::RolledBack(cause) => of_storage(cause),
        _ => Rejection::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn an_error_of_the_storage_has_the_reason_of_its_cause() {
        let rolled_back = |cause| StorageError::RolledBack(Arc::new(cause));
        for (error, expected) in [
            (StorageError::NoSpace, Rejection::DiskFull),
            (rolled_back(StorageError::NoSpace), Rejection::DiskFull),
            (rolled_back(rolled_back(StorageError::Fenced)), Rejection::Fenced),
            (StorageError::Closed, Rejection::Unavailable),
        ] {
            assert_eq!(IngestError::Storage(error).reason(), expected);
        }
    }
}
