//! Counts the attempts of hooks in memory, and adds the counts to storage from time to time.
//!
//! What a process counted since it last did so is lost if it crashes.

use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::MissedTickBehavior;

use crate::domain::hook_stats::{AttemptEnd, AttemptStats, HookHour, Hour};
use crate::domain::{HookId, NodeNumber, Outcome, TenantId, UnixMillis};
use crate::metrics::{deliveries, tenants};
use crate::sources::Sources;
use crate::storage::{HookStatsStore, StorageError};

/// How often counts are stored.
const EVERY: Duration = Duration::from_secs(5);
/// How many rows one transaction writes, so that others do not wait for it.
const ROWS_AT_ONCE: usize = 200;
/// For how many hours counts are kept: a request shows seven days.
const KEPT_HOURS: i64 = 8 * 24;
/// Attempts of different hooks seldom wait for each other.
const SHARDS: usize = 64;
/// How many hooks and hours one shard counts in memory while storage fails. What comes on top is not counted.
const MAX_IN_SHARD: usize = 4_096;

// Ids are made by the engine, so nobody can choose them to collide.
type Counted = FxHashMap<(TenantId, HookId, Hour), AttemptStats>;

/// See the module's head.
pub struct HookStats {
    shards: Vec<Mutex<Counted>>,
    node: NodeNumber,
    store: Arc<dyn HookStatsStore>,
}

impl HookStats {
    /// Counts for `node`.
    #[must_use]
    pub fn new(node: NodeNumber, store: Arc<dyn HookStatsStore>) -> Arc<Self> {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Arc::new(Self { shards, node, store })
    }

    /// Counts an attempt that ended at `now`. `latency` is how long receivers took, `None` if no request was sent.
    pub fn count(
        &self,
        (tenant, hook): (TenantId, HookId),
        outcome: &Outcome,
        latency: Option<Duration>,
        now: UnixMillis,
    ) {
        deliveries::attempt_ended(outcome);
        tenants::attempt_ended(tenant, AttemptEnd::of(outcome));
        self.change((tenant, hook, Hour::of(now)), |stats| stats.add(AttemptEnd::of(outcome), latency));
    }

    fn change(&self, key: (TenantId, HookId, Hour), change: impl FnOnce(&mut AttemptStats)) {
        let mut counted = self.shard(key.1);
        let is_full = counted.len() >= MAX_IN_SHARD;
        match counted.entry(key) {
            Entry::Occupied(entry) => change(entry.into_mut()),
            Entry::Vacant(entry) if !is_full => change(entry.insert(AttemptStats::default())),
            Entry::Vacant(_) => {}
        }
    }

    /// By bits of the sequence and the time: ids that are made one after the other differ in them.
    fn shard(&self, hook: HookId) -> MutexGuard<'_, Counted> {
        let shard = usize::try_from((hook.0 ^ (hook.0 >> 22)) & (SHARDS as i64 - 1)).unwrap_or(0);
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was counted to storage. What cannot be stored is kept for the next call.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn store(&self) -> Result<(), StorageError> {
        let mut rows = Vec::new();
        for shard in &self.shards {
            let counted = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            let row = |((tenant, hook, hour), stats)| HookHour { tenant, hook, hour, stats };
            rows.extend(counted.into_iter().map(row));
        }
        // In the order of the table.
        rows.sort_unstable_by_key(|row| (row.hour, row.tenant, row.hook));
        let mut parts = rows.chunks(ROWS_AT_ONCE);
        while let Some(part) = parts.next() {
            if let Err(error) = self.store.add_stats(self.node, part).await {
                for row in part.iter().chain(parts.flatten()) {
                    self.change((row.tenant, row.hook, row.hour), |stats| stats.merge(&row.stats));
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Stores what is counted every few seconds, and removes what is old, until it is dropped.
    pub async fn run(self: Arc<Self>, sources: Sources) {
        let mut cleaned = None;
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let hour = Hour::of(sources.trusted_now());
            let mut done = self.store().await;
            if done.is_ok() && cleaned != Some(hour) {
                let old = Hour(hour.0 - KEPT_HOURS);
                let most = u32::try_from(ROWS_AT_ONCE).unwrap_or(u32::MAX);
                let removed = self.store.remove_stats_before(old, most).await;
                // What is left is removed in the next round.
                cleaned = removed.as_ref().is_ok_and(|rows| *rows < u64::from(most)).then_some(hour);
                done = removed.map(drop);
            }
            if let Err(error) = done {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "cannot store statistics of hooks; they are kept in memory");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tokio::sync::mpsc;

    use super::*;
    use crate::delivery::testing;
    use crate::storage::Database as _;
    use crate::storage::sqlite::{self, SqliteOptions};

    /// Tells from which hour on counts are kept.
    struct Removals(mpsc::Sender<Hour>);

    #[async_trait]
    impl HookStatsStore for Removals {
        async fn add_stats(&self, _: NodeNumber, _: &[HookHour]) -> Result<(), StorageError> {
            Ok(())
        }

        async fn stats(
            &self,
            _: TenantId,
            _: Option<HookId>,
            _: Hour,
            _: Hour,
        ) -> Result<Vec<(Hour, AttemptStats)>, StorageError> {
            Ok(Vec::new())
        }

        async fn remove_stats_before(&self, first: Hour, _: u32) -> Result<u64, StorageError> {
            self.0.send(first).await.unwrap();
            Ok(0)
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_not_trusted_removes_nothing() {
        let (removals, mut removed) = mpsc::channel(1);
        let (stats, sources) =
            (HookStats::new(NodeNumber(0), Arc::new(Removals(removals))), testing::sources());
        let last_seen = UnixMillis(1_700_000_000_000);
        sources.trusted.set(last_seen, Duration::ZERO);
        let first = tokio::select! {
            () = stats.run(sources) => None,
            first = removed.recv() => first,
        };
        assert_eq!(first, Some(Hour(Hour::of(last_seen).0 - KEPT_HOURS)));
    }

    #[tokio::test]
    async fn counts_are_kept_until_they_are_stored_once() {
        let dir = tempfile::tempdir().unwrap();
        let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let store = storage.stores().hook_stats;
        let stats = HookStats::new(NodeNumber(0), Arc::clone(&store));
        let now = UnixMillis(1_800_000_000_000);
        let dropped = Outcome::Dropped { step: 0 };
        for hook in 0..500 {
            stats.count((TenantId(1), HookId(hook)), &dropped, None, now);
        }
        stats.store().await.unwrap();
        stats.store().await.unwrap();
        let hour = Hour::of(now);
        let stored = store.stats(TenantId(1), None, hour, hour).await.unwrap();
        assert_eq!(stored.iter().map(|(_, stats)| stats.attempts()).collect::<Vec<_>>(), [500]);

        stats.count((TenantId(1), HookId(7)), &dropped, None, now);
        storage.close().await.unwrap();
        assert!(stats.store().await.is_err());
        let kept: usize = stats.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert_eq!(kept, 1);
    }
}
