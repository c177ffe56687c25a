//! Takes deliveries out of memory before they are cancelled.
//!
//! Only memory knows whether an attempt of a leased delivery is in progress, so a cancellation begins here: the delivery is
//! taken out of its queue, and queued again if it is not cancelled after all. A delivery may also be on its way into memory,
//! between its commit and its push. When it arrives, it is recognized by the lease that the cancellation ended.

use std::time::Instant;

use super::queue::FairQueue;
use super::withdrawal::{Arrival, NotRecalled, RecallEnd};
use crate::delivery::work::Work;
use crate::domain::{DeliveryId, HookId, TenantId, UnixMillis};

impl FairQueue {
    /// Takes a delivery of `hook` out of its queue until [`Self::end_recall`]. Returns the ticket to end it with.
    pub(in crate::delivery) fn recall(
        &mut self,
        delivery: DeliveryId,
        (tenant, hook): (TenantId, HookId),
        now: UnixMillis,
    ) -> Result<u64, NotRecalled> {
        if self.is_attempted(delivery) {
            return Err(NotRecalled::AttemptInProgress);
        }
        self.tenants.entry(tenant).or_default().withdrawals.make_room(now)?;
        // There are several if a lease ended while the delivery was queued, so that it was claimed again.
        let held = self.hooks.get_mut(&hook).map(|queue| queue.remove(delivery)).unwrap_or_default();
        held.iter().for_each(|work| self.release(work));
        self.tickets += 1;
        self.tenants.entry(tenant).or_default().withdrawals.begin(self.tickets, delivery, held);
        Ok(self.tickets)
    }

    /// Ends what [`Self::recall`] began. Returns whether a hook has more on disk and there is room for it now.
    pub(in crate::delivery) fn end_recall(
        &mut self,
        (tenant, ticket): (TenantId, u64),
        end: RecallEnd,
        now: Instant,
    ) -> bool {
        let ended = self.tenants.get_mut(&tenant).and_then(|tenant| tenant.withdrawals.end(ticket, end));
        let Some((cancelled, stays)) = ended else { return false };
        for work in stays {
            self.take(&work);
            self.push(work, now);
        }
        let mut wants_more = false;
        for work in cancelled {
            wants_more |= self.wants_more(work.hook);
            self.forget_if_idle(work.hook);
        }
        self.forget_tenant_if_idle(tenant);
        wants_more
    }

    /// Returns `work`, for which room is taken, unless it is being cancelled or has been cancelled.
    pub(super) fn admit(&mut self, work: Work) -> Option<Work> {
        let tenant = self.tenants.get_mut(&work.tenant()).filter(|tenant| !tenant.withdrawals.is_empty());
        let Some(tenant) = tenant else { return Some(work) };
        let (hook, weight, id) = (work.hook, work.weight(), work.tenant());
        if let Arrival::Queue(work) = tenant.withdrawals.arrive(work) {
            return Some(work);
        }
        self.release_of(hook, id, weight);
        self.forget_if_idle(hook);
        None
    }
}
