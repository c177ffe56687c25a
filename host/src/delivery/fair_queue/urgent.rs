//! What does not wait for its tenant's rate: tests, and what goes back to the disk.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::domain::{HookId, TenantId};

/// Hooks whose next delivery does not wait for their tenants' rates, round robin between tenants.
#[derive(Debug, Default)]
pub(super) struct Urgent {
    tenants: VecDeque<TenantId>,
    hooks: FxHashMap<TenantId, VecDeque<HookId>>,
    len: usize,
}

impl Urgent {
    /// Lists `hook`, which is not listed.
    pub(super) fn add(&mut self, tenant: TenantId, hook: HookId) {
        let hooks = self.hooks.entry(tenant).or_default();
        if hooks.is_empty() {
            self.tenants.push_back(tenant);
        }
        hooks.push_back(hook);
        self.len += 1;
    }

    /// How many hooks are listed.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The next hook, which is not listed any more.
    pub(super) fn pop(&mut self) -> Option<HookId> {
        let tenant = self.tenants.pop_front()?;
        let hooks = self.hooks.get_mut(&tenant)?;
        let hook = hooks.pop_front();
        match hooks.is_empty() {
            true => drop(self.hooks.remove(&tenant)),
            false => self.tenants.push_back(tenant),
        }
        self.len -= 1;
        hook
    }
}
