//! Hooks and tenants that start nothing before a time: receivers that asked for a pause, and rates.
//!
//! What would be over a rate waits. A limited number of it waits in memory, and the rest on disk. Tests do not wait, but
//! count.

use std::collections::VecDeque;
use std::hash::Hash;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::health::{Class, Observation};
use super::next::{AttemptKey, Started};
use super::pacer::{Delayed, Pacer, most_queued};
use super::queue::FairQueue;
use crate::delivery::work::Work;
use crate::domain::{Flows, HookId, Rate, TenantId, Trigger};

/// At how many hooks one start looks. If none of them may start, what is in progress has to end, and then others are
/// looked at.
const LOOKED_AT: usize = 16;

/// The rate of a hook or a tenant has changed. The pacer of one without a rate is not needed.
fn set_rate<K: Eq + Hash>(pacers: &mut FxHashMap<K, Pacer>, of: &K, rate: Option<Rate>, now: Instant) {
    match rate {
        None => drop(pacers.remove(of)),
        Some(rate) => {
            if let Some(pacer) = pacers.get_mut(of) {
                pacer.set_rate(rate, now);
            }
        }
    }
}

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
                    self.update_aside(hook, now);
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
        let most = self.in_flight_limit(id);
        let Some(tenant) = self.tenants.get_mut(&id) else { return };
        Class::ALL.iter().for_each(|class| self.round_robin.add(id, tenant, *class, most));
    }

    /// How many requests of a tenant may be in flight.
    pub(super) fn in_flight_limit(&self, tenant: TenantId) -> usize {
        self.flows.in_flight_of(tenant, self.limits.in_flight_per_tenant)
    }

    /// The rate of a tenant, over all its hooks.
    pub(super) fn tenant_rate(&self, tenant: TenantId) -> Option<Rate> {
        self.flows.tenants.get(&tenant).copied()
    }

    /// The rate of a hook.
    fn hook_rate(&self, hook: HookId) -> Option<Rate> {
        self.hooks.get(&hook)?.flow.as_deref()?.max_per_second
    }

    /// Counts a request that starts `now`, and delays the next one. Returns whether it counts for each rate that there is.
    pub(super) fn count(&mut self, hook: HookId, tenant: TenantId, now: Instant) -> bool {
        let (rate, of_all) = (self.hook_rate(hook), self.tenant_rate(tenant));
        let mut counts = rate.is_some() || of_all.is_some();
        if let Some(rate) = rate {
            counts &= self.hook_pacers.entry(hook).or_insert_with(|| Pacer::new(rate, now)).take(now);
            self.pace(hook, now);
        }
        if let Some(rate) = of_all {
            counts &= self.tenant_pacers.entry(tenant).or_insert_with(|| Pacer::new(rate, now)).take(now);
            self.pace_tenant(tenant, now);
        }
        counts
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
        self.update_aside(hook, now);
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

    /// Lists `hook`, once.
    pub(super) fn add_urgent(&mut self, hook: HookId) {
        let Some(queue) = self.hooks.get_mut(&hook) else { return };
        if !std::mem::replace(&mut queue.listed_urgent, true) {
            self.urgent.add(queue.tenant, hook);
        }
    }

    /// Starts what does not wait for its tenant's rate.
    pub(super) fn start_urgent(&mut self, now: Instant) -> Option<Started> {
        for _ in 0..self.urgent.len().min(LOOKED_AT) {
            let hook = self.urgent.pop()?;
            let Some(queue) = self.hooks.get_mut(&hook) else { continue };
            queue.listed_urgent = false;
            // If it has too much in flight, it is added again when that ends.
            let Some(class) = queue.next_class(now).filter(|_| queue.is_urgent()) else {
                self.forget_if_idle(hook);
                continue;
            };
            let goes_back = queue.works.front().is_some_and(Work::goes_back) || queue.most == 0;
            let most = self.flows.in_flight_of(queue.tenant, self.limits.in_flight_per_tenant);
            let tenant = self.tenants.entry(queue.tenant).or_default();
            let held = tenant.held[class as usize];
            if tenant.in_flight < most
                && self.shares.has_any(class)
                && self.shares.admits(class, held, most)
                // What is given back leaves enough attempts for what is sent.
                && (!goes_back || self.unfinished < self.limits.unfinished.div_ceil(2))
            {
                return self.start_of_hook(hook, class, now);
            }
            self.add_urgent(hook);
        }
        None
    }

    /// The flow control of hooks and tenants has changed.
    pub(in crate::delivery) fn set_flows(&mut self, flows: Flows, now: Instant) {
        let before = std::mem::replace(&mut self.flows, flows);
        let tenants = before.tenants.changed(&self.flows.tenants);
        let mut hooks = before.hooks.changed(&self.flows.hooks);
        for tenant in before.in_flight.changed(&self.flows.in_flight) {
            self.add_tenant(tenant);
        }
        for tenant in &tenants {
            set_rate(&mut self.tenant_pacers, tenant, self.flows.tenants.get(tenant).copied(), now);
            self.pace_tenant(*tenant, now);
            self.keep_of_tenant(*tenant);
        }
        for hook in &hooks {
            let flow = self.flows.hooks.get(hook);
            set_rate(&mut self.hook_pacers, hook, flow.and_then(|flow| flow.max_per_second), now);
        }
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
        let queued = of_tenant.map(|(hook, queue)| (queue.works.len(), *hook));
        let mut queued: Vec<(usize, HookId)> = queued.filter(|(count, _)| *count > 0).collect();
        queued.sort_unstable();
        let mut sharing = queued.len();
        for (count, hook) in queued {
            let keep = count.min(left.div_ceil(sharing));
            sharing -= 1;
            left -= keep;
            self.give_back_beyond(hook, keep);
        }
    }

    /// Of what `hook` has queued, all but the first `keep` goes back to the disk, before anything else starts.
    pub(super) fn give_back_beyond(&mut self, hook: HookId, keep: usize) {
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
