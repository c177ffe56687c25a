//! A leased delivery in memory.

use std::sync::Arc;

use crate::domain::{
    Delivery, DeliveryId, Event, Hook, HookId, Lease, LeaseId, OrderingGroup, OrderingKey, Pipeline,
    TenantId, Trigger, UnixMillis,
};
use crate::storage::{Claimed, LeftGroup, RenderedRequest, Term};

/// The end of the lease of what goes back to the disk.
const ENDED: UnixMillis = UnixMillis(i64::MIN);

/// A leased delivery with everything that an attempt needs.
#[derive(Debug, Clone)]
pub struct Work {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// For which hook.
    pub hook: HookId,
    /// Its event.
    pub event: Arc<Event>,
    /// Why it was created.
    pub trigger: Trigger,
    /// How many attempts there have been.
    pub attempts: u32,
    /// How many attempts have failed since the start of the retry schedule.
    pub failures: u32,
    /// The request that an earlier attempt rendered.
    pub rendered: Option<RenderedRequest>,
    /// The term of this node's membership in which it came into memory.
    pub term: Term,
    /// When the lease ends.
    pub lease_until: UnixMillis,
    /// Under which lease it is attempted.
    pub lease: LeaseId,
    /// The key under which it is in the order of its hook, if it is.
    pub ordering_key: Option<OrderingKey>,
    /// The pipeline that the replay has which made it, instead of the hook's.
    pub pipeline: Option<Arc<Pipeline>>,
}

impl Work {
    /// A new delivery, without a lease.
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
            term: Term::FIRST,
            lease_until: UnixMillis(0),
            lease: LeaseId::of_stored(delivery),
            ordering_key: None,
            pipeline: None,
        }
    }

    /// A delivery that was claimed from disk under `lease`, in `term`.
    #[must_use]
    pub fn claimed(claimed: Claimed, lease: Lease, term: Term) -> Self {
        let Claimed { delivery, event, rendered, ordering_key, pipeline } = claimed;
        let Delivery { id, hook, trigger, attempts, failures, .. } = delivery;
        Self {
            delivery: id,
            hook,
            event,
            trigger,
            attempts,
            failures,
            rendered,
            term,
            lease_until: lease.until,
            lease: lease.id,
            ordering_key,
            pipeline,
        }
    }

    /// The hook with the pipeline of the replay that made this delivery, if that has one.
    pub(super) fn replaying(&self, hook: &Hook) -> Option<Arc<Hook>> {
        let pipeline = self.pipeline.as_deref()?;
        Some(Arc::new(Hook { pipeline: pipeline.clone(), ..hook.clone() }))
    }

    /// Whether this is the lease with which the delivery was stored.
    #[must_use]
    pub fn is_under_stored_lease(&self) -> bool {
        self.lease == LeaseId::of_stored(self.delivery)
    }

    /// It is not sent, but goes back to the disk: when it starts, its lease counts as ended.
    pub(super) fn give_back(&mut self) {
        self.lease_until = ENDED;
    }

    /// Whether [`Self::give_back`] was called.
    pub(super) fn goes_back(&self) -> bool {
        self.lease_until == ENDED
    }

    /// What it leaves once it is final, if it is in order. The next one is due at `at` then.
    pub(super) fn group_left(&self, at: UnixMillis) -> Option<LeftGroup> {
        let key = self.ordering_key.clone()?;
        Some(LeftGroup { group: OrderingGroup { hook: self.hook, key }, at })
    }

    pub(super) fn tenant(&self) -> TenantId {
        self.event.tenant
    }

    /// About how much memory it uses, in bytes. Deliveries of one event share its data, which is counted for each of them.
    pub(super) fn weight(&self) -> usize {
        let rendered = self.rendered.as_ref().map_or(0, |it| it.request.body.as_bytes().len() + 1024);
        256 + self.event.data.len() + rendered
    }
}
