//! Arguments and results of the stores that are not domain types.

use std::sync::Arc;

use crate::domain::kept_body::KeptBody;
use crate::domain::{
    Attempt, Delivery, DeliveryId, DeliveryState, Event, EventId, EventKey, EventType, HookId, Lease,
    LeaseId, OrderingGroup, OrderingKey, Pipeline, Request, TenantId, Trigger, UnixMillis,
};

/// An event to store, with its deliveries.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// The event.
    pub event: Arc<Event>,
    /// SHA-256 of type, project, occurrence time as sent, and data. Two requests with the same id are the same event if this
    /// is equal.
    pub content: [u8; 32],
    /// The request's `Idempotency-Key`, at most 255 bytes.
    pub idempotency_key: Option<String>,
    /// Its deliveries.
    pub deliveries: Vec<NewDelivery>,
}

/// A delivery to store.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// For which hook.
    pub hook: HookId,
    /// What created it.
    pub trigger: Trigger,
    /// When its lease ends, if it is leased at once to this process, which keeps it in memory. `None`: it is stored as
    /// pending, and claimed later.
    pub lease_until: Option<UnixMillis>,
    /// When it is due, if it is not leased. The time in its id differs after the clock was set back.
    pub due_at: UnixMillis,
    /// In whose order it is, if it is in one. Then it is not leased, and due once all before it have left the order.
    pub ordering_key: Option<OrderingKey>,
}

/// The result of an acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is on disk.
    Stored,
    /// The same event was accepted before (or earlier in the same call).
    Duplicate {
        /// The key of the first.
        key: EventKey,
        /// The id of the first.
        id: EventId,
        /// How many deliveries the first has.
        deliveries: u32,
    },
    /// Another event has this id or this idempotency key. Nothing of the call was stored.
    Conflict(ConflictOn),
}

/// What two different events must not share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictOn {
    /// The event's id.
    Id,
    /// The idempotency key.
    IdempotencyKey,
}

/// A hook which has deliveries that are not final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Which hook.
    pub hook: HookId,
    /// When the first of them is due, or its lease ends.
    pub first_due_at: UnixMillis,
}

/// A leased delivery with all that an attempt needs.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The delivery, in state `delivering`.
    pub delivery: Delivery,
    /// Its event.
    pub event: Arc<Event>,
    /// The unsigned request that an earlier attempt rendered.
    pub rendered: Option<RenderedRequest>,
    /// The key under which it is in the order of its hook, if it is.
    pub ordering_key: Option<OrderingKey>,
    /// The pipeline that the replay has which made it, instead of the hook's.
    pub pipeline: Option<Arc<Pipeline>>,
}

/// How much to lease of one hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookClaim {
    /// Which hook.
    pub hook: HookId,
    /// Whose.
    pub tenant: TenantId,
    /// How many deliveries at most.
    pub limit: u32,
    /// How many bytes all hooks of this tenant take at most in this claim; a first delivery is taken
    /// however large it is.
    pub tenant_bytes: u64,
}

/// The deliveries that a claim leased of one hook.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// The deliveries, oldest due first.
    pub claimed: Vec<Claimed>,
    /// Other deliveries of this hook were due as well.
    pub more: bool,
}

/// The result of a leased delivery.
#[derive(Debug, Clone)]
pub struct Record {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// Whose.
    pub tenant: TenantId,
    /// The lease under which the attempt was made. A record of another lease changes only the number of attempts.
    pub lease: LeaseId,
    /// The new state; never `delivering`.
    pub state: DeliveryState,
    /// Number of attempts so far.
    pub attempts: u32,
    /// Its position in the retry schedule.
    pub failures: u32,
    /// When it is due next; `None` if `state` is final.
    pub due_at: Option<UnixMillis>,
    /// The attempt; `None` if the lease is only released.
    pub attempt: Option<Attempt>,
    /// What to do with the rendered request.
    pub rendered: Rendered,
    /// What the delivery leaves, if it was in order: the next of the group is due.
    pub leaves: Option<LeftGroup>,
    /// The body that the attempt sent, if its hook has it kept.
    pub kept_body: Option<Box<KeptBody>>,
}

/// A group of deliveries that one of them leaves: it is final, or those behind it need not wait any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftGroup {
    /// The group.
    pub group: OrderingGroup,
    /// When the next one is due.
    pub at: UnixMillis,
}

/// A request that an attempt rendered, unsigned.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedRequest {
    /// The request.
    pub request: Request,
    /// When the hook was last changed before it rendered the request. The request is sent again only for that state of the
    /// hook.
    pub hook_updated_at: UnixMillis,
}

/// What to do with the rendered request that retries send again.
#[derive(Debug, Clone)]
pub enum Rendered {
    /// Store this one: the first attempt failed.
    Store(RenderedRequest),
    /// Leave it as it is.
    Keep,
    /// Remove it: the delivery is final.
    Remove,
}

/// The result of a request to change a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It is changed; the delivery as it is now.
    Done(Delivery),
    /// Its state does not allow the change.
    Refused(DeliveryState),
    /// The content of its event was erased: there is nothing to send.
    Erased(EventKey),
}

impl Changed {
    /// `delivery` is due at `now`, from the start of its schedule.
    #[must_use]
    pub fn retried(delivery: Delivery, now: UnixMillis) -> Self {
        Self::Done(Delivery { state: DeliveryState::Pending, failures: 0, due_at: Some(now), ..delivery })
    }
}

/// The result of a request to cancel a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// It is cancelled.
    Done {
        /// The delivery as it is now.
        delivery: Delivery,
        /// The lease that ended with it, if it was leased.
        lease: Option<Lease>,
    },
    /// It is final already.
    Refused(DeliveryState),
}

impl Cancelled {
    /// `delivery` is cancelled, and its lease has ended.
    #[must_use]
    pub fn done(delivery: Delivery) -> Self {
        let lease = delivery.lease;
        let delivery = Delivery { state: DeliveryState::Cancelled, due_at: None, lease: None, ..delivery };
        Self::Done { delivery, lease }
    }
}

/// Whether an event of this type and this project is wanted.
pub type WantedEvent<'a> = dyn Fn(&EventType, Option<i64>) -> bool + Send + Sync + 'a;
