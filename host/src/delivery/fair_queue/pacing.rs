//! Hooks and tenants that start nothing before a time: receivers that asked for a pause, and rates.
//!
//! What would be over a rate waits. A limited number of it waits in memory, and the rest on disk. Tests do not wait, but
//! count.

use std::collections::VecDeque;
use std::time::Instant;

use super::health::{Class, Observation};
use super::next::{AttemptKey, Started};
use super::pacer::{Delayed, Pacer, most_queued};
use super::queue::FairQueue;
use crate::delivery::work::Work;
use crate::domain::{Flow, Flows, HookId, Rate, TenantId, Trigger};

impl FairQueue {
    /// Starts no request of `hook` before `until`. This replaces an earlier time, but not a rate.
    pub(in crate::delivery) fn delay(&mut self, hook: HookId, tenant: TenantId, until: Instant) {
        self.hook_queue(hook, tenant).paused_until = Some(until);
        self.reschedule(hook);
    }

    /// As [`Self::delay`], unless the hook is delayed for longer already.
    pub(super) fn delay_at_least(&mut self, hook: HookId, tenant: TenantId, until: Instant) {
        if self.hook_queue(hook, tenant).paused_until.is_none_or(|earlier| earlier < until) {
            self.delay(hook, tenant, until);
        }
    }

    pub(super) fn end_delays(&mut self, now: Instant) {
        while let Some((_, delayed)) = self.delayed.first().copied().filter(|(until, _)| *until <= now) {
            self.delayed.pop_first();
            match delayed {
                Delayed::Hook(hook) => {
                    if let Some(queue) = self.hooks.get_mut(&hook) {
                        (queue.not_before, queue.paused_until, queue.paced_until) = (None, None, None);
                    }
                    self.add_runnable(hook, now);
                    self.forget_if_idle(hook);
                }
                Delayed::Tenant(id) => {
                    if let Some(tenant) = self.tenants.get_mut(&id) {
                        tenant.not_before = None;
                    }
                    self.add_tenant(id);
                    self.forget_tenant_if_idle(id);
                }
            }
        }
    }

    /// After one of the times of `hook` has changed.
    fn reschedule(&mut self, hook: HookId) {
        let Some(queue) = self.hooks.get_mut(&hook) else { return };
        let until = queue.paused_until.max(queue.paced_until);
        let earlier = std::mem::replace(&mut queue.not_before, until);
        self.move_delay(Delayed::Hook(hook), earlier, until);
    }

    fn move_delay(&mut self, delayed: Delayed, earlier: Option<Instant>, until: Option<Instant>) {
        if earlier == until {
            return;
        }
        if let Some(earlier) = earlier {
            self.delayed.remove(&(earlier, delayed));
        }
        if let Some(until) = until {
            self.delayed.insert((until, delayed));
        }
    }

    /// Adds a tenant to the rings of all classes.
    pub(super) fn add_tenant(&mut self, id: TenantId) {
        let Some(tenant) = self.tenants.get_mut(&id) else { return };
        Class::ALL.iter().for_each(|class| self.round_robin.add(id, tenant, *class, &self.limits));
    }

    /// The rate of a tenant, over all its hooks.
    pub(super) fn tenant_rate(&self, tenant: TenantId) -> Option<Rate> {
        if self.flows.tenants.is_empty() { None } else { self.flows.tenants.get(&tenant).copied() }
    }

    /// The rate of a hook.
    fn hook_rate(&self, hook: HookId) -> Option<Rate> {
        self.hooks.get(&hook)?.flow.as_deref()?.max_per_second
    }

    /// Counts a request that starts `now`, and delays the next one. Returns whether there is a rate.
    pub(super) fn count(&mut self, hook: HookId, tenant: TenantId, now: Instant) -> bool {
        let (rate, of_all) = (self.hook_rate(hook), self.tenant_rate(tenant));
        if let Some(rate) = rate {
            self.hook_pacers.entry(hook).or_insert_with(|| Pacer::new(rate, now)).take(now);
            self.pace(hook, now);
        }
        if let Some(rate) = of_all {
            self.tenant_pacers.entry(tenant).or_insert_with(|| Pacer::new(rate, now)).take(now);
            self.pace_tenant(tenant, now);
        }
        rate.is_some() || of_all.is_some()
    }

    /// After a counted request: if nothing was sent, it does not count.
    pub(super) fn uncount_unsent(&mut self, key: AttemptKey, observation: Observation, now: Instant) {
        let AttemptKey { hook, tenant, started_at, .. } = key;
        if !matches!(observation, Observation::Nothing | Observation::Unsent) {
            return;
        }
        if let Some(pacer) = self.hook_pacers.get_mut(&hook) {
            pacer.give_back(started_at);
            self.pace(hook, now);
        }
        if let Some(pacer) = self.tenant_pacers.get_mut(&tenant) {
            pacer.give_back(started_at);
            self.pace_tenant(tenant, now);
        }
    }

    /// Delays `hook` as its rate wants.
    pub(super) fn pace(&mut self, hook: HookId, now: Instant) {
        let until = self.hook_pacers.get(&hook).and_then(|pacer| pacer.ready_at(now));
        let Some(queue) = self.hooks.get_mut(&hook) else { return };
        queue.paced_until = until;
        self.reschedule(hook);
    }

