//! Whether events of a tenant are accepted: it may be suspended, publish too fast, or have too much stored.
//!
//! Counts how much tenants publish. Each node counts in memory, and adds its counts to the database every few seconds; what a
//! crash loses of them is only missing in the usage that is shown and limited.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};
use tokio::time::MissedTickBehavior;

use super::rates::{RateStatus, TokenBucket};
use crate::clock;
use crate::delivery::{Dispatcher, Notice, Notices};
use crate::directory::{Directory, NearQuota};
use crate::domain::tenant_usage::{EVENT_OVERHEAD_BYTES, kept_bytes};
use crate::domain::{Day, DayUsage, Event, Limit, NodeNumber, Owned, TenantId};
use crate::log_limiter::LogLimiter;
use crate::sources::Sources;
use crate::storage::{StorageError, TenantUsageStore};

/// How often counts are stored.
const EVERY: Duration = Duration::from_secs(5);
/// A rate is not told if it was measured for less than this, as at the start.
const SHORTEST_MEASURED: Duration = Duration::from_secs(1);
/// How many rows are stored at once.
const ROWS_AT_ONCE: usize = 500;
/// How often days are removed that do not count any more, in rounds of [`EVERY`].
const CLEANED_EVERY: u32 = 720;
/// What a tenant that has too much stored is told to wait, in seconds.
const WHEN_FULL_S: u64 = 60;

/// Why events are not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// The tenant is suspended or being deleted.
    #[error("the tenant is suspended: nothing is accepted for it until the operator resumes it")]
    Suspended,
    /// The tenant has published too many events.
    #[error(
        "the tenant may publish {} events in a second, and has published more; wait, then send them again",
        .0.limit
    )]
    TooFast(RateStatus),
    /// The tenant has too much stored.
    #[error(
        "the tenant's events take about {used} bytes of {limit}: there is room again when old ones are deleted, which \
         waits for their deliveries"
    )]
    Full {
        /// How many bytes its events take.
        used: u64,
        /// How many they may take.
        limit: u64,
    },
}

impl NotAdmitted {
    /// After how many seconds another try makes sense; `None` if nobody knows.
    #[must_use]
    pub fn retry_after_s(self) -> Option<u64> {
        match self {
            Self::Suspended => None,
            Self::TooFast(status) => Some(status.reset_s),
            Self::Full { .. } => Some(WHEN_FULL_S),
        }
    }
}

/// See the module's head.
pub struct Admission {
    sources: Sources,
    directory: Arc<Directory>,
    dispatcher: Arc<Dispatcher>,
    notices: Notices,
    store: Arc<dyn TenantUsageStore>,
    /// How long events are kept of tenants that have no time of their own; `None`: for ever.
    retention: Option<Duration>,
    /// What is not stored yet.
    counted: Mutex<FxHashMap<(TenantId, Day), (u64, u64)>>,
    /// How many events tenants published in a second, of late.
    recent: Mutex<FxHashMap<TenantId, u64>>,
    /// Of tenants that have a limit.
    buckets: Mutex<FxHashMap<TenantId, TokenBucket>>,
    /// About how many bytes tenants with a limit have stored.
    stored: Mutex<FxHashMap<TenantId, u64>>,
    /// Tenants that were told that they have nearly as much stored as they may.
    nearly_full: Mutex<FxHashSet<TenantId>>,
}

impl Admission {
    /// Creates it from its parts. `retention` is that of the settings.
    #[must_use]
    pub fn new(
        sources: Sources,
        directory: Arc<Directory>,
        (dispatcher, notices): (Arc<Dispatcher>, Notices),
        store: Arc<dyn TenantUsageStore>,
        retention: Option<Duration>,
    ) -> Self {
        Self {
            sources,
            directory,
            dispatcher,
            notices,
            store,
            retention,
            counted: Mutex::default(),
            recent: Mutex::default(),
            buckets: Mutex::default(),
            stored: Mutex::default(),
            nearly_full: Mutex::default(),
        }
    }

    /// Checks that so many events of `tenant` may be accepted, and counts them against its rate.
    ///
    /// # Errors
    /// Why they may not.
    pub fn admit(&self, tenant: TenantId, events: usize) -> Result<(), NotAdmitted> {
        self.check_open(tenant)?;
        if let Some(limit) = self.directory.rarely_limited(tenant, Limit::StorageBytes) {
            let used = lock(&self.stored).get(&tenant).copied().unwrap_or(0);
            if used >= limit {
                return Err(NotAdmitted::Full { used, limit });
            }
        }
        let Some(limit) = self.directory.rarely_limited(tenant, Limit::EventsPerSecond) else {
            return Ok(());
        };
        let now = clock::monotonic();
        self.with_bucket(tenant, limit, now, |bucket| match bucket.take(events, now) {
            true => Ok(()),
            false => Err(NotAdmitted::TooFast(bucket.status(limit, now))),
        })
    }

