//! Deliveries in memory, in lanes by hook, with turns between tenants.
//!
//! Pure bookkeeping: no clock, no I/O, no locks. A tenant with a million deliveries gets as many turns
//! as one with a single one, and within a tenant a hook with a backlog as many as one without. Everything
//! is bounded: what is queued, in number and in bytes, and what is under way, as a whole, for each tenant
//! and for each hook.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::DispatcherLimits;
use crate::domain::{Delivery, DeliveryId, Event, HookId, TenantId, Trigger, UnixMillis};
use crate::storage::{Claimed, RenderedRequest};

/// A leased delivery with all that an attempt needs.
#[derive(Debug, Clone)]
pub struct Work {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// For which hook.
    pub hook: HookId,
    /// Its event.
    pub event: Arc<Event>,
    /// What made it.
    pub trigger: Trigger,
    /// How many attempts there have been.
    pub attempts: u32,
    /// Its place in the retry schedule.
    pub failures: u32,
    /// The request that an earlier attempt rendered.
    pub rendered: Option<RenderedRequest>,
    /// When the lease ends.
    pub lease_until: UnixMillis,
    /// Whether the delivery was stored under this very lease.
    pub leased_when_stored: bool,
}

impl Work {
    /// A delivery that has not been attempted yet, and is not leased yet.
    #[must_use]
    pub fn fresh(delivery: DeliveryId, hook: HookId, event: Arc<Event>, trigger: Trigger) -> Self {
        Self {
            delivery,
            hook,
            event,
            trigger,
            attempts: 0,
            failures: 0,
            rendered: None,
            lease_until: UnixMillis(0),
            leased_when_stored: true,
        }
    }

    /// A delivery that has been claimed from disk until `lease_until`.
    #[must_use]
    pub fn claimed(claimed: Claimed, lease_until: UnixMillis) -> Self {
        let Claimed { delivery, event, rendered } = claimed;
        let Delivery { id, hook, trigger, attempts, failures, .. } = delivery;
        Self {
            delivery: id,
            hook,
            event,
            trigger,
            attempts,
            failures,
            rendered,
            lease_until,
            leased_when_stored: false,
        }
    }

    fn tenant(&self) -> TenantId {
        self.event.tenant
    }

    /// About how much memory it holds, in bytes. Deliveries of one event share its data; counting it for
    /// each is on the safe side.
    fn weight(&self) -> usize {
        let rendered = self.rendered.as_ref().map_or(0, |it| it.request.body.as_bytes().len() + 1024);
        256 + self.event.data.len() + rendered
    }
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Lanes {
    limits: DispatcherLimits,
    lanes: HashMap<HookId, Lane>,
    tenants: HashMap<TenantId, Turn>,
    /// The tenants that may start something now, each once.
    ring: VecDeque<TenantId>,
    queued: usize,
    queued_bytes: usize,
    /// Requests under way.
    in_flight: usize,
    /// Deliveries between start and finish.
    unfinished: usize,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Work>,
    /// Queued or reserved.
    taken: usize,
    /// Requests under way.
    in_flight: usize,
    /// There may be more on disk: new deliveries line up behind it.
    backlog: bool,
    /// Whether the hook stands in its tenant's `runnable`.
    listed: bool,
}

impl Lane {
    /// Whether its queue runs low while there may be more on disk.
    fn wants_more(&self, limits: &DispatcherLimits) -> bool {
        self.backlog && self.taken <= limits.queued_per_hook / 2
    }

