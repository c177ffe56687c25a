//! A limit on what each tenant does at the same time. Whatever exceeds it waits, first in, first out.
//!
//! No tenant waits for another: each has permits of its own.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::TenantId;

/// See the module's head.
#[derive(Debug)]
pub struct TenantLimiter {
    limit: usize,
    queues: Arc<Queues>,
}

/// Allows one tenant to do something until it is dropped. It then goes to the next of that tenant.
#[derive(Debug)]
#[must_use]
pub struct TenantPermit {
    // Dropped before the presence, with which the tenant may be forgotten.
    _permit: Option<OwnedSemaphorePermit>,
    _presence: Presence,
}

/// The queues of the tenants that hold a permit or wait for one.
#[derive(Debug, Default)]
struct Queues(Mutex<HashMap<TenantId, Queue>>);

#[derive(Debug)]
struct Queue {
    permits: Arc<Semaphore>,
    /// How many hold a permit or wait for one.
    present: usize,
}

/// Counts one who holds a permit or waits for one. With the last of a tenant, its queue goes.
#[derive(Debug)]
struct Presence {
    queues: Arc<Queues>,
    tenant: TenantId,
}

impl TenantLimiter {
    /// A limiter with `limit` permits for each tenant.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, queues: Arc::default() }
    }

    /// Waits for a permit of `tenant`. Dropping the future leaves the queue.
    pub async fn acquire(&self, tenant: TenantId) -> TenantPermit {
        self.acquire_weighted(tenant, 1).await
    }

    /// As [`Self::acquire`], for as many permits as `weight`, but not more than there are.
    pub async fn acquire_weighted(&self, tenant: TenantId, weight: usize) -> TenantPermit {
        let entered = self.queues.enter(self.queues.lock(), tenant, self.limit);
        self.wait(entered, weight).await
    }

    /// As [`Self::acquire`]; `None` at once if `max_present` of the tenant hold a permit or wait for one.
    pub async fn acquire_unless_full(&self, tenant: TenantId, max_present: usize) -> Option<TenantPermit> {
        let entered = self.queues.enter_unless_full(tenant, self.limit, max_present)?;
        Some(self.wait(entered, 1).await)
    }

    async fn wait(&self, (presence, permits): (Presence, Arc<Semaphore>), weight: usize) -> TenantPermit {
        let count = u32::try_from(weight.min(self.limit)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let permit = permits.acquire_many_owned(count).await.ok();
        TenantPermit { _permit: permit, _presence: presence }
    }
}

impl Queues {
    fn enter_unless_full(
        self: &Arc<Self>,
        tenant: TenantId,
        limit: usize,
        max_present: usize,
    ) -> Option<(Presence, Arc<Semaphore>)> {
        let queues = self.lock();
        let is_full = queues.get(&tenant).is_some_and(|queue| queue.present >= max_present);
        (!is_full).then(|| self.enter(queues, tenant, limit))
    }

    fn enter(
        self: &Arc<Self>,
        mut queues: MutexGuard<'_, HashMap<TenantId, Queue>>,
        tenant: TenantId,
        limit: usize,
    ) -> (Presence, Arc<Semaphore>) {
        let queue = queues
            .entry(tenant)
            .or_insert_with(|| Queue { permits: Arc::new(Semaphore::new(limit)), present: 0 });
        queue.present += 1;
        (Presence { queues: Arc::clone(self), tenant }, Arc::clone(&queue.permits))
    }

