//! How much fuel the plugins of a tenant use in a minute, if that is limited.
//!
//! Fuel is known only after a call, so the last call of a minute may pass the limit. After it, deliveries of the tenant's hooks
//! with plugins wait on disk until the minute ends. Deliveries of hooks without plugins do not. Tenants without a limit are
//! not counted.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::super::notices::{Notice, Notices};
use crate::directory::NearQuota;
use crate::domain::{HookId, Limit, TenantId, UnixMillis};

const MINUTE_MS: i64 = 60_000;

/// Counts fuel, and holds hooks whose tenants have used theirs up.
#[derive(Debug)]
pub struct Fuel {
    /// How many nodes share the limits.
    nodes: AtomicUsize,
    used: Mutex<FxHashMap<TenantId, InMinute>>,
    holds: FuelHolds,
    notices: Notices,
}

/// What was used in a minute since the Unix epoch.
#[derive(Debug, Clone, Copy, Default)]
struct InMinute {
    minute: i64,
    fuel: u64,
}

fn minute_of(now: UnixMillis) -> i64 {
    now.0.div_euclid(MINUTE_MS)
}

impl Fuel {
    /// Tells tenants through `notices` that little is left.
    #[must_use]
    pub fn new(notices: Notices) -> Self {
        let nodes = AtomicUsize::new(1);
        Self { nodes, used: Mutex::default(), holds: FuelHolds::default(), notices }
    }

    /// So many nodes share the limits.
    pub fn set_nodes(&self, nodes: usize) {
        self.nodes.store(nodes.max(1), Relaxed);
    }

    /// Until when no plugin of `tenant` runs for a delivery, if its `limit` is used up: this node's share of it.
    pub fn spent_until(&self, tenant: TenantId, limit: u64, now: UnixMillis) -> Option<UnixMillis> {
        let share = limit / (self.nodes.load(Relaxed) as u64);
        (self.used_by(tenant, now) >= share).then(|| UnixMillis((minute_of(now) + 1) * MINUTE_MS))
    }

    /// The plugins of `tenant`, which has this `limit`, have used this much. Tells the tenant when nine tenths are used: all
    /// nodes are taken to use as much as this one.
    pub fn add(&self, tenant: TenantId, fuel: u64, limit: u64, now: UnixMillis) {
        let (before, after) = self.count(tenant, fuel, now);
        let nodes = self.nodes.load(Relaxed) as u64;
        let near = |used: u64| NearQuota::of(Limit::FuelPerMinute, used.saturating_mul(nodes), limit);
        if near(before).is_none()
            && let Some(near) = near(after)
        {
            self.notices.send(Notice::of_quota(tenant, near));
        }
    }

    /// What `tenant` has used in this minute, before and after.
    fn count(&self, tenant: TenantId, fuel: u64, now: UnixMillis) -> (u64, u64) {
        let mut all = self.used();
        let used = all.entry(tenant).or_default();
        if used.minute != minute_of(now) {
            *used = InMinute { minute: minute_of(now), fuel: 0 };
        }
        let before = used.fuel;
        used.fuel = before.saturating_add(fuel);
        (before, used.fuel)
    }

    /// What the plugins of `tenant` have used in this minute on this node, as far as it is counted.
    #[must_use]
    pub fn used_by(&self, tenant: TenantId, now: UnixMillis) -> u64 {
        let used = self.used().get(&tenant).copied().unwrap_or_default();
        if used.minute == minute_of(now) { used.fuel } else { 0 }
    }

    /// Holds deliveries of `hook` on disk until then.
    pub(in crate::delivery) fn hold(&self, hook: HookId, until: UnixMillis) {
        self.holds.hold(hook, until);
    }

    /// Until when the deliveries of `hook` are held.
    pub(super) fn held_until(&self, hook: HookId) -> Option<UnixMillis> {
        self.holds.of(hook)
    }

    /// Ends what is over at `now`. Returns whether something is released.
    pub fn end_holds(&self, now: UnixMillis) -> bool {
        self.holds.end(now)
    }

