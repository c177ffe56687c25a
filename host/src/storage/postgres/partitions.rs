//! The partitions of the days to come.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx_postgres::PgExecutor;

use crate::clock;
use crate::storage::StorageError;

/// How many days ahead there are partitions.
const DAYS_AHEAD: i32 = 7;
/// With partitions for fewer days ahead, something keeps the engine from making them.
const FEW_DAYS: u64 = 4;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Until when there are partitions.
#[derive(Debug)]
pub struct Partitions(Mutex<Instant>);

impl Partitions {
    /// Makes those of the next days, for a database that is being opened.
    ///
    /// # Errors
    /// If the database fails. Those that cannot be made are no error: rows of these days go into the default partitions.
    pub async fn open(executor: impl PgExecutor<'_>) -> Result<Self, StorageError> {
        let partitions = Self(Mutex::new(clock::monotonic()));
        partitions.make(executor).await?;
        Ok(partitions)
    }

    /// Makes those of the next days, if they are missing.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn make(&self, executor: impl PgExecutor<'_>) -> Result<(), StorageError> {
        let days = make(executor).await?;
        // The day that has begun does not count.
        let ahead = DAY * u32::try_from(days).unwrap_or(0);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = clock::monotonic() + ahead;
        Ok(())
    }

    /// What the operator should know, if there are partitions for few days only.
    pub fn warning(&self) -> Option<String> {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let days = until.saturating_duration_since(clock::monotonic()).as_secs() / DAY.as_secs();
        (days < FEW_DAYS).then(|| {
            format!(
                "there are partitions for {days} days ahead, and there should be {DAYS_AHEAD}: the engine's log says why \
                 it cannot make them"
            )
        })
    }
}

/// Makes the partitions of the next days, if they are missing. Returns for how many there are.
///
/// # Errors
/// See [`Partitions::open`].
pub async fn make(executor: impl PgExecutor<'_>) -> Result<i32, StorageError> {
    let query = sqlx::query_scalar("SELECT create_partitions($1)").bind(DAYS_AHEAD);
    let days: i32 = query.fetch_one(executor).await?;
    if days < DAYS_AHEAD {
        tracing::error!(
            days,
            "cannot make the partitions of the next days: rows of these days are in the default partitions"
        );
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_for_few_days_are_a_warning() {
        for (hours, warns) in [(0, true), (95, true), (97, false), (168, false)] {
            let until = clock::monotonic() + Duration::from_secs(hours * 3600);
            assert_eq!(Partitions(Mutex::new(until)).warning().is_some(), warns, "{hours}");
        }
    }
}
