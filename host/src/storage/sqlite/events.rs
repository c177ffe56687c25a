//! Events.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use sqlx::Arguments as _;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;

use super::batch::{MultiRow, Script};
use super::dedup::{self, Seen};
use super::rows::{self, EventRow, event_from_row};
use super::{Shared, writer};
use crate::domain::{DeliveryState, Event, EventId, HookId, TenantId};
use crate::storage::{Acceptance, Accepted, EventStore, NewDelivery, StorageError};

#[async_trait]
impl EventStore for Shared {
    async fn accept(&self, batch: Vec<Acceptance>) -> Result<Vec<Accepted>, StorageError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.commit(writer::Message::Accept, batch).await
    }

    async fn event(&self, tenant: TenantId, id: &EventId) -> Result<Option<Event>, StorageError> {
        // The engine's key finds an event with a sender's id, too: it is what deliveries hold.
        let query = match id.as_key() {
            Some(key) => sqlx::query_as(
                "SELECT key, tenant_id, external_id, project, event_type, occurred_at, data \
                 FROM events WHERE key = ? AND tenant_id = ?",
            )
            .bind(key.0)
            .bind(tenant.0),
            None => sqlx::query_as(
                "SELECT key, tenant_id, external_id, project, event_type, occurred_at, data \
                 FROM events WHERE external_id = ? AND tenant_id = ?",
            )
            .bind(id.as_str())
            .bind(tenant.0),
        };
        let row: Option<EventRow> = query.fetch_optional(&self.readers).await.map_err(rows::read_error)?;
        row.map(event_from_row).transpose()
    }
}

static INSERT_EVENTS: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "INSERT INTO events (key, tenant_id, external_id, idempotency_key, content, project, \
        event_type, occurred_at, delivery_count, data) SELECT * FROM (VALUES";
    MultiRow::new(head, "(?,?,?,?,?,?,?,?,?,?)", ") WHERE column1 IS NOT NULL")
});

static INSERT_DELIVERIES: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "INSERT INTO deliveries (id, tenant_id, hook_id, event_key, event_type, made_by, \
        state, due_at, attempts, failures) SELECT *, 0, 0 FROM (VALUES";
    MultiRow::new(head, "(?,?,?,?,?,?,?,?)", ") WHERE column1 IS NOT NULL")
});

/// A delivery with its event and the state in which it begins.
struct DeliveryInsert<'a> {
    event: &'a Arc<Event>,
    delivery: &'a NewDelivery,
    state: DeliveryState,
}

/// Adds the events of all `calls` that have no conflict to `script`. One list of answers for each call.
pub fn store(
    script: &mut Script,
    mut seen: Seen,
    calls: &[&[Acceptance]],
    deleted_hooks: &HashSet<HookId>,
) -> Result<Vec<Vec<Accepted>>, StorageError> {
    let mut answers = Vec::with_capacity(calls.len());
    let mut events = Vec::new();
    let mut deliveries = Vec::new();
    for call in calls {
        let answer = seen.decide(call);
        if !dedup::has_conflict(&answer) {
            let new = call.iter().zip(&answer).filter(|(_, answer)| **answer == Accepted::Stored);
            for (acceptance, _) in new {
                events.push(acceptance);
                deliveries.extend(acceptance.deliveries.iter().map(|delivery| {
                    let state = first_state(delivery, deleted_hooks);
                    DeliveryInsert { event: &acceptance.event, delivery, state }
                }));
            }
        }
        answers.push(answer);
    }
    script.push_rows(&INSERT_EVENTS, &events, bind_event)?;
    script.push_rows(&INSERT_DELIVERIES, &deliveries, bind_delivery)?;
    Ok(answers)
}

fn first_state(delivery: &NewDelivery, deleted_hooks: &HashSet<HookId>) -> DeliveryState {
    match delivery.lease_until {
        _ if deleted_hooks.contains(&delivery.hook) => DeliveryState::Cancelled,
        Some(_) => DeliveryState::Delivering,
        None => DeliveryState::Pending,
    }
}

fn bind_event(acceptance: &&Acceptance, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    let event = &acceptance.event;
    let external_id = dedup::external_id(acceptance);
    let compared = external_id.is_some() || acceptance.idempotency_key.is_some();
    to.add(event.key.0)?;
    to.add(event.tenant.0)?;
    to.add(external_id)?;
    to.add(acceptance.idempotency_key.as_deref())?;
    to.add(compared.then_some(acceptance.content.as_slice()))?;
    to.add(event.project)?;
    to.add(event.event_type.as_str())?;
    to.add(event.occurred_at.0)?;
    to.add(i64::try_from(acceptance.deliveries.len())?)?;
    to.add(Arc::clone(&event.data))
}

fn bind_delivery(row: &DeliveryInsert<'_>, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    let DeliveryInsert { event, delivery, state } = row;
    let due_at = delivery.lease_until.unwrap_or(delivery.due_at);
    to.add(delivery.id.0)?;
    to.add(event.tenant.0)?;
    to.add(delivery.hook.0)?;
    to.add(event.key.0)?;
    to.add(event.event_type.as_str())?;
    to.add(rows::trigger_code(delivery.trigger))?;
    to.add(rows::state_code(*state))?;
    to.add((!state.is_final()).then_some(due_at.0))
}