    /// Ends all holds: a limit may have been raised.
    pub fn release(&self) {
        self.holds.until().clear();
        self.holds.count.store(0, Relaxed);
    }

    fn used(&self) -> MutexGuard<'_, FxHashMap<TenantId, InMinute>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hooks whose deliveries wait on disk because of fuel. Mostly there are none, which costs the look at one number.
#[derive(Debug, Default)]
struct FuelHolds {
    count: AtomicUsize,
    until: Mutex<FxHashMap<HookId, UnixMillis>>,
}

impl FuelHolds {
    /// Holds deliveries of `hook` on disk.
    fn hold(&self, hook: HookId, until: UnixMillis) {
        let mut all = self.until();
        all.insert(hook, until);
        self.count.store(all.len(), Relaxed);
    }

    /// Until when the deliveries of `hook` are held.
    fn of(&self, hook: HookId) -> Option<UnixMillis> {
        if self.count.load(Relaxed) == 0 { None } else { self.until().get(&hook).copied() }
    }

    /// Ends what is over at `now`. Returns whether there was anything.
    fn end(&self, now: UnixMillis) -> bool {
        if self.count.load(Relaxed) == 0 {
            return false;
        }
        let mut all = self.until();
        let before = all.len();
        // What is far ahead is from before the clock was set back.
        let furthest = now.plus(Duration::from_millis(MINUTE_MS.unsigned_abs()));
        all.retain(|_, until| *until > now && *until <= furthest);
        self.count.store(all.len(), Relaxed);
        all.len() < before
    }

    fn until(&self) -> MutexGuard<'_, FxHashMap<HookId, UnixMillis>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::NoticeKind;

    #[test]
    fn a_minutes_fuel_is_shared_by_nodes_and_is_there_again_in_the_next() {
        let (fuel, tenant) = (Fuel::new(Notices::channel().0), TenantId(1));
        let (now, next) = (UnixMillis(59_999), UnixMillis(60_000));
        assert_eq!(fuel.spent_until(tenant, 100, now), None);
        fuel.add(tenant, 60, 100, now);
        assert_eq!(fuel.spent_until(tenant, 100, now), None);
        assert_eq!(fuel.spent_until(TenantId(2), 100, now), None);
        fuel.set_nodes(2);
        assert_eq!(fuel.spent_until(tenant, 100, now), Some(next));
        assert_eq!(fuel.used_by(tenant, now), 60);
        assert_eq!((fuel.used_by(tenant, next), fuel.spent_until(tenant, 100, next)), (0, None));
    }

    #[tokio::test]
    async fn a_tenant_is_told_once_in_a_minute_that_nine_tenths_are_used() {
        let (notices, mut told) = Notices::channel();
        let (fuel, tenant) = (Fuel::new(notices), TenantId(1));
        fuel.set_nodes(2);
        // A node's share of the limit is 100.
        for (used, at_ms) in [(89, 0), (1, 1), (50, 2), (89, 60_000), (20, 60_001)] {
            fuel.add(tenant, used, 200, UnixMillis(at_ms));
        }
        drop(fuel);
        let mut numbers = Vec::new();
        while let Some(Notice { kind: NoticeKind::QuotaNear { used, limit, .. }, .. }) = told.recv().await {
            numbers.push((used, limit));
        }
        assert_eq!(numbers, [(180, 200), (218, 200)]);
    }

    #[test]
    fn holds_end_with_their_minute_or_if_the_clock_is_set_back() {
        let (now, hook) = (UnixMillis(600_000), HookId(1));
        for (at, ended) in [(0, false), (30_000, false), (60_000, true), (90_000, true), (-600_000, true)] {
            let holds = FuelHolds::default();
            assert_eq!(holds.of(hook), None);
            holds.hold(hook, UnixMillis(now.0 + 60_000));
            assert_eq!(holds.of(hook), Some(UnixMillis(now.0 + 60_000)));
            assert_eq!(holds.end(UnixMillis(now.0 + at)), ended, "{at}");
            assert_eq!(holds.of(hook).is_none(), ended, "{at}");
        }
    }
}
