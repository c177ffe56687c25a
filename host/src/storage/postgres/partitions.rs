//! The partitions of the days to come.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx_postgres::PgTransaction;

use super::errors::is_locked;
use crate::clock;
use crate::storage::StorageError;

/// How many days ahead there are partitions.
const DAYS_AHEAD: i32 = 7;
/// With partitions for fewer days ahead, something keeps the engine from making them.
const FEW_DAYS: u64 = 4;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// For how many days after today all partitions exist.
const COUNT: &str = "SELECT count(*)::integer - 1 FROM generate_series(0, $1) day WHERE \
    (SELECT bool_and(to_regclass(t || to_char((now() AT TIME ZONE 'UTC')::date + day, '_YYYYMMDD')) IS NOT NULL) \
    FROM unnest(ARRAY['events', 'finished_deliveries', 'attempts']) t)";

/// What partitions there are.
#[derive(Debug)]
pub struct Made {
    /// For how many days ahead.
    pub days: i32,
    /// A lock was not to be had: another try may succeed soon.
    pub again: bool,
}

/// Until when there are partitions.
#[derive(Debug)]
pub struct Partitions(Mutex<Instant>);

impl Partitions {
    /// Makes those of the next days, for a database that is being opened.
    ///
    /// # Errors
    /// If the database fails. Those that cannot be made are no error: rows of these days go into the default partitions.
    pub async fn open(transaction: PgTransaction<'_>) -> Result<Self, StorageError> {
        let partitions = Self(Mutex::new(clock::monotonic()));
        partitions.make(transaction).await?;
        Ok(partitions)
    }

    /// Makes those of the next days, if they are missing. Returns whether that needs no other try soon.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn make(&self, transaction: PgTransaction<'_>) -> Result<bool, StorageError> {
        let Made { days, again } = make(transaction).await?;
        // The day that has begun does not count.
        let ahead = DAY * u32::try_from(days).unwrap_or(0);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = clock::monotonic() + ahead;
        Ok(!again)
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

/// Makes the partitions of the next days, if they are missing.
///
/// A new partition needs a lock for which it must not wait long: all who accept events would wait behind it for as long as
/// a backup reads the table.
///
/// # Errors
/// See [`Partitions::open`].
pub async fn make(mut transaction: PgTransaction<'_>) -> Result<Made, StorageError> {
    let days: i32 = sqlx::query_scalar(COUNT).bind(DAYS_AHEAD).fetch_one(&mut *transaction).await?;
    if days == DAYS_AHEAD {
        transaction.rollback().await?;
        return Ok(Made { days, again: false });
    }
    sqlx::query("SET LOCAL lock_timeout = '1s'").execute(&mut *transaction).await?;
    let query = sqlx::query_scalar("SELECT create_partitions($1)").bind(DAYS_AHEAD);
    let made: Result<i32, _> = query.fetch_one(&mut *transaction).await;
    match made {
        Ok(days) => {
            transaction.commit().await?;
            if days < DAYS_AHEAD {
                tracing::error!(
                    days,
                    "cannot make the partitions of the next days: rows of these days are in the default partitions"
                );
            }
            Ok(Made { days, again: false })
        }
        Err(error) if is_locked(&error) => {
            transaction.rollback().await?;
            tracing::warn!(
                days,
                "cannot make the partitions of the next days while others read the tables, such as a backup; trying again"
            );
            Ok(Made { days, again: true })
        }
        Err(error) => Err(error.into()),
    }
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
