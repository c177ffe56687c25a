//! Deliveries in memory, in lanes by hook, with turns between tenants.
//!
//! Pure bookkeeping: no clock, no I/O, no locks. A tenant with a million deliveries gets as many turns
//! as one with a single one, and within a tenant a hook with a backlog as many as one without. Everything
//! is bounded: what is queued, in number and in bytes, and what is under way, as a whole, for each tenant
//! and for each hook. How much of that a hook may use follows what its receiver answers ([`health`]); what is left for
//! others beside receivers that hang, says [`places`].

mod health;
mod lane;
mod places;
mod recall;
mod rings;
mod room;
mod work;

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::Instant;

use rustc_hash::{FxHashMap, FxHashSet};

use self::health::Class;
pub use self::health::Observation;
use self::lane::Lane;
use self::places::Places;
pub use self::recall::{NotRecalled, RecallEnd};
use self::rings::{Rings, Tenant};
pub use self::work::Work;
use super::DispatcherLimits;
use crate::domain::{DeliveryId, HookId, TenantId, Trigger};

/// Room in the queue of a hook that is kept while nothing is in it.
const MOST_KEPT: usize = 4;
/// Hooks of a tenant without anything in memory whose receivers' answers are remembered.
const REMEMBERED: usize = 1_024;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Lanes {
    limits: DispatcherLimits,
    // Ids are the engine's own, so that nobody can choose them to collide.
    lanes: FxHashMap<HookId, Lane>,
    tenants: FxHashMap<TenantId, Tenant>,
    rings: Rings,
    places: Places,
    /// Hooks that may have more on disk.
    backlogs: BTreeSet<HookId>,
    queued: usize,
    queued_bytes: usize,
    /// Deliveries between start and finish, with how often: one that waited for longer than its lease is claimed again,
    /// and may begin once more before the first attempt is recorded.
    under_way: FxHashMap<DeliveryId, u32>,
    unfinished: usize,
    /// Given out to those that cancel deliveries.
    tickets: u64,
}

/// An attempt that may be made now.
#[derive(Debug)]
pub(super) struct Started {
    /// What is attempted.
    pub work: Work,
    /// How many of its hook's requests are under way, its own counted.
    pub of_hook: usize,
    /// To be given back with [`Lanes::answered`] and [`Lanes::finished`].
    pub place: Place,
}

/// What an attempt holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    delivery: DeliveryId,
    hook: HookId,
    tenant: TenantId,
    class: Class,
    began: Instant,
}

impl Lanes {
    pub(super) fn new(limits: DispatcherLimits) -> Self {
        let places = Places::new(&limits);
        Self {
            limits,
            lanes: FxHashMap::default(),
            tenants: FxHashMap::default(),
            rings: Rings::default(),
            places,
            backlogs: BTreeSet::new(),
            queued: 0,
            queued_bytes: 0,
            under_way: FxHashMap::default(),
            unfinished: 0,
            tickets: 0,
        }
    }

    /// Takes room for `work` if there is any. A hook with a backlog on disk has none, so that what came
    /// first goes first; only a test does not line up behind that.
    pub(super) fn reserve(&mut self, work: &Work) -> bool {
        let backlog = self.lanes.get(&work.hook).is_some_and(|lane| lane.backlog);
        let lines_up = backlog && work.trigger != Trigger::Test;
        let fits = !lines_up
            && self.room(work.hook, work.tenant(), work.trigger) > 0
            && work.weight() <= self.room_in_bytes(work.tenant());
        if fits {
            self.take_room(work);
        }
        fits
    }

    /// Gives back the room of work that was reserved and never pushed. True if the hook has more on disk, for which
    /// there is room now.
    pub(super) fn unreserve(&mut self, work: &Work) -> bool {
        self.release_room(work);
        let wants_more = self.wants_more(work.hook);
        self.forget_if_idle(work.hook);
        wants_more
    }

    /// Whether the hook may have more on disk and its queue runs low.
    fn wants_more(&self, hook: HookId) -> bool {
        self.lanes.get(&hook).is_some_and(|lane| lane.wants_more(&self.limits))
    }

    fn take_room(&mut self, work: &Work) {
        self.lane(work.hook, work.tenant()).taken += 1;
        let tenant = self.tenants.entry(work.tenant()).or_default();
        tenant.taken += 1;
        tenant.taken_bytes += work.weight();
        self.queued += 1;
        self.queued_bytes += work.weight();
    }

    fn release_room(&mut self, work: &Work) {
        self.queued -= 1;
        self.queued_bytes -= work.weight();
        if let Some(lane) = self.lanes.get_mut(&work.hook) {
            lane.taken -= 1;
        }
        if let Some(tenant) = self.tenants.get_mut(&work.tenant()) {
            tenant.taken -= 1;
            tenant.taken_bytes -= work.weight();
        }
    }

