//! How many connections have a request of each tenant under way.
//!
//! A tenant may have half of the connections that no other tenant keeps busy. So no tenant holds all of them, and there is always
//! room for the next one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::FxBuildHasher;

use crate::domain::TenantId;

/// The tenant's requests keep as many connections busy as they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyBusy;

/// See the module's head.
#[derive(Debug)]
pub(super) struct BusyConnections {
    limit: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    all: usize,
    by_tenant: HashMap<TenantId, usize, FxBuildHasher>,
}

impl BusyConnections {
    /// None is busy yet of the `limit` connections that there may be.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, counts: Mutex::default() }
    }

    /// The counts, for one change that must not interleave with others.
    pub(super) fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let counts = self.lock();
        counts.all == 0 && counts.by_tenant.is_empty()
    }

    /// Counts a connection of `tenant`.
    ///
    /// # Errors
    /// If the tenant has as many as it may.
    pub(super) fn add(&self, counts: &mut Counts, tenant: TenantId) -> Result<(), TooManyBusy> {
        let own = counts.by_tenant.get(&tenant).copied().unwrap_or(0);
        let left_by_others = self.limit.saturating_sub(counts.all - own);
        if own >= (left_by_others / 2).max(1) {
            return Err(TooManyBusy);
        }
        counts.all += 1;
        counts.by_tenant.insert(tenant, own + 1);
        Ok(())
    }
}

impl Counts {
    /// Takes back what [`BusyConnections::add`] counted.
    pub(super) fn remove(&mut self, tenant: TenantId) {
        self.all -= 1;
        if let Some(own) = self.by_tenant.get_mut(&tenant) {
            *own -= 1;
            if *own == 0 {
                self.by_tenant.remove(&tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_keeps_half_of_what_others_leave_busy() {
        let busy = BusyConnections::new(8);
        let add = |tenant| busy.add(&mut busy.lock(), TenantId(tenant)).is_ok();
        assert!((0..4).all(|_| add(1)) && !add(1));
        assert!(add(2) && add(2) && !add(2));
        assert!(add(3) && !add(3));
        assert!(add(4) && !add(4), "every tenant has one");
        for tenant in [1, 1, 1, 1, 2, 2, 3] {
            busy.lock().remove(TenantId(tenant));
        }
        assert!((0..3).all(|_| add(4)) && !add(4));
        for _ in 0..4 {
            busy.lock().remove(TenantId(4));
        }
        assert!(busy.is_empty());
    }
}
