//! Hooks in memory, and the lookup of those that match an event.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::hook_size::hook_bytes;
use crate::domain::{EventType, Flow, FlowMap, Hook, HookId, TenantId, TypePattern};

/// Hooks in memory, and by tenant their subscriptions.
#[derive(Debug, Default)]
pub struct HookIndex {
    pub(super) hooks: HashMap<HookId, Arc<Hook>>,
    pub(super) tenants: HashMap<TenantId, TenantHooks>,
    /// The flow control of hooks that have some.
    pub(super) flows: FlowMap<HookId, Arc<Flow>>,
}

/// One tenant's hooks, and the enabled ones by subscription.
#[derive(Debug, Default)]
pub(super) struct TenantHooks {
    /// All of them, oldest first.
    pub(super) all: BTreeMap<HookId, Arc<Hook>>,
    exact: HashMap<EventType, Vec<Arc<Hook>>>,
    /// Hooks with at least one pattern that ends in an asterisk.
    wildcard: Vec<Arc<Hook>>,
    /// The sum of [`hook_bytes`] over all of them.
    bytes: usize,
}

impl HookIndex {
    /// An index of these.
    #[must_use]
    pub fn new(hooks: Vec<Hook>) -> Self {
        let mut index = Self::default();
        hooks.into_iter().for_each(|hook| index.put(Arc::new(hook)));
        index
    }

    /// How many hooks `tenant` has, and what they take together.
    pub(super) fn usage(&self, tenant: TenantId) -> (usize, usize) {
        self.tenants.get(&tenant).map_or((0, 0), |of_tenant| (of_tenant.all.len(), of_tenant.bytes))
    }

    pub(super) fn put(&mut self, hook: Arc<Hook>) {
        self.take_out(hook.id);
        self.flows.set(hook.id, hook.flow());
        let of_tenant = self.tenants.entry(hook.tenant).or_default();
        of_tenant.all.insert(hook.id, Arc::clone(&hook));
        of_tenant.bytes += hook_bytes(&hook);
        if hook.enabled {
            let exact_only = hook.subscription.patterns().iter().all(|p| matches!(p, TypePattern::Exact(_)));
            if exact_only {
                for pattern in hook.subscription.patterns() {
                    let TypePattern::Exact(event_type) = pattern else { continue };
                    let hooks = of_tenant.exact.entry(event_type.clone()).or_default();
                    // A subscription may contain a type twice; the hook gets one delivery.
                    if hooks.last().is_none_or(|last| last.id != hook.id) {
                        hooks.push(Arc::clone(&hook));
                    }
                }
            } else {
                of_tenant.wildcard.push(Arc::clone(&hook));
            }
        }
        self.hooks.insert(hook.id, hook);
    }

    pub(super) fn remove(&mut self, id: HookId) {
        self.take_out(id);
        self.flows.set(id, None);
    }

    /// Removes all hooks of a tenant.
    pub(super) fn remove_tenant(&mut self, tenant: TenantId) {
        let hooks = self.tenants.get(&tenant).map(|hooks| hooks.all.keys().copied().collect::<Vec<_>>());
        hooks.into_iter().flatten().for_each(|hook| self.remove(hook));
        self.tenants.remove(&tenant);
    }

    fn take_out(&mut self, id: HookId) {
        let Some(hook) = self.hooks.remove(&id) else { return };
        let Some(of_tenant) = self.tenants.get_mut(&hook.tenant) else { return };
        of_tenant.all.remove(&id);
        of_tenant.bytes -= hook_bytes(&hook);
        of_tenant.wildcard.retain(|other| other.id != id);
        for pattern in hook.subscription.patterns() {
            let TypePattern::Exact(event_type) = pattern else { continue };
            if let Some(hooks) = of_tenant.exact.get_mut(event_type) {
                hooks.retain(|other| other.id != id);
                if hooks.is_empty() {
                    of_tenant.exact.remove(event_type);
                }
            }
        }
    }

    /// The enabled hooks of `tenant` that match an event of this type and project, each once.
    #[must_use]
    pub fn matching(&self, tenant: TenantId, event_type: &EventType, project: Option<i64>) -> Vec<Arc<Hook>> {
        let Some(of_tenant) = self.tenants.get(&tenant) else { return Vec::new() };
        let exact = of_tenant.exact.get(event_type).into_iter().flatten();
        let wildcard = of_tenant.wildcard.iter().filter(|hook| hook.subscription.matches(event_type));
        exact.chain(wildcard).filter(|hook| hook.wants_project(project)).cloned().collect()
    }
}