    /// Whether there is nothing that would have to be remembered of it.
    fn is_idle(&self) -> bool {
        self.taken == 0 && self.in_flight == 0 && !self.backlog && !self.listed
    }
}

#[derive(Debug, Default)]
struct Turn {
    runnable: VecDeque<HookId>,
    in_flight: usize,
    /// Queued or reserved, over all hooks.
    taken: usize,
    /// The weight of those.
    taken_bytes: usize,
    /// Whether the tenant stands in the ring.
    listed: bool,
}

impl Turn {
    /// Whether another request of the tenant would leave others their share. The more are under way, the smaller a tenant's
    /// share of all places: alone it may have as many as one tenant may, and each further one that fills its share half of
    /// what is left (where one tenant may have half of all), so that there is always a place for whoever comes next. It never
    /// comes to more than one tenant may have.
    fn leaves_some(&self, limits: &DispatcherLimits, in_flight: usize) -> bool {
        let all = limits.in_flight;
        let one = limits.in_flight_per_tenant.min(all);
        self.in_flight * (all - one) < all.saturating_sub(in_flight) * one
    }
}

impl Lanes {
    pub(super) fn new(limits: DispatcherLimits) -> Self {
        let (lanes, tenants, ring) = (HashMap::new(), HashMap::new(), VecDeque::new());
        Self { limits, lanes, tenants, ring, queued: 0, queued_bytes: 0, in_flight: 0, unfinished: 0 }
    }

    /// Takes room for `work` if there is any. A hook with a backlog on disk has none, so that what came
    /// first goes first; only a test does not line up behind that.
    pub(super) fn reserve(&mut self, work: &Work) -> bool {
        let lane = self.lanes.entry(work.hook).or_default();
        let turn = self.tenants.entry(work.tenant()).or_default();
        let limits = &self.limits;
        // One tenant may take half of what there is, so that there is always some for another.
        let fits = (!lane.backlog || work.trigger == Trigger::Test)
            && lane.taken < limits.queued_per_hook
            && turn.taken < limits.queued / 2
            && turn.taken_bytes + work.weight() <= limits.queued_bytes / 2
            && self.queued < limits.queued
            && self.queued_bytes + work.weight() <= limits.queued_bytes;
        if !fits {
            self.forget_if_idle(work.hook, work.tenant());
            return false;
        }
        self.take_room(work);
        true
    }

    /// Gives back the room of work that was reserved and never pushed. True if the hook has more on disk, for which
    /// there is room now.
    pub(super) fn unreserve(&mut self, work: &Work) -> bool {
        self.release_room(work);
        let wants_more = self.lanes.get(&work.hook).is_some_and(|lane| lane.wants_more(&self.limits));
        self.forget_if_idle(work.hook, work.tenant());
        wants_more
    }

    fn take_room(&mut self, work: &Work) {
        self.lanes.entry(work.hook).or_default().taken += 1;
        let turn = self.tenants.entry(work.tenant()).or_default();
        turn.taken += 1;
        turn.taken_bytes += work.weight();
        self.queued += 1;
        self.queued_bytes += work.weight();
    }

    fn release_room(&mut self, work: &Work) {
        self.queued -= 1;
        self.queued_bytes -= work.weight();
        if let Some(lane) = self.lanes.get_mut(&work.hook) {
            lane.taken -= 1;
        }
        if let Some(turn) = self.tenants.get_mut(&work.tenant()) {
            turn.taken -= 1;
            turn.taken_bytes -= work.weight();
        }
    }

    /// Queues work that has been reserved.
    pub(super) fn push(&mut self, work: Work) {
        let (hook, tenant) = (work.hook, work.tenant());
        self.lanes.entry(hook).or_default().queue.push_back(work);
        self.list(hook, tenant);
    }

    /// How many more deliveries of `hook` there is room for, looked at from disk.
    pub(super) fn room(&self, hook: HookId, tenant: TenantId) -> usize {
        let of_lane = self.lanes.get(&hook).map_or(0, |lane| lane.taken);
        let (of_tenant, bytes_of_tenant) =
            self.tenants.get(&tenant).map_or((0, 0), |turn| (turn.taken, turn.taken_bytes));
        let room_in_lane = self.limits.queued_per_hook.saturating_sub(of_lane);
        let room_of_tenant = (self.limits.queued / 2).saturating_sub(of_tenant);
        let room_for_all = self.limits.queued.saturating_sub(self.queued);
        let room = room_in_lane.min(room_of_tenant).min(room_for_all);
        let has_bytes =
            self.queued_bytes < self.limits.queued_bytes && bytes_of_tenant < self.limits.queued_bytes / 2;
        if has_bytes { room } else { 0 }
    }

    /// Takes room for work that has been claimed from disk; [`Self::room`] has been asked before.
    pub(super) fn push_claimed(&mut self, work: Work) {
        self.take_room(&work);
        self.push(work);
    }

