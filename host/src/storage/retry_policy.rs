//! Retries while storage fails for a short time, because of a full disk for example.

use std::time::Duration;

use super::error::StorageError;

use crate::clock;
use crate::log_limiter::LogLimiter;

/// How long, and how often, a failed operation is tried again.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// The last try begins within this time of the first.
    pub max_elapsed: Duration,
    /// The same if the database cannot be used at all, which says nothing about the operation.
    pub max_outage: Duration,
    /// The time between two tries.
    pub interval: Duration,
}

impl RetryPolicy {
    /// Tries once.
    pub const NONE: Self =
        Self { max_elapsed: Duration::ZERO, max_outage: Duration::ZERO, interval: Duration::ZERO };

    /// Runs `operation` until it succeeds or the time is over, and returns the result of the last try. Storage that was
    /// closed stays closed.
    pub(super) async fn run<T, F: Future<Output = Result<T, StorageError>>>(
        self,
        operation: impl Fn() -> F,
    ) -> Result<T, StorageError> {
        let (began, failures) = (clock::monotonic(), LogLimiter::new());
        loop {
            match operation().await {
                Err(error) if self.allows(&error, clock::elapsed(began)) => {
                    if let Some(unlogged) = failures.permit() {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(error, unlogged, "storage failed; trying again");
                    }
                    tokio::time::sleep(self.interval).await;
                }
                done => return done,
            }
        }
    }

    fn allows(self, error: &StorageError, since_first: Duration) -> bool {
        let limit = if error.is_outage() { self.max_outage } else { self.max_elapsed };
        !matches!(error, StorageError::Closed) && since_first + self.interval < limit
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn full() -> StorageError {
        StorageError::NoSpace
    }

    fn damaged() -> StorageError {
        StorageError::Damaged { what: "row", detail: String::new() }
    }

    #[tokio::test]
    async fn a_failed_operation_is_tried_again_for_a_while() {
        let (long, none) = (Duration::from_secs(600), Duration::ZERO);
        let all = RetryPolicy { max_elapsed: long, max_outage: long, interval: none };
        let outages = RetryPolicy { max_elapsed: none, ..all };
        for (what, policy, failures, error, tries, succeeds) in [
            ("at once", all, 0, full as fn() -> StorageError, 1, true),
            ("once there is space", all, 3, full, 4, true),
            ("while a row is damaged", all, 3, damaged, 4, true),
            ("only while there is no space", outages, 3, full, 4, true),
            ("a row is damaged", outages, 1, damaged, 1, false),
            ("storage is closed", all, 1, || StorageError::Closed, 1, false),
            ("no retries", RetryPolicy::NONE, 1, full, 1, false),
        ] {
            let tried = Cell::new(0);
            let operation = || {
                tried.set(tried.get() + 1);
                std::future::ready(if tried.get() > failures { Ok(()) } else { Err(error()) })
            };
            let succeeded = policy.run(operation).await.is_ok();
            assert_eq!((succeeded, tried.get()), (succeeds, tries), "{what}");
        }
    }

    #[test]
    fn the_last_try_begins_before_the_time_is_over() {
        let [max_elapsed, max_outage, interval] = [30, 900, 1].map(Duration::from_secs);
        let policy = RetryPolicy { max_elapsed, max_outage, interval };
        for (error, since_first_ms, again) in [
            (damaged(), 0, true),
            (damaged(), 28_999, true),
            (damaged(), 29_000, false),
            (full(), 29_000, true),
            (full(), 898_999, true),
            (full(), 899_000, false),
        ] {
            let allows = policy.allows(&error, Duration::from_millis(since_first_ms));
            assert_eq!(allows, again, "{error}: {since_first_ms}");
        }
    }
}
