//! New rows of deliveries.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use sqlx::Arguments as _;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;

use super::ordering::waiting_ms;
use super::rows;
use super::script::{MultiRow, Script};
use crate::domain::{DeliveryId, DeliveryState, Event, HookId, Lease, OrderingKey, Trigger, UnixMillis};
use crate::storage::{NewDelivery, StorageError};

// A row that exists already was written by a commit that seemed to have failed.
static INSERT: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "INSERT OR ROLLBACK INTO deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, \
        state, due_at, attempts, failures) SELECT * FROM (VALUES";
    MultiRow::new(head, "(?,?,?,?,?,?,?,?,?,?)", ") WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING")
});

/// The row of a delivery.
#[derive(Debug)]
pub struct DeliveryInsert {
    pub id: DeliveryId,
    pub event: Arc<Event>,
    pub hook: HookId,
    pub trigger: Trigger,
    pub state: DeliveryState,
    pub due_at: Option<UnixMillis>,
    pub lease: Option<Lease>,
    pub attempts: u32,
    pub failures: u32,
    /// If it is in order: its key, and its number in the order. It waits until it is the first.
    pub order: Option<(OrderingKey, i64)>,
}

impl DeliveryInsert {
    /// The first row of a delivery: leased, or due, or cancelled because its hook was deleted meanwhile.
    pub fn first(new: &NewDelivery, event: &Arc<Event>, deleted_hooks: &HashSet<HookId>) -> Self {
        let lease = new.lease_until.map(|until| Lease::of_stored(new.id, until));
        let (state, due_at, lease) = match lease {
            _ if deleted_hooks.contains(&new.hook) => (DeliveryState::Cancelled, None, None),
            Some(lease) => (DeliveryState::Delivering, None, Some(lease)),
            None => (DeliveryState::Pending, Some(new.due_at), None),
        };
        Self {
            id: new.id,
            event: Arc::clone(event),
            hook: new.hook,
            trigger: new.trigger,
            state,
            due_at,
            lease,
            attempts: 0,
            failures: 0,
            order: None,
        }
    }

    /// The same at the end of its group, with the number `seq`, unless it is final.
    pub fn in_order(self, key: &OrderingKey, seq: i64) -> Self {
        let order = (self.state == DeliveryState::Pending).then(|| (key.clone(), seq));
        Self { order, ..self }
    }
}

// A statement of its own: most rows are in no order.
static INSERT_IN_ORDER: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "INSERT OR ROLLBACK INTO deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, \
        state, due_at, attempts, failures, ordering_key, ordering_seq, ordering_waits) SELECT column1, column2, column3, \
        column4, column5, column6, column7, column8 + ";
    let head = format!("{head}{}, column9, column10, column11, column12, 1 FROM (VALUES", waiting_ms!());
    MultiRow::new(&head, "(?,?,?,?,?,?,?,?,?,?,?,?)", ") WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING")
});

// A statement of its own: most rows are written in a final state and have no lease to bind.
static INSERT_LEASED: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "INSERT OR ROLLBACK INTO deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, \
        state, due_at, attempts, failures, lease_owner, lease_id, lease_until) SELECT * FROM (VALUES";
    MultiRow::new(head, "(?,?,?,?,?,?,?,?,?,?,?,?,?)", ") WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING")
});

/// Adds rows of deliveries to `script`.
pub fn write(script: &mut Script, rows: &[DeliveryInsert]) -> Result<(), StorageError> {
    if !rows.iter().any(|row| row.lease.is_some() || row.order.is_some()) {
        return Ok(script.push_rows(&INSERT, rows, bind)?);
    }
    let (in_order, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.order.is_some());
    let (leased, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|row| row.lease.is_some());
    script.push_rows(&INSERT, &others, |row, to| bind(row, to))?;
    script.push_rows(&INSERT_LEASED, &leased, bind_leased)?;
    Ok(script.push_rows(&INSERT_IN_ORDER, &in_order, bind_in_order)?)
}

fn bind_in_order(row: &&DeliveryInsert, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    bind(row, to)?;
    to.add(row.order.as_ref().map(|(key, _)| key.as_str().to_owned()))?;
    to.add(row.order.as_ref().map(|(_, seq)| *seq))
}

fn bind_leased(row: &&DeliveryInsert, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    bind(row, to)?;
    to.add(row.lease.map(|lease| lease.owner.0))?;
    to.add(row.lease.map(|lease| lease.id.0))?;
    to.add(row.lease.map(|lease| lease.until.0))
}

fn bind(row: &DeliveryInsert, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    to.add(row.event.tenant.0)?;
    to.add(row.id.0)?;
    to.add(row.hook.0)?;
    to.add(row.event.key.0)?;
    to.add(row.event.event_type.shared())?;
    to.add(rows::trigger_code(row.trigger))?;
    to.add(rows::state_code(row.state))?;
    to.add(row.due_at.map(|time| time.0))?;
    to.add(row.attempts)?;
    to.add(row.failures)
}
