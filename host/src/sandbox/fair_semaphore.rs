//! A semaphore that all tenants share fairly, for compiling and loading plugins.
//!
//! The next permit goes to the waiting tenant with the least recent usage, so one tenant's hundred plugins do not delay
//! another tenant's single plugin. The last free permit is reserved for tenants with little recent usage, so they do
//! not wait for a compilation that takes a minute. Background work gets a permit only if no permit is in use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::clock;
use crate::domain::{Digest, TenantId};

/// Half-life of a tenant's recorded usage.
const HALF_LIFE: Duration = Duration::from_secs(60);
/// A tenant with more recent usage than this does not get the last free permit.
const LIGHT: Duration = Duration::from_secs(5);

/// The semaphore. Clones share one state.
#[derive(Clone)]
pub(super) struct FairSemaphore(Arc<Inner>);

struct Inner {
    permits: usize,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    arrivals: u64,
    running: HashMap<u64, Running>,
    waiting: Vec<Waiting>,
    used: HashMap<TenantId, Used>,
}

struct Running {
    tenant: TenantId,
    digest: Digest,
    since: Instant,
}

struct Waiting {
    arrival: u64,
    tenant: TenantId,
    digest: Digest,
    priority: Priority,
    since: Instant,
    grant: oneshot::Sender<Permit>,
}

/// Decayed usage at a point in time.
#[derive(Clone, Copy)]
struct Used {
    seconds: f64,
    at: Instant,
}

/// Priority of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// A request or a delivery waits for it.
    Foreground,
    /// Nothing waits for it yet.
    Background,
}

/// A permit. Dropping it releases it to the next waiter.
#[must_use]
pub(super) struct Permit {
    semaphore: FairSemaphore,
    arrival: u64,
}

impl FairSemaphore {
    /// Creates a semaphore with this many permits, at least 1.
    pub(super) fn new(permits: usize) -> Self {
        Self::with_clock(permits, clock::monotonic)
    }

