//! What goes into storage and comes out of it, where that is more than a domain type.

use std::sync::Arc;

use crate::domain::{
    Attempt, Delivery, DeliveryId, DeliveryState, Event, EventId, EventKey, HookId, LeaseId, Request,
    TenantId, Trigger, UnixMillis,
};

/// An event to store, with the deliveries that it makes.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// The event.
    pub event: Arc<Event>,
    /// SHA-256 of type, project, occurrence time as sent, and data: two posts with the same id are the same event if this is the same.
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
    /// What made it.
    pub trigger: Trigger,
    /// Until when it is leased to this process, which then has it in memory; `None`: it is stored
    /// as pending, and claimed from disk.
    pub lease_until: Option<UnixMillis>,
    /// When it is due, where it is not leased. Not the time in its id, which runs ahead of a clock that
    /// was set back.
    pub due_at: UnixMillis,
}

/// What came of an acceptance.
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
        /// How many deliveries the first made.
        deliveries: u32,
    },
    /// Another event has this id, or came with this idempotency key. Nothing of the call was stored.
    Conflict(ConflictOn),
}

/// What two different events have in common that they must not.
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
    /// When the first of them is due; for one that is leased, when its lease ends.
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

/// What a claim took of one hook.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// The deliveries, oldest due first.
    pub claimed: Vec<Claimed>,
    /// Something else of this hook was due as well.
    pub more: bool,
}

/// What came of a leased delivery.
#[derive(Debug, Clone)]
pub struct Record {
    /// Which.
    pub delivery: DeliveryId,
    /// Whose.
    pub tenant: TenantId,
    /// The lease under which it was made; a record of another lease changes nothing but the count of attempts.
    pub lease: LeaseId,
    /// Its state from now on; never `delivering`.
    pub state: DeliveryState,
    /// How many attempts there have been.
    pub attempts: u32,
    /// Its place in the retry schedule.
    pub failures: u32,
    /// When it is due next; `None` if `state` is final.
    pub due_at: Option<UnixMillis>,
    /// The attempt, if there was one; none where a lease is only given back.
    pub attempt: Option<Attempt>,
    /// What becomes of the rendered request.
    pub rendered: Rendered,
}

/// A request that an attempt rendered, unsigned.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedRequest {
    /// The request.
    pub request: Request,
    /// When the hook that rendered it was last changed. It is sent again only for the hook as it was then.
    pub hook_updated_at: UnixMillis,
}

/// What becomes of the rendered request that retries send again.
#[derive(Debug, Clone)]
pub enum Rendered {
    /// Store this one: the first attempt failed.
    Store(RenderedRequest),
    /// Leave what is stored, or not stored, as it is.
    Keep,
    /// Remove it: the delivery is final.
    Remove,
}

/// What became of a request to change a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It is done; the delivery as it stands now.
    Done(Delivery),
    /// It stands in a state in which that cannot be done.
    Refused(DeliveryState),
}

/// What became of a request to cancel a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// It is cancelled.
    Done {
        /// As it stands now.
        delivery: Delivery,
        /// Until when it would have been leased, if it was.
        lease: Option<UnixMillis>,
    },
    /// It is final already.
    Refused(DeliveryState),
}
