//! Counts by tenant, if the operator asks for them: for a limited number of tenants, and for all others together.

use std::collections::HashMap;
use std::sync::{OnceLock, PoisonError, RwLock};

use super::counter::{Counter, Counters};
use crate::domain::TenantId;
use crate::domain::hook_stats::AttemptEnd;

/// How many tenants are told apart: the first ones that something is counted of.
const MAX_TENANTS: usize = 500;

/// Empty unless the operator asks. Tenants stay, so that their counts do not begin anew.
static TENANTS: OnceLock<RwLock<Tenants>> = OnceLock::new();
static OTHERS: TenantFigures = TenantFigures::new();

type Tenants = HashMap<TenantId, TenantFigures>;

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
    if let Some(figures) = find(&tenants.read().unwrap_or_else(PoisonError::into_inner), tenant) {
        return change(figures);
    }
    let mut tenants = tenants.write().unwrap_or_else(PoisonError::into_inner);
    // Another thread may have taken the last place meanwhile.
    match find(&tenants, tenant) {
        Some(figures) => change(figures),
        None => change(tenants.entry(tenant).or_insert_with(TenantFigures::new)),
    }
}

/// The figures of `tenant`, which are those of all others once there are [`MAX_TENANTS`]. `None` if it gets figures of its own.
fn find(tenants: &Tenants, tenant: TenantId) -> Option<&TenantFigures> {
    let others = (tenants.len() >= MAX_TENANTS).then_some(&OTHERS);
    tenants.get(&tenant).or(others)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_after_the_last_place_is_one_of_the_others_without_a_change_of_the_table() {
        let mut tenants = Tenants::new();
        for number in 0..MAX_TENANTS {
            let tenant = TenantId(i64::try_from(number).unwrap());
            assert!(find(&tenants, tenant).is_none(), "{tenant} gets a place");
            tenants.insert(tenant, TenantFigures::new());
        }
        let is_others = |tenant| std::ptr::eq(find(&tenants, tenant).unwrap(), &raw const OTHERS);
        assert!(!is_others(TenantId(0)) && is_others(TenantId(i64::MAX)));
    }
}
