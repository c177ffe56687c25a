//! How many changes tenants may make in a day, and how often they may sign somebody in. Each is an entry of the audit log, which
//! keeps it for much longer: nothing else limits how many of them there are.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustc_hash::FxHashMap;

use crate::domain::TenantId;

const DAY_S: f64 = 86_400.0;
/// Less than this is an error of calculation.
const NOTHING: f64 = 1e-6;

/// What an entry of the audit log counts as. A tenant has a budget for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// A change of configuration, or what is noted like one.
    Change,
    /// A link to the console, or a token of API v2: made whenever somebody signs in.
    SignIn,
}

impl Counted {
    /// What it is called in messages.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Change => "changes",
            Self::SignIn => "links to the console and changes of tokens",
        }
    }
}

/// What tenants have used of their budgets since the start of this process.
#[derive(Debug, Default)]
pub(super) struct ChangeBudgets(Mutex<FxHashMap<TenantId, Budget>>);

#[derive(Debug, Clone, Copy)]
struct Budget {
    /// How many changes count. They stop counting evenly, a day's limit in a day.
    used: f64,
    at: Instant,
}

impl ChangeBudgets {
    /// Checks that another change may be made, of `limit` in a day.
    ///
    /// # Errors
    /// After how many seconds it may, if none is left.
    pub(super) fn check(&self, tenant: TenantId, limit: u64, now: Instant) -> Result<(), u64> {
        let limit = as_float(limit);
        let mut budgets = self.lock();
        let used = budgets.get_mut(&tenant).map_or(0.0, |budget| budget.refill(limit, now));
        let missing = used + 1.0 - limit;
        if missing > NOTHING {
            let wait_s = (missing / limit.max(1.0) * DAY_S).min(DAY_S);
            return Err((wait_s - NOTHING).ceil().max(1.0) as u64);
        }
        Ok(())
    }

    /// Counts a change. One beyond the limit, as removals may be, takes nothing of what comes back.
    pub(super) fn count(&self, tenant: TenantId, limit: u64, now: Instant) {
        let mut budgets = self.lock();
        let budget = budgets.entry(tenant).or_insert(Budget { used: 0.0, at: now });
        let used = budget.refill(as_float(limit), now);
        budget.used = (used + 1.0).min(as_float(limit).max(used));
    }

    /// Forgets a tenant that is gone.
    pub(super) fn forget(&self, tenant: TenantId) {
        self.lock().remove(&tenant);
    }

    /// How much of `limit` is used.
    pub(super) fn used(&self, tenant: TenantId, limit: u64, now: Instant) -> u64 {
        let Some(mut budget) = self.lock().get(&tenant).copied() else { return 0 };
        budget.refill(as_float(limit), now).round() as u64
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<TenantId, Budget>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budget {
    fn refill(&mut self, limit: f64, now: Instant) -> f64 {
        let days = now.saturating_duration_since(self.at).as_secs_f64() / DAY_S;
        (self.used, self.at) = ((self.used - days * limit).max(0.0), now.max(self.at));
        self.used
    }
}

#[expect(clippy::cast_precision_loss, reason = "limits are small")]
fn as_float(limit: u64) -> f64 {
    limit as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    const ONE: TenantId = TenantId(1);

    #[test]
    fn changes_come_back_evenly_over_a_day() {
        let (budgets, begin) = (ChangeBudgets::default(), clock::monotonic());
        let hour = Duration::from_secs(3_600);
        // Each row: after how many hours, the limit, how many changes are made, how many are used then.
        let take = |tenant, limit, now| {
            budgets.check(tenant, limit, now)?;
            budgets.count(tenant, limit, now);
            Ok::<_, u64>(())
        };
        for (hours, limit, made, used) in [
            (0, 24, 10, 10),
            (5, 24, 19, 24),
            (6, 24, 1, 24),
            (29, 24, 0, 1),
            (60, 24, 24, 24),
            (60, 12, 0, 24),
        ] {
            let now = begin + hour * hours;
            for number in 0..made {
                assert_eq!(take(ONE, limit, now), Ok(()), "{hours}: {number}");
            }
            assert_eq!(budgets.used(ONE, limit, now), used, "{hours}");
        }
        let now = begin + hour * 60;
        for (limit, taken) in [(24, Err(3_600)), (12, Err(86_400)), (0, Err(86_400)), (48, Ok(()))] {
            assert_eq!(take(ONE, limit, now), taken, "a changed limit holds at once: {limit}");
        }
        assert_eq!(take(TenantId(2), 24, now), Ok(()), "of another tenant");
        for _ in 0..100 {
            budgets.count(TenantId(3), 24, now);
        }
        assert_eq!(budgets.check(TenantId(3), 24, now), Err(3_600), "removals delay nothing");
        budgets.forget(TenantId(3));
        assert_eq!(budgets.used(TenantId(3), 24, now), 0);
    }
}
