//! An event on its way in.

use std::sync::Arc;

use crate::domain::{EventId, EventType, OrderingKey, TenantId, TraceContext, UnixMillis};

/// A validated event, as an API received it.
#[derive(Debug, Clone)]
pub struct IncomingEvent {
    /// The tenant that it belongs to.
    pub tenant: TenantId,
    /// The sender's id for it.
    pub id: Option<EventId>,
    /// The request's `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// Its type.
    pub event_type: EventType,
    /// When it happened, according to its sender.
    pub occurred_at: Option<UnixMillis>,
    /// The tenant's project that it belongs to.
    pub project: Option<i64>,
    /// Which deliveries of a hook that asks for it are sent one after the other.
    pub ordering_key: Option<OrderingKey>,
    /// The trace that its deliveries belong to.
    pub trace: Option<Box<TraceContext>>,
    /// Its data as JSON.
    pub data: Arc<str>,
}
