//! Counts of hooks' attempts by hour. Each node counts in memory, and adds what it counted from time to time.

use async_trait::async_trait;

use super::error::StorageError;
use crate::domain::hook_stats::{AttemptStats, HookHour, Hour};
use crate::domain::{HookId, NodeNumber, TenantId};

/// See the module's head.
#[async_trait]
pub trait HookStatsStore: Send + Sync {
    /// Adds what `node` counted. All or nothing; if the answer is lost, a call that is repeated counts twice.
    async fn add_stats(&self, node: NodeNumber, counted: &[HookHour]) -> Result<(), StorageError>;
    /// The hours from `first` to `last` in which a tenant had attempts, in order; of one hook, if it is given.
    async fn stats(
        &self,
        tenant: TenantId,
        hook: Option<HookId>,
        first: Hour,
        last: Hour,
    ) -> Result<Vec<(Hour, AttemptStats)>, StorageError>;
    /// Removes what is older than `first`, at most `most` rows. Returns how many there were.
    async fn remove_stats_before(&self, first: Hour, most: u32) -> Result<u64, StorageError>;
}

/// The counts of a row of this hour.
pub(super) fn stats_of_hour(hour: i64, text: &str) -> Result<AttemptStats, StorageError> {
    super::columns::stats_from_text(text).map_err(|error| error.in_row("hook_stats", "of the hour", hour))
}

/// Merges rows of hours, which are in order.
pub(super) fn by_hour(rows: Vec<(i64, String)>) -> Result<Vec<(Hour, AttemptStats)>, StorageError> {
    let mut hours: Vec<(Hour, AttemptStats)> = Vec::new();
    for (hour, text) in rows {
        let stats = stats_of_hour(hour, &text)?;
        match hours.last_mut().filter(|(last, _)| last.0 == hour) {
            Some((_, sum)) => sum.merge(&stats),
            None => hours.push((Hour(hour), stats)),
        }
    }
    Ok(hours)
}
