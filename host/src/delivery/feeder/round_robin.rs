//! The order in which hooks with something due are served.

use std::collections::{HashMap, VecDeque};

use rustc_hash::FxHashMap;

use crate::delivery::dispatcher::Dispatcher;
use crate::domain::{HookId, TenantId, UnixMillis};

/// How many hooks are looked at under one lock of the queue.
pub(super) const LOCKED_STEP: usize = 256;

/// A hook with something due, its tenant, and since when it is due.
pub(super) type DueHook = ((HookId, TenantId), UnixMillis);

/// Whose turn it is among the hooks of tenants with a rate: they share the little room that the rate leaves in memory.
#[derive(Default)]
pub(super) struct RoundRobin {
    of_hooks: FxHashMap<HookId, u64>,
    /// How many hooks still wait for their turn.
    left: FxHashMap<TenantId, usize>,
}

impl RoundRobin {
    /// The turns of those that are `due`.
    pub(super) fn of(due: &[DueHook], dispatcher: &Dispatcher) -> Self {
        let mut shared = Self::default();
        if !dispatcher.has_flows() {
            return shared;
        }
        for step in due.chunks(LOCKED_STEP) {
            let queue = dispatcher.queue();
            for ((hook, tenant), _) in step {
                if let Some(number) = queue.last_room(*hook, *tenant) {
                    shared.of_hooks.insert(*hook, number);
                    *shared.left.entry(*tenant).or_default() += 1;
                }
            }
        }
        shared
    }

    /// It is the turn of `hook`. Returns how many hooks share the room that is left, with this one.
    pub(super) fn take(&mut self, hook: HookId, tenant: TenantId) -> usize {
        let Some(left) = self.left.get_mut(&tenant).filter(|_| self.of_hooks.contains_key(&hook)) else {
            return 1;
        };
        let sharing = *left;
        *left = sharing.saturating_sub(1);
        sharing
    }

    /// Sorts hooks that have something due: round robin between tenants, and what has been due for the longest time first.
    /// Hooks of a tenant with a rate go in turn.
    pub(super) fn sort(&self, mut due: Vec<DueHook>) -> VecDeque<(HookId, TenantId)> {
        due.sort_by_key(|((hook, _), due_at)| (self.of_hooks.get(hook).copied(), *due_at));
        let mut of_tenants: HashMap<TenantId, usize> = HashMap::new();
        let mut rounds: Vec<_> = due
            .into_iter()
            .map(|((hook, tenant), _)| {
                let before = of_tenants.entry(tenant).or_default();
                *before += 1;
                (*before, hook, tenant)
            })
            .collect();
        // The sort is stable: within a round, hooks stay in the order of their due times.
        rounds.sort_by_key(|(round, ..)| *round);
        rounds.into_iter().map(|(_, hook, tenant)| (hook, tenant)).collect()
    }
}