    fn with_clock(permits: usize, now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { permits: permits.max(1), now: Box::new(now), state: Mutex::default() }))
    }

    /// Waits for a permit to work on `digest` for `tenant`. Only one permit per digest is in use at a time: other
    /// callers wait and then find the work done. Dropping the future gives up the request.
    pub(super) async fn acquire(&self, tenant: TenantId, digest: Digest, priority: Priority) -> Permit {
        let (grant, granted) = oneshot::channel();
        {
            let mut state = self.lock();
            state.waiting.retain(|waiting| !waiting.grant.is_closed());
            let arrival = state.arrivals;
            state.arrivals += 1;
            let since = (self.0.now)();
            state.waiting.push(Waiting { arrival, tenant, digest, priority, since, grant });
        }
        self.grant_free();
        match granted.await {
            Ok(permit) => permit,
            // The sender is dropped only after it has sent, or with the semaphore, which `self` keeps alive.
            Err(_) => std::future::pending().await,
        }
    }

    /// How many requests and deliveries wait, and since when the first of them does.
    pub(super) fn waiting(&self) -> (usize, Option<Instant>) {
        let state = self.lock();
        let is_wanted = |it: &&Waiting| it.priority == Priority::Foreground && !it.grant.is_closed();
        let waiting = state.waiting.iter().filter(is_wanted);
        (waiting.clone().count(), waiting.map(|it| it.since).min())
    }

    /// Grants permits while there are free ones.
    fn grant_free(&self) {
        loop {
            let next = self.lock().next(self.0.permits, (self.0.now)());
            let Some(next) = next else { return };
            let permit = Permit { semaphore: self.clone(), arrival: next.arrival };
            // If the waiter is gone, this drops the permit, which releases it.
            drop(next.grant.send(permit));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Removes the next waiter and marks it as running.
    fn next(&mut self, permits: usize, now: Instant) -> Option<Waiting> {
        let free = permits.saturating_sub(self.running.len());
        if free == 0 {
            return None;
        }
        let is_last = free == 1 && permits > 1;
        let eligible =
            self.waiting.iter().enumerate().filter(|(_, waiting)| self.may_start(waiting, is_last, now));
        let (index, _) = eligible.min_by(|(_, one), (_, other)| {
            let used = |waiting: &Waiting| self.usage(waiting.tenant, now);
            let priority =
                (one.priority == Priority::Background).cmp(&(other.priority == Priority::Background));
            priority
                .then_with(|| used(one).total_cmp(&used(other)))
                .then_with(|| one.arrival.cmp(&other.arrival))
        })?;
        let next = self.waiting.swap_remove(index);
        let running = Running { tenant: next.tenant, digest: next.digest, since: now };
        self.running.insert(next.arrival, running);
        Some(next)
    }

    fn may_start(&self, waiting: &Waiting, is_last_permit: bool, now: Instant) -> bool {
        if self.running.values().any(|running| running.digest == waiting.digest) {
            return false;
        }
        if waiting.priority == Priority::Background {
            return self.running.is_empty();
        }
        !is_last_permit
            || (self.running.values().all(|running| running.tenant != waiting.tenant)
                && self.usage(waiting.tenant, now) <= LIGHT.as_secs_f64())
    }

    /// Returns the tenant's recent usage in seconds, including its running work.
    fn usage(&self, tenant: TenantId, now: Instant) -> f64 {
        let before = self.used.get(&tenant).map_or(0.0, |used| used.decayed(now));
        let running = self.running.values().filter(|running| running.tenant == tenant);
        before + running.map(|running| now.duration_since(running.since).as_secs_f64()).sum::<f64>()
    }

    fn finish(&mut self, arrival: u64, now: Instant) {
        let Some(ended) = self.running.remove(&arrival) else { return };
        let before = self.used.get(&ended.tenant).map_or(0.0, |used| used.decayed(now));
        let seconds = before + now.duration_since(ended.since).as_secs_f64();
        self.used.insert(ended.tenant, Used { seconds, at: now });
        // Forget negligible usage, which bounds the map.
        self.used.retain(|_, used| used.decayed(now) > 0.0005);
    }
}

impl Used {
    fn decayed(self, now: Instant) -> f64 {
        let half_lives = now.duration_since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.seconds * 0.5_f64.powf(half_lives)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = (self.semaphore.0.now)();
        self.semaphore.lock().finish(self.arrival, now);
        self.semaphore.grant_free();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;

    use super::*;

    const HEAVY: TenantId = TenantId(1);
    const LIGHT_ONE: TenantId = TenantId(2);
    const OTHER: TenantId = TenantId(3);

    /// A clock that moves only when it is advanced.
    #[derive(Clone)]
    struct Clock(Arc<Mutex<Instant>>);

    impl Clock {
        fn advance(&self, by: Duration) {
            *self.0.lock().unwrap() += by;
        }
    }

    fn semaphore(permits: usize) -> (FairSemaphore, Clock) {
        let clock = Clock(Arc::new(Mutex::new(clock::monotonic())));
        let read = clock.clone();
        (FairSemaphore::with_clock(permits, move || *read.0.lock().unwrap()), clock)
    }

    fn digest(number: u8) -> Digest {
        Digest([number; 32])
    }

    fn request(
        semaphore: &FairSemaphore,
        tenant: TenantId,
        number: u8,
        priority: Priority,
    ) -> BoxFuture<'static, Permit> {
        let semaphore = semaphore.clone();
        async move { semaphore.acquire(tenant, digest(number), priority).await }.boxed()
    }

    fn poll(waiting: &mut BoxFuture<'static, Permit>) -> Option<Permit> {
        waiting.now_or_never()
    }

    fn foreground(semaphore: &FairSemaphore, tenant: TenantId, number: u8) -> BoxFuture<'static, Permit> {
        request(semaphore, tenant, number, Priority::Foreground)
    }

    #[tokio::test]
    async fn a_tenant_with_one_plugin_does_not_wait_for_a_hundred_of_another() {
        let (semaphore, clock) = semaphore(1);
        let first = foreground(&semaphore, HEAVY, 0).await;
        let mut hundred: Vec<_> = (1..100).map(|number| foreground(&semaphore, HEAVY, number)).collect();
        assert!(hundred.iter_mut().all(|waiting| poll(waiting).is_none()));
        let mut one = foreground(&semaphore, LIGHT_ONE, 200);
        assert!(poll(&mut one).is_none());
        clock.advance(Duration::from_secs(1));
        drop(first);
        assert!(hundred.iter_mut().all(|waiting| poll(waiting).is_none()));
        assert!(poll(&mut one).is_some(), "the tenant with less usage is next");
    }

    #[tokio::test]
    async fn the_tenant_with_the_least_usage_is_next_and_usage_decays() {
        let (semaphore, clock) = semaphore(1);
        for (tenant, seconds) in [(HEAVY, 40), (OTHER, 10)] {
            let permit = foreground(&semaphore, tenant, 0).await;
            clock.advance(Duration::from_secs(seconds));
            drop(permit);
        }
        let held = foreground(&semaphore, LIGHT_ONE, 0).await;
        let (mut heavy, mut other) = (foreground(&semaphore, HEAVY, 1), foreground(&semaphore, OTHER, 2));
        assert!(poll(&mut heavy).is_none() && poll(&mut other).is_none());
        drop(held);
        assert!(poll(&mut heavy).is_none());
        drop(poll(&mut other).unwrap());
        drop(poll(&mut heavy).unwrap());
        clock.advance(HALF_LIFE * 30);
        drop(foreground(&semaphore, LIGHT_ONE, 0).await);
        assert_eq!(semaphore.lock().used.len(), 0, "old usage is forgotten");
    }

    #[tokio::test]
    async fn the_last_permit_is_reserved_for_tenants_with_little_usage() {
        let (semaphore, clock) = semaphore(2);
        let long = foreground(&semaphore, HEAVY, 0).await;
        clock.advance(LIGHT * 2);
        let mut second = foreground(&semaphore, HEAVY, 1);
        assert!(poll(&mut second).is_none(), "a tenant does not get both permits");
        let light = foreground(&semaphore, LIGHT_ONE, 2).await;
        drop(long);
        assert!(poll(&mut second).is_none(), "the last permit is not for a tenant with much usage");
        drop(light);
        assert!(poll(&mut second).is_some());
    }

    #[tokio::test]
    async fn a_digest_has_at_most_one_permit() {
        let (semaphore, _) = semaphore(2);
        let first = foreground(&semaphore, HEAVY, 7).await;
        let mut same = foreground(&semaphore, LIGHT_ONE, 7);
        assert!(poll(&mut same).is_none());
        drop(first);
        assert!(poll(&mut same).is_some());
    }

    #[tokio::test]
    async fn a_dropped_request_is_skipped_and_forgotten() {
        let (semaphore, _) = semaphore(1);
        let first = foreground(&semaphore, HEAVY, 0).await;
        let mut gone = foreground(&semaphore, LIGHT_ONE, 1);
        let mut next = foreground(&semaphore, OTHER, 2);
        assert!(poll(&mut gone).is_none() && poll(&mut next).is_none());
        drop(gone);
        drop(first);
        assert!(poll(&mut next).is_some());
        for number in 0..100 {
            let mut gone = foreground(&semaphore, LIGHT_ONE, number);
            let _ = poll(&mut gone);
        }
        assert!(semaphore.lock().waiting.len() <= 1);
        assert!(semaphore.lock().running.is_empty());
    }

    #[tokio::test]
    async fn background_work_waits_until_no_permit_is_in_use() {
        let (semaphore, _) = semaphore(2);
        let first = foreground(&semaphore, HEAVY, 0).await;
        let mut background = request(&semaphore, OTHER, 1, Priority::Background);
        assert!(poll(&mut background).is_none(), "the free permit is for foreground work");
        let second = foreground(&semaphore, LIGHT_ONE, 2).await;
        drop(first);
        assert!(poll(&mut background).is_none());
        drop(second);
        assert!(poll(&mut background).is_some());
    }
}
