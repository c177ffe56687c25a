//! What is kept of hooks and tenants without anything in memory.

use std::collections::VecDeque;

use super::queue::FairQueue;
use super::round_robin::Tenant;
use crate::domain::{HookId, TenantId};

/// The capacity that an empty queue of a hook keeps.
const KEPT_CAPACITY: usize = 4;
/// Hooks of a tenant without anything in memory whose receivers' health is remembered.
pub(super) const MAX_REMEMBERED: usize = 1_024;

impl FairQueue {
    /// Keeps of a hook without anything in memory only what is known of its receiver, for a limited number of hooks.
    pub(super) fn forget_if_idle(&mut self, hook: HookId) {
        let Some(queue) = self.hooks.get_mut(&hook).filter(|queue| queue.is_idle()) else { return };
        if queue.works.capacity() > KEPT_CAPACITY {
            queue.works = VecDeque::new();
        }
        let id = queue.tenant;
        let tenant = self.tenants.entry(id).or_default();
        if !queue.health.is_known() {
            // The health of a remembered hook is known, and stays so.
            self.hooks.remove(&hook);
        } else if !std::mem::replace(&mut queue.remembered, true) {
            tenant.remembered.push_back(hook);
        }
        while tenant.remembered.len() > MAX_REMEMBERED {
            let Some(oldest) = tenant.remembered.pop_front() else { break };
            let Some(queue) = self.hooks.get_mut(&oldest) else { continue };
            queue.remembered = false;
            if queue.is_idle() {
                self.hooks.remove(&oldest);
            }
        }
        self.forget_tenant_if_idle(id);
    }

    pub(super) fn forget_tenant_if_idle(&mut self, id: TenantId) {
        if self.tenants.get(&id).is_some_and(Tenant::is_idle) {
            self.tenants.remove(&id);
        }
    }
}
