//! The queues of all hooks, and what is in progress.

use std::collections::BTreeSet;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::health::{Class, Observation};
use super::hook_queue::HookQueue;
use super::next::{AttemptKey, KeyOf, Next, Started};
use super::pacer::{Delayed, Pacer};
use super::round_robin::{RoundRobin, Tenant};
use super::shares::ConcurrencyShares;
use super::urgent::Urgent;
use crate::delivery::limits::DispatcherLimits;
use crate::delivery::work::Work;
use crate::domain::{DeliveryId, Flows, HookId, Members, NodeNumber, TenantId, Trigger};

/// See the head of `fair_queue`.
#[derive(Debug)]
pub(in crate::delivery) struct FairQueue {
    pub(super) limits: DispatcherLimits,
    /// The nodes that share the limits of hooks.
    pub(super) members: Members,
    /// What hooks and tenants ask for.
    pub(super) flows: Flows,
    // Ids are made by the engine, so nobody can choose them to collide.
    pub(super) hooks: FxHashMap<HookId, HookQueue>,
    pub(super) tenants: FxHashMap<TenantId, Tenant>,
    pub(super) shares: ConcurrencyShares,
    pub(super) queued: usize,
    pub(super) queued_bytes: usize,
    /// The last ticket of a cancellation.
    pub(super) tickets: u64,
    /// Hooks that may have more on disk. Ordered, so that they can be walked in steps.
    pub(super) backlogs: BTreeSet<HookId>,
    /// How many reads of the disk have begun.
    pub(super) reads: u64,
    /// How often room was taken.
    pub(super) rooms_taken: u64,
    /// Whether the feeder shall look for more.
    pub(super) refill: bool,
    pub(super) round_robin: RoundRobin,
    /// Hooks and tenants that start nothing before a time.
    pub(super) delayed: BTreeSet<(Instant, Delayed)>,
    /// Hooks whose deliveries gather for a request with several, and when they are looked at.
    pub(super) gathering: BTreeSet<(Instant, HookId)>,
    /// Of hooks and tenants with a rate that have sent something. They outlast what is in memory of them.
    pub(super) hook_pacers: FxHashMap<HookId, Pacer>,
    pub(super) tenant_pacers: FxHashMap<TenantId, Pacer>,
    /// Hooks of tenants with a rate whose next delivery does not wait for it.
    pub(super) urgent: Urgent,
    /// Whether that starts before what is in order, which alternates.
    urgent_first: bool,
    /// Deliveries between start and record, with the number of their attempts: a delivery that was queued for longer than
    /// its lease is claimed again, and may start a second time before the first attempt is recorded.
    pub(super) attempted: FxHashMap<DeliveryId, u32>,
    /// Requests that started and have a delivery that is not recorded.
    pub(super) unfinished: usize,
    /// Deliveries that started and are not recorded.
    pub(super) unfinished_deliveries: usize,
    closed: bool,
    /// Whether a pass of [`Self::start`] has moved an entry to where it may already have looked.
    moved: bool,
}

impl FairQueue {
    pub(in crate::delivery) fn new(limits: DispatcherLimits) -> Self {
        let shares = ConcurrencyShares::new(&limits);
        Self {
            limits,
            members: Members::alone(NodeNumber(0)),
            flows: Flows::default(),
            hooks: FxHashMap::default(),
            tenants: FxHashMap::default(),
            shares,
            queued: 0,
            queued_bytes: 0,
            tickets: 0,
            round_robin: RoundRobin::default(),
            backlogs: BTreeSet::new(),
            delayed: BTreeSet::new(),
            gathering: BTreeSet::new(),
            hook_pacers: FxHashMap::default(),
            tenant_pacers: FxHashMap::default(),
            urgent: Urgent::default(),
            urgent_first: true,
            reads: 0,
            rooms_taken: 0,
            refill: false,
            attempted: FxHashMap::default(),
            unfinished: 0,
            unfinished_deliveries: 0,
            closed: false,
            moved: false,
        }
    }

    pub(super) fn hook_queue(&mut self, hook: HookId, tenant: TenantId) -> &mut HookQueue {
        let (flows, members) = (&self.flows, &self.members);
        self.hooks.entry(hook).or_insert_with(|| {
            let most = flows.share(members, self.limits.in_flight_per_hook, (hook, tenant));
            HookQueue::new(tenant, flows.hooks.get(&hook).cloned(), most)
        })
    }

    /// Queues reserved work, unless it has been cancelled meanwhile. Returns whether that made room for what its hook has on
    /// disk.
    pub(in crate::delivery) fn push(&mut self, work: Work, now: Instant) -> bool {
        let (hook, tenant) = (work.hook, work.tenant());
        let Some(work) = self.admit(work) else { return self.wants_more(hook) };
        self.hook_queue(hook, tenant).push(work, now);
        self.add_runnable(hook, now);
        false
    }

