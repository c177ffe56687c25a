//! What monitoring asks.

use std::collections::VecDeque;
use std::time::Instant;

use super::health::Class;
use super::hook_queue::HookQueue;
use super::queue::FairQueue;
use super::round_robin::Tenant;
use crate::domain::{HookId, TenantId, UnixMillis};

/// How much there is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFigures {
    /// Deliveries that have not started.
    pub queued: usize,
    /// Deliveries between start and record.
    pub unfinished: usize,
    /// Requests in flight.
    pub in_flight: usize,
    /// How many there may be.
    pub in_flight_limit: usize,
}

/// What waits only for this engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Tenants with a delivery that could start.
    pub tenants: usize,
    /// The end of the lease of the delivery that is in memory longest.
    pub first_lease_end: Option<UnixMillis>,
}

impl FairQueue {
    pub(in crate::delivery) fn figures(&self) -> QueueFigures {
        QueueFigures {
            queued: self.queued,
            unfinished: self.unfinished(),
            in_flight: self.shares.taken(),
            in_flight_limit: self.limits.in_flight,
        }
    }

    /// What waits in memory although its receiver would take it, and its tenant's limits allow it. Looks at each hook that has
    /// something in memory.
    pub(in crate::delivery) fn waiting(&self, now: Instant) -> Waiting {
        let runnable = |(id, tenant): (&TenantId, &Tenant)| {
            let of_class = |(class, hooks): (Class, &VecDeque<HookId>)| {
                !hooks.is_empty() && self.lacks_only_room(*id, class)
            };
            Class::ALL.into_iter().zip(&tenant.runnable).any(of_class) && self.may_start_of(*id)
        };
        let first_lease_end = |queue: &HookQueue| {
            let waits = self.waits_for_engine(queue, now) && self.may_start_of(queue.tenant);
            queue.works.front().filter(|work| waits && !work.goes_back()).map(|work| work.lease_until)
        };
        Waiting {
            tenants: self.tenants.iter().filter(|tenant| runnable(*tenant)).count(),
            first_lease_end: self.hooks.values().filter_map(first_lease_end).min(),
        }
    }

    /// Whether what `hook` has on disk waits for its receiver, or for a limit of its own or of its tenant.
    pub(in crate::delivery) fn is_held_back(&self, hook: HookId, tenant: TenantId, now: Instant) -> bool {
        let of_hook = self.hooks.get(&hook).is_some_and(|queue| {
            let is_full = queue.works.is_empty() && queue.in_flight >= queue.health.window();
            is_full
                || queue.not_before.is_some()
                || !(queue.works.is_empty() || self.waits_for_engine(queue, now))
        });
        of_hook || !self.may_start_of(tenant)
    }

    /// Whether the next delivery of a hook could start if there were room.
    fn waits_for_engine(&self, queue: &HookQueue, now: Instant) -> bool {
        queue.next_class(now).is_some_and(|class| self.lacks_only_room(queue.tenant, class))
    }

    /// Whether a delivery of this class could start if there were room. What has a receiver that is slow or does not answer waits
    /// for the share of such receivers, or for its tenant's part of it, which is no fault of the engine.
    fn lacks_only_room(&self, id: TenantId, class: Class) -> bool {
        let held = self.tenants.get(&id).map_or(0, |tenant| tenant.held[class as usize]);
        let has_share = || {
            self.shares.has_any(class)
                && (held == 0 || self.shares.has_more(class))
                && self.shares.admits(class, held, self.in_flight_limit(id))
        };
        class <= Class::Unknown || has_share()
    }

    fn may_start_of(&self, id: TenantId) -> bool {
        let most = self.in_flight_limit(id);
        self.tenants.get(&id).is_none_or(|it| it.in_flight < most && it.not_before.is_none())
    }
}
