//! Trying again where storage fails for a while, at a full disk for example.

use std::time::{Duration, Instant};

use super::StorageError;

/// For how long something that fails is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The last try begins within this time of the first.
    pub lasts: Duration,
    /// The time between two.
    pub between: Duration,
}

impl Patience {
    /// Tries once.
    pub const NONE: Self = Self { lasts: Duration::ZERO, between: Duration::ZERO };

    /// Does `what`, until it succeeds or this patience is at its end, and answers as the last try did. Storage that has been
    /// closed does not come back.
    pub(super) async fn bear<T, F: Future<Output = Result<T, StorageError>>>(
        self,
        what: impl Fn() -> F,
    ) -> Result<T, StorageError> {
        let began = Instant::now();
        loop {
            match what().await {
                Err(error) if !matches!(error, StorageError::Closed) && self.allows(began.elapsed()) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "storage fails; trying again");
                    tokio::time::sleep(self.between).await;
                }
                done => return done,
            }
        }
    }

    fn allows(self, since_first: Duration) -> bool {
        since_first + self.between < self.lasts
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn what_fails_is_tried_again_for_a_while() {
        let patience = Patience { lasts: Duration::from_secs(600), between: Duration::ZERO };
        let full = || StorageError::Io(std::io::ErrorKind::StorageFull.into());
        for (what, patience, fails, error, tries, succeeds) in [
            ("at once", patience, 0, full as fn() -> StorageError, 1, true),
            ("once there is room", patience, 3, full, 4, true),
            ("it is closed", patience, 1, || StorageError::Closed, 1, false),
            ("without patience", Patience::NONE, 1, full, 1, false),
        ] {
            let tried = Cell::new(0);
            let work = || {
                tried.set(tried.get() + 1);
                std::future::ready(if tried.get() > fails { Ok(()) } else { Err(error()) })
            };
            let done = patience.bear(work).await.is_ok();
            assert_eq!((done, tried.get()), (succeeds, tries), "{what}");
        }
    }

    #[test]
    fn the_last_try_begins_before_it_is_at_its_end() {
        let patience = Patience { lasts: Duration::from_secs(30), between: Duration::from_secs(1) };
        for (since_first_ms, again) in [(0, true), (28_999, true), (29_000, false), (60_000, false)] {
            assert_eq!(patience.allows(Duration::from_millis(since_first_ms)), again, "{since_first_ms}");
        }
    }
}
