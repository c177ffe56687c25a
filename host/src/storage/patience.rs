//! Trying again where storage fails for a while, at a full disk for example.

use std::time::Duration;

use super::StorageError;

/// How often something is tried, and how long after it failed.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// At least 1.
    pub tries: u32,
    /// The time between two.
    pub between: Duration,
}

impl Patience {
    /// Tries once.
    pub const NONE: Self = Self { tries: 1, between: Duration::ZERO };

    /// Does `what`, until it succeeds or this patience is at its end, and answers as the last try did. Storage that has been
    /// closed does not come back.
    pub(super) async fn bear<T, F: Future<Output = Result<T, StorageError>>>(
        self,
        what: impl Fn() -> F,
    ) -> Result<T, StorageError> {
        for _ in 1..self.tries {
            match what().await {
                Err(error) if !matches!(error, StorageError::Closed) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "storage fails; trying again");
                    tokio::time::sleep(self.between).await;
                }
                done => return done,
            }
        }
        what().await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn what_fails_is_tried_again_for_a_while() {
        let patience = Patience { tries: 5, between: Duration::ZERO };
        let full = || StorageError::Io(std::io::ErrorKind::StorageFull.into());
        for (what, patience, fails, error, tries, succeeds) in [
            ("at once", patience, 0, full as fn() -> StorageError, 1, true),
            ("once there is room", patience, 3, full, 4, true),
            ("at the last moment", patience, 4, full, 5, true),
            ("never", patience, 5, full, 5, false),
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
}
