//! Taking deliveries out of memory that are about to be cancelled.
//!
//! Memory knows better than the disk whether a leased delivery is under way. So whoever cancels asks here first: what
//! waits is taken out, and put back if it is not cancelled after all. A delivery may be on its way into memory, between
//! its commit and its push: it is caught when it arrives, by the lease that the cancellation ended.

use std::time::Instant;

use super::{Lanes, Work};
use crate::domain::{DeliveryId, HookId, TenantId, UnixMillis};

/// Cancelled deliveries of one tenant that may still be on their way into memory. Each is forgotten when its lease
/// would have ended.
const MOST_EXPECTED: usize = 100;

/// One delivery that is being cancelled, or has been and may still arrive.
#[derive(Debug)]
pub(in crate::delivery) struct Recall {
    ticket: u64,
    delivery: DeliveryId,
    /// What was taken out, or arrived since.
    held: Vec<Work>,
    /// Once it is cancelled: the end of the lease under which it may still arrive.
    ended_lease: Option<UnixMillis>,
}

/// Why a delivery cannot be cancelled now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotRecalled {
    /// An attempt of it is under way, or is being recorded.
    UnderWay,
    /// Too many that the tenant has cancelled may still arrive.
    TooMany,
}

/// What became of a delivery that was to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecallEnd {
    /// It is not cancelled, and is put back.
    PutBack,
    /// It is cancelled.
    Cancelled {
        /// Until when it would have been leased, if it was.
        lease: Option<UnixMillis>,
    },
}

impl Lanes {
    /// Takes a delivery of `hook` out of memory, until [`Self::end_recall`] is told with the ticket what became of it.
    pub(in crate::delivery) fn recall(
        &mut self,
        delivery: DeliveryId,
        (tenant, hook): (TenantId, HookId),
        now: UnixMillis,
    ) -> Result<u64, NotRecalled> {
        if self.under_way.contains_key(&delivery) {
            return Err(NotRecalled::UnderWay);
        }
        let recalls = &mut self.tenants.entry(tenant).or_default().recalls;
        recalls.retain(|recall| recall.ended_lease.is_none_or(|lease| lease > now));
        if recalls.len() >= MOST_EXPECTED {
            return Err(NotRecalled::TooMany);
        }
        let mut held = Vec::new();
        // More than one if a lease ended while the delivery waited, so that it was claimed again.
        while let Some(work) = self.lanes.get_mut(&hook).and_then(|lane| {
            let index = lane.queue.iter().position(|work| work.delivery == delivery)?;
            lane.queue.remove(index)
        }) {
            held.push(work);
        }
        held.iter().for_each(|work| self.release_room(work));
        self.tickets += 1;
        let recall = Recall { ticket: self.tickets, delivery, held, ended_lease: None };
        self.tenants.entry(tenant).or_default().recalls.push(recall);
        Ok(self.tickets)
    }

    /// What became of the delivery with this ticket. True if its hook has more on disk, for which there is room now.
    pub(in crate::delivery) fn end_recall(
        &mut self,
        (tenant, ticket): (TenantId, u64),
        end: RecallEnd,
        now: Instant,
    ) -> bool {
        let Some(of_tenant) = self.tenants.get_mut(&tenant) else { return false };
        let Some(index) = of_tenant.recalls.iter().position(|recall| recall.ticket == ticket) else {
            return false;
        };
        let mut recall = of_tenant.recalls.swap_remove(index);
        let ended = match end {
            RecallEnd::Cancelled { lease } => lease,
            RecallEnd::PutBack => None,
        };
        let is_cancelled = |work: &Work| ended.is_some_and(|lease| work.lease_until <= lease);
        let (gone, stays): (Vec<Work>, Vec<Work>) = recall.held.drain(..).partition(is_cancelled);
        if let Some(lease) = ended.filter(|_| gone.is_empty()) {
            of_tenant.recalls.push(Recall { ended_lease: Some(lease), ..recall });
        }
        let hooks: Vec<HookId> = gone.iter().map(|work| work.hook).collect();
        for work in stays {
            self.take_room(&work);
            self.push(work, now);
        }
        let mut wants_more = false;
        for hook in hooks {
            wants_more |= self.wants_more(hook);
            self.forget_if_idle(hook);
        }
        self.forget_tenant_if_idle(tenant);
        wants_more
    }

    /// Keeps `work`, for which room is taken, out of the queues if it is being cancelled or has been.
    pub(super) fn catch(&mut self, work: Work) -> Option<Work> {
        let Some(tenant) = self.tenants.get_mut(&work.tenant()).filter(|it| !it.recalls.is_empty()) else {
            return Some(work);
        };
        let is_it = |recall: &Recall| {
            recall.delivery == work.delivery
                && recall.ended_lease.is_none_or(|lease| work.lease_until <= lease)
        };
        let Some(index) = tenant.recalls.iter().position(is_it) else { return Some(work) };
        let hook = work.hook;
        let cancelled = tenant.recalls[index].ended_lease.is_some();
        self.release_room(&work);
        if let Some(tenant) = self.tenants.get_mut(&work.tenant()) {
            match cancelled {
                true => drop(tenant.recalls.swap_remove(index)),
                false => tenant.recalls[index].held.push(work),
            }
        }
        self.forget_if_idle(hook);
        None
    }
}
