//! New rows of deliveries.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use sqlx::Arguments as _;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;

use super::rows;
use super::script::{MultiRow, Script};
use crate::domain::{DeliveryId, DeliveryState, Event, HookId, Lease, Trigger, UnixMillis};
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
        }
    }
}

// A statement of its own: most rows are written in a final state and have no lease to bind.
static INSERT_LEASED: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "INSERT OR ROLLBACK INTO deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, \
        state, due_at, attempts, failures, lease_owner, lease_id, lease_until) SELECT * FROM (VALUES";
    MultiRow::new(head, "(?,?,?,?,?,?,?,?,?,?,?,?,?)", ") WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING")
});

/// Adds rows of deliveries to `script`.
pub fn write(script: &mut Script, rows: &[DeliveryInsert]) -> Result<(), StorageError> {
    let is_leased = |row: &&DeliveryInsert| row.lease.is_some();
    if !rows.iter().any(|row| row.lease.is_some()) {
        return Ok(script.push_rows(&INSERT, rows, bind)?);
    }
    let (leased, others): (Vec<_>, Vec<_>) = rows.iter().partition(is_leased);
    script.push_rows(&INSERT, &others, |row, to| bind(row, to))?;
    Ok(script.push_rows(&INSERT_LEASED, &leased, bind_leased)?)
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
