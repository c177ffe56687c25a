//! How rows of deliveries begin, and are inserted.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use sqlx::Arguments as _;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;

use super::batch::{MultiRow, Script};
use super::rows;
use crate::domain::{DeliveryId, DeliveryState, Event, HookId, Trigger, UnixMillis};
use crate::storage::{NewDelivery, StorageError};

// One that is there already was written by a commit that was believed to have failed.
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
    pub attempts: u32,
    pub failures: u32,
}

impl DeliveryInsert {
    /// How a delivery begins: leased, or due, or called off because its hook is gone by now.
    pub fn first(new: &NewDelivery, event: &Arc<Event>, deleted_hooks: &HashSet<HookId>) -> Self {
        let (state, due_at) = match new.lease_until {
            _ if deleted_hooks.contains(&new.hook) => (DeliveryState::Cancelled, None),
            Some(lease_until) => (DeliveryState::Delivering, Some(lease_until)),
            None => (DeliveryState::Pending, Some(new.due_at)),
        };
        Self {
            id: new.id,
            event: Arc::clone(event),
            hook: new.hook,
            trigger: new.trigger,
            state,
            due_at,
            attempts: 0,
            failures: 0,
        }
    }
}

/// Adds rows of deliveries to `script`.
pub fn write(script: &mut Script, rows: &[DeliveryInsert]) -> Result<(), StorageError> {
    Ok(script.push_rows(&INSERT, rows, bind)?)
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