    /// Delays all hooks of a tenant as its rate wants. They stay listed as runnable.
    pub(super) fn pace_tenant(&mut self, id: TenantId, now: Instant) {
        let until = self.tenant_pacers.get(&id).and_then(|pacer| pacer.ready_at(now));
        let Some(tenant) = self.tenants.get_mut(&id) else { return };
        let earlier = std::mem::replace(&mut tenant.not_before, until);
        self.move_delay(Delayed::Tenant(id), earlier, until);
        if until.is_none() {
            self.add_tenant(id);
        }
    }

    /// Starts what does not wait for its tenant's rate: tests, and what goes back to the disk.
    pub(super) fn start_urgent(&mut self, now: Instant) -> Option<Started> {
        for _ in 0..self.urgent.len() {
            let hook = self.urgent.pop_front()?;
            let Some(queue) = self.hooks.get(&hook).filter(|queue| queue.is_urgent()) else { continue };
            // If it has too much in flight, it is added again when that ends.
            let Some(class) = queue.next_class(now) else { continue };
            let tenant = self.tenants.entry(queue.tenant).or_default();
            let held = tenant.held[class as usize];
            if tenant.in_flight < self.limits.in_flight_per_tenant
                && self.shares.has_any(class)
                && self.shares.admits(class, held)
            {
                return self.start_of_hook(hook, class, now);
            }
            self.urgent.push_back(hook);
        }
        None
    }

    /// The flow control of hooks and tenants has changed.
    pub(in crate::delivery) fn set_flows(&mut self, flows: Flows, now: Instant) {
        let before = std::mem::replace(&mut self.flows, flows);
        let flows = self.flows.clone();
        let rate_of = |flow: &Flow| flow.max_per_second;
        self.hook_pacers.retain(|hook, pacer| {
            let rate = flows.hooks.get(hook).and_then(|flow| rate_of(flow));
            rate.inspect(|rate| pacer.set_rate(*rate, now)).is_some()
        });
        self.tenant_pacers.retain(|tenant, pacer| {
            let rate = flows.tenants.get(tenant);
            rate.inspect(|rate| pacer.set_rate(**rate, now)).is_some()
        });
        let changed = |tenant: &&TenantId| before.tenants.get(*tenant) != flows.tenants.get(*tenant);
        let tenants: Vec<TenantId> =
            before.tenants.keys().chain(flows.tenants.keys()).filter(changed).copied().collect();
        for tenant in &tenants {
            self.pace_tenant(*tenant, now);
            self.keep_of_tenant(*tenant);
        }
        let changed = |hook: &&HookId| before.hooks.get(*hook) != flows.hooks.get(*hook);
        let mut hooks: Vec<HookId> =
            before.hooks.keys().chain(flows.hooks.keys()).filter(changed).copied().collect();
        if !tenants.is_empty() {
            // Few tenants have a rate, and it hardly ever changes.
            let of_them = self.hooks.iter().filter(|(_, queue)| tenants.contains(&queue.tenant));
            hooks.extend(of_them.map(|(hook, _)| *hook));
        }
        hooks.sort_unstable();
        hooks.dedup();
        hooks.into_iter().for_each(|hook| self.apply_flow(hook, now));
    }

    /// After the flow control of `hook` or its tenant has changed.
    fn apply_flow(&mut self, hook: HookId, now: Instant) {
        let Some(queue) = self.hooks.get_mut(&hook) else { return };
        queue.flow = self.flows.hooks.get(&hook).cloned();
        queue.most = self.flows.share(&self.members, self.limits.in_flight_per_hook, (hook, queue.tenant));
        let keep = queue.limit(&self.limits);
        self.give_back_beyond(hook, keep);
        self.pace(hook, now);
        self.add_runnable(hook, now);
    }

    /// Of a tenant with a new rate, what cannot start soon goes back to the disk.
    fn keep_of_tenant(&mut self, tenant: TenantId) {
        let Some(mut left) = self.tenant_rate(tenant).map(most_queued) else { return };
        let of_tenant = self.hooks.iter().filter(|(_, queue)| queue.tenant == tenant);
        let hooks: Vec<(HookId, usize)> = of_tenant.map(|(hook, queue)| (*hook, queue.works.len())).collect();
        for (hook, queued) in hooks {
            let keep = queued.min(left);
            left -= keep;
            self.give_back_beyond(hook, keep);
        }
    }

    /// Of what `hook` has queued, all but the first `keep` goes back to the disk, before anything else starts.
    fn give_back_beyond(&mut self, hook: HookId, keep: usize) {
        let Some(queue) = self.hooks.get_mut(&hook).filter(|queue| queue.works.len() > keep) else { return };
        let staying =
            queue.works.iter_mut().filter(|work| work.trigger != Trigger::Test && !work.goes_back());
        staying.skip(keep).for_each(Work::give_back);
        let (back, staying): (VecDeque<_>, VecDeque<_>) = queue.works.drain(..).partition(Work::goes_back);
        queue.works = back;
        queue.works.extend(staying);
        let tenant = queue.tenant;
        // New ones are stored behind it.
        self.set_backlog(hook, tenant, true);
    }
}