    /// Takes room for work that was claimed from disk, within [`Self::claim_capacity`], and queues it.
    pub(in crate::delivery) fn push_claimed(&mut self, work: Work, now: Instant) -> bool {
        self.take(&work);
        self.push(work, now)
    }

    /// Starts the next attempt, if one may start `now`. Its request counts as in flight until [`Self::request_ended`], and
    /// the attempt as unfinished until [`Self::recorded`].
    pub(in crate::delivery) fn start(&mut self, now: Instant) -> Next {
        if self.closed || self.unfinished >= self.limits.unfinished {
            return Next::Idle;
        }
        self.end_delays(now);
        self.end_gathering(now);
        self.urgent_first = !self.urgent_first;
        let started = match self.urgent_first {
            true => self.start_urgent(now).or_else(|| self.start_in_order(now)),
            false => self.start_in_order(now).or_else(|| self.start_urgent(now)),
        };
        let delayed = self.delayed.first().map(|(until, _)| *until);
        let until = delayed.into_iter().chain(self.gathering.first().map(|(until, _)| *until)).min();
        match (started, until) {
            (Some(started), _) => Next::Start(started),
            (None, Some(until)) => Next::WaitUntil(until),
            (None, None) => Next::Idle,
        }
    }

    fn start_in_order(&mut self, now: Instant) -> Option<Started> {
        loop {
            self.moved = false;
            let started = self.start_of_any_class(now);
            if started.is_some() || !self.moved {
                return started;
            }
        }
    }

    fn start_of_any_class(&mut self, now: Instant) -> Option<Started> {
        // Every class is served, or a class that always has something to start would keep out the others.
        (0..Class::ALL.len()).find_map(|_| {
            let class = self.round_robin.next_class();
            self.start_of_class(class, now)
        })
    }

    fn start_of_class(&mut self, class: Class, now: Instant) -> Option<Started> {
        if !self.shares.has_any(class) {
            return None;
        }
        // Each entry once. There are no more tenants with something in flight than requests in flight.
        for has_some in [false, true] {
            if has_some && !self.shares.has_more(class) {
                return None;
            }
            for _ in 0..self.round_robin.len(class, has_some) {
                let tenant = self.round_robin.pop(class, has_some)?;
                let started = self.start_of_tenant(tenant, (class, has_some), now);
                if started.is_some() {
                    return started;
                }
            }
        }
        None
    }

    /// Starts the next attempt of the tenant `id`, whose entry has just been taken out of its ring.
    fn start_of_tenant(
        &mut self,
        id: TenantId,
        (class, has_some): (Class, bool),
        now: Instant,
    ) -> Option<Started> {
        let most = self.in_flight_limit(id);
        let tenant = self.tenants.get_mut(&id)?;
        let current = tenant.take_entry(class, has_some);
        if tenant.not_before.is_some() {
            // It is added again when its rate allows another request.
            return None;
        }
        if !current || !self.shares.admits(class, tenant.held[class as usize], most) {
            // Its number of requests in flight has changed since, or it waits until any request ends.
            // If it had none then and has some now, its ring comes later in this pass.
            self.moved |= !current && has_some;
            self.round_robin.add(id, tenant, class, most);
            return None;
        }
        if tenant.in_flight >= most {
            // It is added again when one of its own requests ends.
            return None;
        }
        while let Some(hook) = self.tenants.get_mut(&id)?.runnable[class as usize].pop_front() {
            let Some(queue) = self.hooks.get_mut(&hook) else { continue };
            queue.entries[class as usize] = false;
            if queue.listed == Some(class) {
                queue.listed = None;
                if queue.next_class(now) == Some(class) {
                    return self.start_of_hook(hook, class, now);
                }
                // What is expected of its receiver has changed since.
                self.moved = true;
                self.add_runnable(hook, now);
            }
            self.forget_if_idle(hook);
        }
        self.forget_tenant_if_idle(id);
        None
    }

