//! Counts why events are not accepted.

use super::{IngestError, NotAdmitted};
use crate::metrics::events::{REJECTED, Rejection};
use crate::storage::StorageError;

/// Notes that so many events were not accepted.
pub(super) fn note(error: &IngestError, events: usize) {
    REJECTED.of(reason(error)).add(events as u64);
}

fn reason(error: &IngestError) -> Rejection {
    match error {
        IngestError::Conflict { .. } => Rejection::Conflict,
        IngestError::TooMany => Rejection::TooManyDeliveries,
        IngestError::NotAdmitted(NotAdmitted::Suspended) => Rejection::Suspended,
        IngestError::NotAdmitted(NotAdmitted::TooFast(_)) => Rejection::RateLimited,
        IngestError::NotAdmitted(NotAdmitted::Full { .. }) => Rejection::StorageLimit,
        IngestError::Storage(error) => of_storage(error),
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
            assert_eq!(reason(&IngestError::Storage(error)), expected);
        }
    }
}