    fn lane(&mut self, hook: HookId, tenant: TenantId) -> &mut Lane {
        self.lanes.entry(hook).or_insert_with(|| Lane::new(tenant))
    }

    /// Queues work that has been reserved, unless it has been cancelled meanwhile. True if it has been, and its hook has
    /// more on disk, for which there is room now.
    pub(super) fn push(&mut self, work: Work, now: Instant) -> bool {
        let (hook, tenant) = (work.hook, work.tenant());
        let Some(work) = self.catch(work) else { return self.wants_more(hook) };
        self.lane(hook, tenant).push(work);
        self.list(hook, now);
        false
    }

    /// Takes room for work that has been claimed from disk; [`Self::room_for_claims`] has been asked before.
    pub(super) fn push_claimed(&mut self, work: Work, now: Instant) -> bool {
        self.take_room(&work);
        self.push(work, now)
    }

    /// Notes whether `hook` may have more on disk.
    pub(super) fn set_backlog(&mut self, hook: HookId, tenant: TenantId, backlog: bool) {
        if backlog {
            self.backlogs.insert(hook);
            self.lane(hook, tenant).backlog = true;
        } else if self.backlogs.remove(&hook)
            && let Some(lane) = self.lanes.get_mut(&hook)
        {
            lane.backlog = false;
            self.forget_if_idle(hook);
        }
    }