    /// Checks that the tenant is neither suspended nor being deleted.
    ///
    /// # Errors
    /// If it is.
    pub fn check_open(&self, tenant: TenantId) -> Result<(), NotAdmitted> {
        if self.directory.is_closed(tenant) { Err(NotAdmitted::Suspended) } else { Ok(()) }
    }

    /// How much of its rate `tenant` has left, if it has one.
    pub fn rate_status(&self, tenant: TenantId) -> Option<RateStatus> {
        let limit = self.directory.rarely_limited(tenant, Limit::EventsPerSecond)?;
        let now = clock::monotonic();
        Some(self.with_bucket(tenant, limit, now, |bucket| bucket.status(limit, now)))
    }

    /// Each node has its share of the limit.
    fn with_bucket<T>(
        &self,
        tenant: TenantId,
        limit: u64,
        now: Instant,
        act: impl FnOnce(&mut TokenBucket) -> T,
    ) -> T {
        let nodes = self.dispatcher.membership().node_count();
        let mut buckets = lock(&self.buckets);
        let bucket = buckets.entry(tenant).or_insert_with(|| TokenBucket::full(now));
        bucket.set_rate(limit, nodes, now);
        act(bucket)
    }

    /// Counts events that were stored. All of them belong to one tenant.
    pub(super) fn count<'e>(&self, stored: impl Iterator<Item = &'e Event>) {
        let mut counted: Option<((TenantId, Day), (u64, u64))> = None;
        for event in stored {
            let key = || (event.tenant, Day::of(event.key.created_at()));
            let (_, (events, bytes)) = counted.get_or_insert_with(|| (key(), (0, 0)));
            *events += 1;
            *bytes += event.data.len() as u64 + EVENT_OVERHEAD_BYTES;
        }
        let Some((key, (events, bytes))) = counted else { return };
        {
            let mut all = lock(&self.counted);
            let sum = all.entry(key).or_default();
            *sum = (sum.0 + events, sum.1 + bytes);
        }
        if self.directory.rarely_limited(key.0, Limit::StorageBytes).is_some() {
            *lock(&self.stored).entry(key.0).or_default() += bytes;
        }
    }

    /// About how many bytes the events of `tenant` take.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn stored_bytes(&self, tenant: TenantId) -> Result<u64, StorageError> {
        let mut days = self.store.usage(&[tenant]).await?;
        days.extend(self.counted_of(|of| of == tenant));
        let overdue = self.store.overdue().await?.get(&tenant).copied().unwrap_or(0);
        Ok(overdue + kept_bytes(&days, self.retention_of(tenant), self.sources.trusted_now()))
    }

    /// How many events of `tenant` this node accepted in a second, of late.
    pub fn events_per_second(&self, tenant: TenantId) -> u64 {
        lock(&self.recent).get(&tenant).copied().unwrap_or(0)
    }

    fn counted_of(&self, wanted: impl Fn(TenantId) -> bool) -> Vec<DayUsage> {
        let all = lock(&self.counted);
        let counted = all.iter().filter(|((tenant, _), _)| wanted(*tenant));
        counted.map(|(key, sum)| day_usage(*key, *sum)).collect()
    }

    fn retention_of(&self, tenant: TenantId) -> Option<Duration> {
        let own = self.directory.tenant(tenant).and_then(|tenant| tenant.options.retention.events);
        own.or(self.retention)
    }

    /// Stores what is counted every few seconds, and takes over what others store, until it is dropped.
    pub async fn run(self: Arc<Self>, node: NodeNumber) {
        static FAILURES: LogLimiter = LogLimiter::new();
        let mut began = clock::monotonic();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for round in 0_u32.. {
            ticks.tick().await;
            let elapsed = clock::elapsed(began);
            began = clock::monotonic();
            let mut done = self.store(node, elapsed).await;
            if done.is_ok() {
                done = self.refresh().await;
            }
            if done.is_ok() && round % CLEANED_EVERY == CLEANED_EVERY - 1 {
                done = self.clean().await;
            }
            if let Err(error) = done
                && let Some(unlogged) = FAILURES.permit()
            {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(unlogged, error, "cannot store the usage of tenants; it is kept in memory");
            }
        }
    }

    /// Adds what was counted to storage. What cannot be stored is kept for the next call.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn store(&self, node: NodeNumber, elapsed: Duration) -> Result<(), StorageError> {
        let counted = std::mem::take(&mut *lock(&self.counted));
        let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut recent = FxHashMap::default();
        for ((tenant, _), (events, _)) in &counted {
            *recent.entry(*tenant).or_insert(0) += events.saturating_mul(1_000).div_ceil(milliseconds);
        }
        if elapsed >= SHORTEST_MEASURED {
            self.tell_rates(&recent);
        }
        *lock(&self.recent) = recent;
        let mut rows: Vec<DayUsage> = counted.into_iter().map(|(key, sum)| day_usage(key, sum)).collect();
        rows.sort_unstable_by_key(|row| (row.tenant, row.day));
        let mut parts = rows.chunks(ROWS_AT_ONCE);
        while let Some(part) = parts.next() {
            if let Err(error) = self.store.add_usage(node, part).await {
                let mut all = lock(&self.counted);
                for row in part.iter().chain(parts.flatten()) {
                    let sum = all.entry((row.tenant, row.day)).or_default();
                    *sum = (sum.0 + row.events, sum.1 + row.bytes);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Tells tenants that publish nearly as fast as they may: all nodes are taken to accept as much as this one.
    fn tell_rates(&self, recent: &FxHashMap<TenantId, u64>) {
        let nodes = self.dispatcher.membership().node_count() as u64;
        for (tenant, rate) in recent {
            if let Some(near) = self.near(*tenant, Limit::EventsPerSecond, rate.saturating_mul(nodes)) {
                self.notices.send(Notice::of_quota(*tenant, near));
            }
        }
    }

    /// Tells tenants that have come to have nearly as much stored as they may.
    fn tell_storage(&self, stored: &FxHashMap<TenantId, u64>) {
        let mut told = lock(&self.nearly_full);
        let before = std::mem::take(&mut *told);
        for (tenant, used) in stored {
            let Some(near) = self.near(*tenant, Limit::StorageBytes, *used) else { continue };
            if !before.contains(tenant) {
                self.notices.send(Notice::of_quota(*tenant, near));
            }
            told.insert(*tenant);
        }
    }

    fn near(&self, tenant: TenantId, limit: Limit, used: u64) -> Option<NearQuota> {
        NearQuota::of(limit, used, self.directory.rarely_limited(tenant, limit)?)
    }

    /// Reads how much tenants with a limit have stored.
    async fn refresh(&self) -> Result<(), StorageError> {
        let all = self.directory.tenants_limited_in(Limit::StorageBytes);
        let mut stored = FxHashMap::default();
        if !all.is_empty() {
            let now = self.sources.trusted_now();
            let mut days = self.store.usage(&all).await?;
            let limited: FxHashSet<TenantId> = all.into_iter().collect();
            // What is too old and still kept is in no day that counts.
            stored.extend(
                self.store.overdue().await?.into_iter().filter(|(tenant, _)| limited.contains(tenant)),
            );
            days.extend(self.counted_of(|tenant| limited.contains(&tenant)));
            days.sort_unstable_by_key(|day| (day.tenant, day.day));
            for of_tenant in days.chunk_by(|one, other| one.tenant == other.tenant) {
                let tenant = of_tenant[0].tenant;
                let kept = kept_bytes(of_tenant, self.retention_of(tenant), now);
                *stored.entry(tenant).or_default() += kept;
            }
        }
        self.tell_storage(&stored);
        *lock(&self.stored) = stored;
        lock(&self.buckets)
            .retain(|tenant, _| self.directory.rarely_limited(*tenant, Limit::EventsPerSecond).is_some());
        Ok(())
    }

    /// Removes days that have nothing left, of tenants that this node owns.
    async fn clean(&self) -> Result<(), StorageError> {
        let now = self.sources.trusted_now();
        for tenant in self.directory.tenants() {
            if !self.dispatcher.membership().owns(Owned::HooksOf(tenant.id)) {
                continue;
            }
            let Some(retention) = self.retention_of(tenant.id) else { continue };
            self.store.remove_usage_before(tenant.id, Day::of(now.minus(retention))).await?;
        }
        Ok(())
    }
}

fn day_usage((tenant, day): (TenantId, Day), (events, bytes): (u64, u64)) -> DayUsage {
    DayUsage { tenant, day, events, bytes }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