    /// Notes whether `hook` may have more on disk.
    pub(super) fn set_backlog(&mut self, hook: HookId, tenant: TenantId, backlog: bool) {
        self.lanes.entry(hook).or_default().backlog = backlog;
        self.forget_if_idle(hook, tenant);
    }

    /// Of all hooks, only those `due` have something on disk now: what is noted of others is out of date.
    pub(super) fn keep_backlogs(&mut self, due: &HashSet<HookId>) {
        self.lanes.retain(|hook, lane| {
            lane.backlog &= due.contains(hook);
            !lane.is_idle()
        });
    }

    /// Whether [`Self::answered`] or [`Self::unreserve`] will ask for more of `hook` by itself.
    pub(super) fn wakes_feeder(&self, hook: HookId) -> bool {
        self.lanes.get(&hook).is_some_and(|lane| lane.backlog && !lane.wants_more(&self.limits))
    }

    /// The next delivery to attempt, if one may start now; its request counts as under way until [`Self::answered`],
    /// and itself as unfinished until [`Self::finished`]. With it, how many of its hook's requests are under way, its own
    /// counted.
    pub(super) fn start_next(&mut self) -> Option<(Work, usize)> {
        if self.in_flight >= self.limits.in_flight || self.unfinished >= self.limits.unfinished {
            return None;
        }
        for _ in 0..self.ring.len() {
            let Some(tenant) = self.ring.pop_front() else { break };
            let Some(turn) = self.tenants.get_mut(&tenant) else { continue };
            if !turn.leaves_some(&self.limits, self.in_flight) {
                // It goes on when anybody's request ends, and keeps its place in the ring until then.
                self.ring.push_back(tenant);
                continue;
            }
            turn.listed = false;
            let Some(hook) = turn.runnable.pop_front() else { continue };
            let Some(lane) = self.lanes.get_mut(&hook) else { continue };
            lane.listed = false;
            let Some(work) = lane.queue.pop_front() else {
                self.list(hook, tenant);
                continue;
            };
            lane.in_flight += 1;
            let of_hook = lane.in_flight;
            turn.in_flight += 1;
            self.in_flight += 1;
            self.unfinished += 1;
            self.release_room(&work);
            self.list(hook, tenant);
            return Some((work, of_hook));
        }
        None
    }

    /// The receiver has answered, or failed to: another request may start. True if the hook has more on
    /// disk and its queue runs low.
    pub(super) fn answered(&mut self, hook: HookId, tenant: TenantId) -> bool {
        let mut wants_more = false;
        self.in_flight -= 1;
        if let Some(lane) = self.lanes.get_mut(&hook) {
            lane.in_flight -= 1;
            wants_more = lane.wants_more(&self.limits);
        }
        if let Some(turn) = self.tenants.get_mut(&tenant) {
            turn.in_flight -= 1;
        }
        self.list(hook, tenant);
        self.forget_if_idle(hook, tenant);
        wants_more
    }

    /// What came of it is recorded.
    pub(super) fn finished(&mut self) {
        self.unfinished -= 1;
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

    fn list(&mut self, hook: HookId, tenant: TenantId) {
        let turn = self.tenants.entry(tenant).or_default();
        if let Some(lane) = self.lanes.get_mut(&hook)
            && !lane.listed
            && !lane.queue.is_empty()
            && lane.in_flight < self.limits.in_flight_per_hook
        {
            lane.listed = true;
            turn.runnable.push_back(hook);
        }
        if !turn.listed && !turn.runnable.is_empty() && turn.in_flight < self.limits.in_flight_per_tenant {
            turn.listed = true;
            self.ring.push_back(tenant);
        }
    }

    fn forget_if_idle(&mut self, hook: HookId, tenant: TenantId) {
        if self.lanes.get(&hook).is_some_and(Lane::is_idle) {
            self.lanes.remove(&hook);
        }
        if self.tenants.get(&tenant).is_some_and(|turn| {
            turn.taken == 0 && turn.in_flight == 0 && !turn.listed && turn.runnable.is_empty()
        }) {
            self.tenants.remove(&tenant);
        }
    }
}

#[cfg(test)]
mod tests;