    pub(super) fn start_of_hook(&mut self, hook: HookId, class: Class, now: Instant) -> Option<Started> {
        let queue = self.hooks.get_mut(&hook)?;
        let mut work = queue.works.pop_front()?;
        if queue.most == 0 && work.trigger != Trigger::Test {
            work.give_back();
        }
        let others = queue.take_others(&work);
        queue.health.begin(now, queue.in_flight);
        queue.in_flight += 1;
        let of_hook = queue.in_flight;
        let (id, may_have_rate) = (queue.tenant, queue.flow.is_some() || !self.flows.tenants.is_empty());
        let tenant = self.tenants.entry(id).or_default();
        tenant.in_flight += 1;
        tenant.held[class as usize] += 1;
        self.shares.take(class);
        self.unfinished += 1;
        *self.attempted.entry(work.delivery).or_default() += 1;
        self.release(&work);
        self.unfinished_deliveries += 1;
        self.start_others(&others);
        let counts = may_have_rate && !work.goes_back() && self.count(hook, id, now);
        // A receiver that takes long must not slow the rate down.
        let wants_more = self.wants_more(hook);
        self.add_runnable(hook, now);
        let most = self.in_flight_limit(id);
        if let Some(tenant) = self.tenants.get_mut(&id) {
            self.round_robin.add(id, tenant, class, most);
        }
        let (delivery, of) = (work.delivery, KeyOf::Attempt);
        let key = AttemptKey { delivery, hook, tenant: id, class, started_at: now, sent_at: now, counts, of };
        Some(Started { work, others, of_hook, wants_more, key })
    }

    /// The receiver has answered or failed to: another request may start. Returns whether the hook has more on disk and its
    /// queue runs low.
    pub(in crate::delivery) fn request_ended(
        &mut self,
        key: AttemptKey,
        observation: Observation,
        now: Instant,
    ) -> bool {
        let AttemptKey { hook, tenant: id, class, sent_at, counts, .. } = key;
        self.shares.give_back(class);
        if counts {
            self.uncount_unsent(key, observation, now);
        }
        let mut pause = None;
        if let Some(queue) = self.hooks.get_mut(&hook) {
            pause = queue.health.end(observation, (sent_at, now), queue.most);
            queue.in_flight -= 1;
        }
        if let Some(pause) = pause {
            self.delay_at_least(hook, id, now + pause);
        }
        self.update_aside(hook, now);
        let wants_more = self.wants_more(hook);
        if let Some(tenant) = self.tenants.get_mut(&id) {
            tenant.in_flight -= 1;
            tenant.held[class as usize] -= 1;
        }
        self.add_runnable(hook, now);
        // The tenant's own limit may have held it back, and its ring may have changed.
        self.add_tenant(id);
        self.forget_if_idle(hook);
        wants_more
    }

    /// The attempt's record is on disk; of a request with several deliveries, all records are on their way.
    pub(in crate::delivery) fn recorded(&mut self, key: AttemptKey) {
        self.unfinished -= usize::from(key.of != KeyOf::Delivery);
        if key.of == KeyOf::Request {
            return;
        }
        self.unfinished_deliveries -= 1;
        if let Some(attempts) = self.attempted.get_mut(&key.delivery) {
            *attempts -= 1;
            if *attempts == 0 {
                self.attempted.remove(&key.delivery);
            }
        }
    }

    /// Whether an attempt of the delivery is in progress or not recorded yet.
    pub(super) fn is_attempted(&self, delivery: DeliveryId) -> bool {
        self.attempted.contains_key(&delivery)
    }

    /// Starts nothing from now on, and drops everything that is queued, which stays leased on disk.
    pub(in crate::delivery) fn close(&mut self) {
        self.closed = true;
        let queued: Vec<Work> = self.hooks.values_mut().flat_map(|queue| queue.works.drain(..)).collect();
        queued.iter().for_each(|work| self.release(work));
    }

    /// Whether nothing starts any more and everything that started is recorded.
    pub(in crate::delivery) fn is_drained(&self) -> bool {
        self.closed && self.unfinished == 0 && self.unfinished_deliveries == 0
    }

    /// Deliveries that are queued, or between start and record.
    pub(in crate::delivery) fn in_memory(&self) -> usize {
        self.queued + self.unfinished()
    }

    /// Deliveries between start and record.
    #[expect(clippy::misnamed_getters, reason = "the field of that name counts requests")]
    pub(in crate::delivery) fn unfinished(&self) -> usize {
        self.unfinished_deliveries
    }

    /// Lists `hook` as runnable if it may start a request.
    pub(super) fn add_runnable(&mut self, hook: HookId, now: Instant) {
        let Some(queue) = self.hooks.get_mut(&hook) else { return };
        let Some(class) = queue.next_class(now) else {
            // What has waited long enough waits for something else now, whose end lists the hook again.
            if queue.gathers_until().is_some_and(|until| now < until) {
                self.wait_for_others(hook);
            }
            return;
        };
        let (id, number) = (queue.tenant, class as usize);
        queue.listed = Some(class);
        let is_urgent = self.flows.tenants.contains_key(&id) && queue.is_urgent();
        let most = self.flows.in_flight_of(id, self.limits.in_flight_per_tenant);
        let tenant = self.tenants.entry(id).or_default();
        if !std::mem::replace(&mut queue.entries[number], true) {
            tenant.runnable[number].push_back(hook);
        }
        self.round_robin.add(id, tenant, class, most);
        if is_urgent {
            self.add_urgent(hook);
        }
    }
}
