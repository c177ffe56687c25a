//! Retries while storage fails for a short time, because of a full disk for example.

use std::time::Duration;

use super::error::StorageError;

use crate::clock;

/// How long, and how often, a failed operation is tried again.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// The last try begins within this time of the first.
    pub max_elapsed: Duration,
    /// The time between two tries.
    pub interval: Duration,
}

impl RetryPolicy {
    /// Tries once.
    pub const NONE: Self = Self { max_elapsed: Duration::ZERO, interval: Duration::ZERO };

    /// Runs `operation` until it succeeds or the time is over, and returns the result of the last try. Storage that was
    /// closed stays closed.
    pub(super) async fn run<T, F: Future<Output = Result<T, StorageError>>>(
        self,
        operation: impl Fn() -> F,
    ) -> Result<T, StorageError> {
        let began = clock::monotonic();
        loop {
            match operation().await {
                Err(error)
                    if !matches!(error, StorageError::Closed) && self.allows(clock::elapsed(began)) =>
                {
                    tracing::error!(error = &error as &dyn std::error::Error, "storage failed; trying again");
                    tokio::time::sleep(self.interval).await;
                }
                done => return done,
            }
        }
    }

    fn allows(self, since_first: Duration) -> bool {
        since_first + self.interval < self.max_elapsed
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_failed_operation_is_tried_again_for_a_while() {
        let policy = RetryPolicy { max_elapsed: Duration::from_secs(600), interval: Duration::ZERO };
        let full = || StorageError::Io(std::io::ErrorKind::StorageFull.into());
        for (what, policy, failures, error, tries, succeeds) in [
            ("at once", policy, 0, full as fn() -> StorageError, 1, true),
            ("once there is space", policy, 3, full, 4, true),
            ("storage is closed", policy, 1, || StorageError::Closed, 1, false),
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
        let policy = RetryPolicy { max_elapsed: Duration::from_secs(30), interval: Duration::from_secs(1) };
        for (since_first_ms, again) in [(0, true), (28_999, true), (29_000, false), (60_000, false)] {
            assert_eq!(policy.allows(Duration::from_millis(since_first_ms)), again, "{since_first_ms}");
        }
    }
}
