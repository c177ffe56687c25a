//! Domain types from and to columns.

use std::fmt::Display;
use std::sync::Arc;

use crate::domain::{
    Delivery, DeliveryId, DeliveryState, Event, EventId, EventKey, EventType, HookId, Lease, LeaseId,
    NodeNumber, OrderingKey, TenantId, TraceContext, Trigger, UnixMillis,
};
use crate::storage::StorageError;

/// A row that cannot be read back.
pub fn damaged(what: &'static str, detail: impl Display) -> StorageError {
    StorageError::Damaged { what, detail: detail.to_string() }
}

/// The row, unless it is damaged: then it is left out and stays on disk. One damaged row must not stop the engine.
pub fn readable<T>(row: Result<T, StorageError>) -> Option<T> {
    let say = |error: &StorageError| {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "a row is damaged: it is left out and stays on disk"
        );
    };
    row.inspect_err(say).ok()
}

/// Reads JSON text of a column. The error does not quote the text, which may have secrets.
pub fn from_json<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StorageError> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            let (line, column) = (error.line(), error.column());
            damaged(what, format_args!("unexpected JSON at line {line} column {column}"))
        }
        _ => damaged(what, error),
    })
}

/// JSON text for a column.
pub fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, StorageError> {
    serde_json::to_string(value).map_err(|error| damaged("JSON", error))
}

/// Makes JSON text for many columns, all in one buffer, so that each text is allocated and copied once.
#[derive(Debug, Default)]
pub struct JsonMaker(Vec<u8>);

impl JsonMaker {
    /// The JSON text of `value`; sqlx binds it without a copy.
    pub fn text<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result<Arc<str>, StorageError> {
        self.0.clear();
        serde_json::to_writer(&mut self.0, value).map_err(|error| damaged("JSON", error))?;
        std::str::from_utf8(&self.0).map(Arc::from).map_err(|error| damaged("JSON", error))
    }
}

/// The number of a state; those below 3 are not final. Statements, partial indexes and databases contain these numbers: they
/// never change.
pub fn state_code(state: DeliveryState) -> i64 {
    match state {
        DeliveryState::Pending => 0,
        DeliveryState::Delivering => 1,
        DeliveryState::Waiting => 2,
        DeliveryState::Succeeded => 3,
        DeliveryState::Exhausted => 4,
        DeliveryState::Dropped => 5,
        DeliveryState::Cancelled => 6,
    }
}

/// The state that a number stands for.
pub fn state_from_code(code: i64) -> Result<DeliveryState, StorageError> {
    let state = DeliveryState::ALL.into_iter().find(|state| state_code(*state) == code);
    state.ok_or_else(|| damaged("delivery", format_args!("there is no state {code}")))
}

/// The number for a trigger.
pub fn trigger_code(trigger: Trigger) -> i64 {
    match trigger {
        Trigger::Event => 0,
        Trigger::Test => 1,
        Trigger::Replay => 2,
    }
}

fn trigger_from_code(code: i64) -> Result<Trigger, StorageError> {
    let trigger = [Trigger::Event, Trigger::Test, Trigger::Replay].into_iter();
    let mut trigger = trigger.filter(|trigger| trigger_code(*trigger) == code);
    trigger.next().ok_or_else(|| damaged("delivery", format_args!("there is no trigger {code}")))
}

/// Id, tenant, hook, event, type, trigger, state, attempts, failures, due time, and owner, id and end of the lease.
pub type DeliveryRow =
    (i64, i64, i64, i64, String, i64, i64, i64, i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

/// A delivery from its row.
pub fn delivery_from_row(row: DeliveryRow) -> Result<Delivery, StorageError> {
    let id = DeliveryId(row.0);
    delivery_of(row).map_err(|error| error.in_row("deliveries", id, id.0))
}

fn delivery_of(row: DeliveryRow) -> Result<Delivery, StorageError> {
    let (
        id,
        tenant,
        hook,
        event,
        event_type,
        trigger,
        state,
        attempts,
        failures,
        due_at,
        owner,
        lease,
        until,
    ) = row;
    let count = |number: i64| u32::try_from(number).map_err(|error| damaged("delivery", error));
    Ok(Delivery {
        id: DeliveryId(id),
        tenant: TenantId(tenant),
        hook: HookId(hook),
        event: EventKey(event),
        event_type: event_type.parse().map_err(|error| damaged("delivery", error))?,
        trigger: trigger_from_code(trigger)?,
        state: state_from_code(state)?,
        attempts: count(attempts)?,
        failures: count(failures)?,
        due_at: due_at.map(UnixMillis),
        lease: lease_from_columns(owner, lease, until)?,
    })
}

fn lease_from_columns(
    owner: Option<i64>,
    id: Option<i64>,
    until: Option<i64>,
) -> Result<Option<Lease>, StorageError> {
    let (Some(owner), Some(id), Some(until)) = (owner, id, until) else { return Ok(None) };
    let owner = u16::try_from(owner).map_err(|error| damaged("delivery", error))?;
    Ok(Some(Lease { owner: NodeNumber(owner), id: LeaseId(id), until: UnixMillis(until) }))
}

/// Key, tenant, external id, project, type, occurrence, data, ordering key and trace of an event.
pub type EventRow =
    (i64, i64, Option<String>, Option<i64>, String, i64, String, Option<String>, Option<String>);

/// The type of the event `key`.
pub fn event_type_of(key: EventKey, text: &str) -> Result<EventType, StorageError> {
    text.parse().map_err(|error| damaged("event", error).in_row("events", key, key.0))
}

/// An event from its row.
pub fn event_from_row(row: EventRow) -> Result<Event, StorageError> {
    let (key, tenant, external_id, project, event_type, occurred_at, data, ordering_key, trace) = row;
    let key = EventKey(key);
    Ok(Event {
        key,
        id: external_id.map_or_else(|| EventId::of_key(key), |text| EventId::from_path(&text)),
        tenant: TenantId(tenant),
        project,
        event_type: event_type_of(key, &event_type)?,
        occurred_at: UnixMillis(occurred_at),
        ordering_key: ordering_key.as_deref().map(OrderingKey::from_stored),
        trace: trace.as_deref().and_then(TraceContext::from_text).map(Box::new),
        data: Arc::from(data),
    })
}