    /// Only hooks that are `due` have something on disk now: what is noted of others is out of date. Looks at the next
    /// `at_most` hooks that come `after` one, and returns where to go on: none if that was all.
    pub(super) fn keep_backlogs(
        &mut self,
        due: &FxHashSet<HookId>,
        after: Option<HookId>,
        at_most: usize,
    ) -> Option<HookId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let looked_at: Vec<HookId> =
            self.backlogs.range((from, Bound::Unbounded)).take(at_most).copied().collect();
        for hook in looked_at.iter().filter(|hook| !due.contains(hook)) {
            let Some(tenant) = self.lanes.get(hook).map(|lane| lane.tenant) else { continue };
            self.set_backlog(*hook, tenant, false);
        }
        looked_at.last().copied().filter(|_| looked_at.len() == at_most)
    }

    /// Whether [`Self::answered`] or [`Self::unreserve`] will ask for more of `hook` by itself.
    pub(super) fn wakes_feeder(&self, hook: HookId) -> bool {
        self.lanes.get(&hook).is_some_and(|lane| lane.backlog && !lane.wants_more(&self.limits))
    }

    /// The next delivery to attempt, if one may start now; its request counts as under way until [`Self::answered`],
    /// and itself as unfinished until [`Self::finished`].
    pub(super) fn start_next(&mut self, now: Instant) -> Option<Started> {
        if self.unfinished >= self.limits.unfinished {
            return None;
        }
        // Each class has its turn, or one whose places are always in demand would keep out the others.
        (0..Class::ALL.len()).find_map(|_| {
            let class = self.rings.next_class();
            self.start_of_class(class, now)
        })
    }

    fn start_of_class(&mut self, class: Class, now: Instant) -> Option<Started> {
        if !self.places.has_any(class) {
            return None;
        }
        // Each entry once. Those with something under way are no more than there are places.
        for has_some in [false, true] {
            if has_some && !self.places.has_more(class) {
                return None;
            }
            for _ in 0..self.rings.len(class, has_some) {
                let tenant = self.rings.pop(class, has_some)?;
                let started = self.start_of_tenant(tenant, (class, has_some), now);
                if started.is_some() {
                    return started;
                }
            }
        }
        None
    }

    /// The next delivery of `id`, whose entry has just been taken out of its ring.
    fn start_of_tenant(
        &mut self,
        id: TenantId,
        (class, has_some): (Class, bool),
        now: Instant,
    ) -> Option<Started> {
        let tenant = self.tenants.get_mut(&id)?;
        let current = tenant.take_entry(class, has_some);
        if !current || !self.places.admits(class, tenant.held[class as usize]) {
            // It has gained or lost places since; or it waits until anybody's request ends.
            self.rings.list(id, tenant, class, &self.limits);
            return None;
        }
        if tenant.in_flight >= self.limits.in_flight_per_tenant {
            // It is listed again when one of its own ends.
            return None;
        }
        while let Some(hook) = self.tenants.get_mut(&id)?.runnable[class as usize].pop_front() {
            let Some(lane) = self.lanes.get_mut(&hook) else { continue };
            lane.entries[class as usize] = false;
            if lane.listed == Some(class) {
                lane.listed = None;
                if lane.next_class(now) == Some(class) {
                    return self.start(hook, class, now);
                }
                self.list(hook, now);
            }
            self.forget_if_idle(hook);
        }
        self.forget_tenant_if_idle(id);
        None
    }

    fn start(&mut self, hook: HookId, class: Class, now: Instant) -> Option<Started> {
        let lane = self.lanes.get_mut(&hook)?;
        let work = lane.queue.pop_front()?;
        lane.health.begin(now, lane.in_flight);
        lane.in_flight += 1;
        let of_hook = lane.in_flight;
        let id = lane.tenant;
        let tenant = self.tenants.entry(id).or_default();
        tenant.in_flight += 1;
        tenant.held[class as usize] += 1;
        self.places.take(class);
        self.unfinished += 1;
        *self.under_way.entry(work.delivery).or_default() += 1;
        self.release_room(&work);
        self.list(hook, now);
        if let Some(tenant) = self.tenants.get_mut(&id) {
            self.rings.list(id, tenant, class, &self.limits);
        }
        let place = Place { delivery: work.delivery, hook, tenant: id, class, began: now };
        Some(Started { work, of_hook, place })
    }

    /// The receiver has answered, or failed to: another request may start. True if the hook has more on
    /// disk and its queue runs low.
    pub(super) fn answered(&mut self, place: Place, observation: Observation, now: Instant) -> bool {
        let Place { hook, tenant: id, class, began, .. } = place;
        let mut wants_more = false;
        self.places.give_back(class);
        if let Some(lane) = self.lanes.get_mut(&hook) {
            lane.health.end(observation, (began, now), self.limits.in_flight_per_hook);
            lane.in_flight -= 1;
            wants_more = lane.wants_more(&self.limits);
        }
        if let Some(tenant) = self.tenants.get_mut(&id) {
            tenant.in_flight -= 1;
            tenant.held[class as usize] -= 1;
        }
        self.list(hook, now);
        if let Some(tenant) = self.tenants.get_mut(&id) {
            // What its own limit held back, and what has nothing of this class under way any more.
            Class::ALL.iter().for_each(|class| self.rings.list(id, tenant, *class, &self.limits));
        }
        self.forget_if_idle(hook);
        wants_more
    }

    /// What came of it is recorded.
    pub(super) fn finished(&mut self, place: Place) {
        self.unfinished -= 1;
        if let Some(times) = self.under_way.get_mut(&place.delivery) {
            *times -= 1;
            if *times == 0 {
                self.under_way.remove(&place.delivery);
            }
        }
    }

    /// Drops all that is queued: it stays leased on disk. What is under way goes on.
    pub(super) fn clear(&mut self) {
        let queued: Vec<Work> = self.lanes.values_mut().flat_map(|lane| lane.queue.drain(..)).collect();
        queued.iter().for_each(|work| self.release_room(work));
    }

    /// Deliveries between start and finish.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Has `hook` wait for its turn if it may begin a request.
    fn list(&mut self, hook: HookId, now: Instant) {
        let Some(lane) = self.lanes.get_mut(&hook) else { return };
        let Some(class) = lane.next_class(now) else { return };
        let (id, number) = (lane.tenant, class as usize);
        lane.listed = Some(class);
        let tenant = self.tenants.entry(id).or_default();
        if !std::mem::replace(&mut lane.entries[number], true) {
            tenant.runnable[number].push_back(hook);
        }
        self.rings.list(id, tenant, class, &self.limits);
    }

    /// Of a hook that has nothing in memory, only what its receiver answered is kept, and of that not without end.
    fn forget_if_idle(&mut self, hook: HookId) {
        let Some(lane) = self.lanes.get_mut(&hook).filter(|lane| lane.is_idle()) else { return };
        if lane.queue.capacity() > MOST_KEPT {
            lane.queue = VecDeque::new();
        }
        let id = lane.tenant;
        let tenant = self.tenants.entry(id).or_default();
        if !lane.health.is_known() {
            // One that the tenant remembers is known, and stays so.
            self.lanes.remove(&hook);
        } else if !std::mem::replace(&mut lane.remembered, true) {
            tenant.remembered.push_back(hook);
        }
        while tenant.remembered.len() > REMEMBERED {
            let Some(oldest) = tenant.remembered.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&oldest) else { continue };
            lane.remembered = false;
            if lane.is_idle() {
                self.lanes.remove(&oldest);
            }
        }
        self.forget_tenant_if_idle(id);
    }

    fn forget_tenant_if_idle(&mut self, id: TenantId) {
        if self.tenants.get(&id).is_some_and(Tenant::is_idle) {
            self.tenants.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests;
