//! Counts by tenant, if the operator asks for them: for a limited number of tenants, and for all others together.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::counter::{Counter, Counters};
use crate::domain::TenantId;
use crate::domain::hook_stats::AttemptEnd;

/// How many tenants are told apart: the first ones that something is counted of.
const MAX_TENANTS: usize = 500;

/// Empty unless the operator asks.
static TENANTS: OnceLock<RwLock<HashMap<TenantId, Arc<TenantFigures>>>> = OnceLock::new();
static OTHERS: TenantFigures = TenantFigures::new();

/// What is counted of one tenant.
#[derive(Debug)]
struct TenantFigures {
    accepted: Counter,
    attempts: Counters<6>,
}

impl TenantFigures {
    const fn new() -> Self {
        Self { accepted: Counter::new(), attempts: Counters::new() }
    }

    fn counts(&self, tenant: Option<TenantId>) -> TenantCounts {
        TenantCounts { tenant, accepted: self.accepted.get(), attempts: self.attempts.all() }
    }
}

/// Begins to count by tenant.
pub fn enable() {
    TENANTS.get_or_init(RwLock::default);
}

/// Counts an event of `tenant` that is stored.
pub fn accepted(tenant: TenantId) {
    change(tenant, |figures| figures.accepted.increment());
}

/// Counts an attempt of a delivery of `tenant`.
pub fn attempt_ended(tenant: TenantId, end: AttemptEnd) {
    change(tenant, |figures| figures.attempts.of(end).increment());
}

fn change(tenant: TenantId, change: impl FnOnce(&TenantFigures)) {
    let Some(tenants) = TENANTS.get() else { return };
    let known = tenants.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).map(Arc::clone);
    if let Some(figures) = known {
        return change(&figures);
    }
    let mut tenants = tenants.write().unwrap_or_else(PoisonError::into_inner);
    if tenants.len() < MAX_TENANTS || tenants.contains_key(&tenant) {
        change(tenants.entry(tenant).or_insert_with(|| Arc::new(TenantFigures::new())));
    } else {
        change(&OTHERS);
    }
}

/// What was counted of a tenant.
#[derive(Debug, Clone, Copy)]
pub struct TenantCounts {
    /// The tenant; `None` for all others together.
    pub tenant: Option<TenantId>,
    /// Events that are stored.
    pub accepted: u64,
    /// Attempts that ended, by [`AttemptEnd`].
    pub attempts: [u64; 6],
}

/// What was counted, if anything is.
pub fn all() -> Option<Vec<TenantCounts>> {
    let tenants = TENANTS.get()?.read().unwrap_or_else(PoisonError::into_inner);
    let mut all: Vec<_> = tenants.iter().map(|(tenant, figures)| figures.counts(Some(*tenant))).collect();
    all.sort_unstable_by_key(|counts| counts.tenant);
    all.push(OTHERS.counts(None));
    Some(all)
}