    fn leave(&self, tenant: TenantId) {
        if let Entry::Occupied(mut queue) = self.lock().entry(tenant) {
            queue.get_mut().present -= 1;
            if queue.get().present == 0 {
                queue.remove();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.queues.leave(self.tenant);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;

    use super::*;

    const ONE: TenantId = TenantId(1);
    const OTHER: TenantId = TenantId(2);

    /// Polls once; what has to wait stays in the queue.
    fn poll(waiting: &mut BoxFuture<'_, TenantPermit>) -> Option<TenantPermit> {
        waiting.now_or_never()
    }

    fn try_acquire(limiter: &TenantLimiter, tenant: TenantId) -> Option<TenantPermit> {
        limiter.acquire(tenant).now_or_never()
    }

    fn tenants(limiter: &TenantLimiter) -> usize {
        limiter.queues.lock().len()
    }

    #[test]
    fn a_tenant_has_its_own_permits_and_waits_for_no_other() {
        let limiter = TenantLimiter::new(2);
        let (first, second) = (try_acquire(&limiter, ONE).unwrap(), try_acquire(&limiter, ONE).unwrap());
        assert!(try_acquire(&limiter, ONE).is_none());
        let other = try_acquire(&limiter, OTHER).unwrap();
        drop(first);
        let third = try_acquire(&limiter, ONE).unwrap();
        assert!(try_acquire(&limiter, ONE).is_none());
        drop((second, third, other));
    }

    #[test]
    fn permits_are_given_in_order_of_arrival() {
        let limiter = TenantLimiter::new(1);
        let first = try_acquire(&limiter, ONE).unwrap();
        let (mut second, mut third) = (limiter.acquire(ONE).boxed(), limiter.acquire(ONE).boxed());
        assert!(poll(&mut second).is_none() && poll(&mut third).is_none());
        drop(first);
        assert!(try_acquire(&limiter, ONE).is_none(), "a late one went before others");
        assert!(poll(&mut third).is_none(), "the third went before the second");
        let permit = poll(&mut second).unwrap();
        assert!(poll(&mut third).is_none());
        drop(permit);
        assert!(poll(&mut third).is_some());
    }

    #[test]
    fn a_heavy_one_waits_for_its_weight_and_one_that_is_too_heavy_takes_all() {
        let limiter = TenantLimiter::new(10);
        let light = limiter.acquire_weighted(ONE, 4).now_or_never().unwrap();
        let (mut heavy, mut next) = (limiter.acquire_weighted(ONE, 7).boxed(), limiter.acquire(ONE).boxed());
        assert!(poll(&mut heavy).is_none());
        assert!(poll(&mut next).is_none(), "a light one went before one that waits");
        drop(light);
        let permit = poll(&mut heavy).unwrap();
        drop((permit, poll(&mut next).unwrap()));
        let all = limiter.acquire_weighted(ONE, 1_000).now_or_never().unwrap();
        assert!(try_acquire(&limiter, ONE).is_none());
        drop(all);
    }

    #[test]
    fn one_that_stops_waiting_holds_up_no_other() {
        let limiter = TenantLimiter::new(1);
        let first = try_acquire(&limiter, ONE).unwrap();
        let (mut second, mut third) = (limiter.acquire(ONE).boxed(), limiter.acquire(ONE).boxed());
        assert!(poll(&mut second).is_none() && poll(&mut third).is_none());
        drop(first);
        // The permit is the second's, which goes without it.
        drop(second);
        assert!(poll(&mut third).is_some());
    }

    #[test]
    fn a_tenant_is_forgotten_when_none_of_it_is_present() {
        let limiter = TenantLimiter::new(1);
        for tenant in 0..100 {
            drop(try_acquire(&limiter, TenantId(tenant)).unwrap());
        }
        assert_eq!(tenants(&limiter), 0);
        let first = try_acquire(&limiter, ONE).unwrap();
        let mut second = limiter.acquire(ONE).boxed();
        assert!(poll(&mut second).is_none());
        drop(first);
        assert_eq!(tenants(&limiter), 1, "a tenant was forgotten while one of it waits");
        drop(second);
        assert_eq!(tenants(&limiter), 0);
    }

    #[test]
    fn no_more_wait_than_may_be_present() {
        let limiter = TenantLimiter::new(1);
        let first = limiter.acquire_unless_full(ONE, 2).now_or_never().unwrap();
        let mut second = limiter.acquire_unless_full(ONE, 2).boxed();
        assert!((&mut second).now_or_never().is_none(), "it waits");
        assert!(limiter.acquire_unless_full(ONE, 2).now_or_never().unwrap().is_none());
        assert!(limiter.acquire_unless_full(OTHER, 2).now_or_never().unwrap().is_some());
        drop(first);
        assert!(second.now_or_never().unwrap().is_some());
    }
}
