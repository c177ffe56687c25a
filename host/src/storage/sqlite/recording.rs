//! Records of attempts as rows.

use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

use sqlx::Arguments as _;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;

use super::delivery_rows::DeliveryInsert;
use super::ordering;
use super::rowless::RowlessDeliveries;
use super::rows::{
    AttemptRow, KeptBodyRow, RecordRow, RenderedChange, attempt_columns, body_columns, state_code,
};
use super::script::{MultiRow, Script};
use crate::domain::{DeliveryId, HookId, OrderingKey};
use crate::storage::{RenderedRequest, StorageError};

/// Divides rows into parts of at most `most` bytes. A larger row is a part of its own.
pub fn parts(rows: Vec<RecordRow>, most: usize) -> Vec<Vec<RecordRow>> {
    let mut parts = Vec::new();
    let (mut part, mut bytes) = (Vec::new(), 0);
    for row in rows {
        if bytes + row.bytes() > most && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += row.bytes();
        part.push(row);
    }
    parts.push(part);
    parts
}

/// Whether the delivery still has the lease under which the record `r` was made.
macro_rules! has_lease {
    () => {
        "deliveries.state = 1 AND deliveries.lease_id = r.lease_id"
    };
}

// The number of attempts is a fact. The rest counts only under the lease: a cancellation, a retry or a claim after the lease
// ended is not overruled. A success is a fact as well: a cancelled delivery has then succeeded (3 is succeeded, 6 cancelled).
static UPDATE: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "WITH r (id, tenant_id, lease_id, state, attempts, failures, due_at) AS (VALUES";
    let tail = concat!(
        ") UPDATE OR ROLLBACK deliveries SET attempts = max(deliveries.attempts, r.attempts), failures = iif(",
        has_lease!(),
        ", r.failures, deliveries.failures), due_at = iif(",
        has_lease!(),
        ", r.due_at, deliveries.due_at), lease_owner = iif(",
        has_lease!(),
        ", NULL, deliveries.lease_owner), lease_id = iif(",
        has_lease!(),
        ", NULL, deliveries.lease_id), lease_until = iif(",
        has_lease!(),
        ", NULL, deliveries.lease_until), state = iif(",
        has_lease!(),
        ", r.state, iif(deliveries.state = 6 AND r.state = 3, 3, deliveries.state)) \
        FROM r WHERE deliveries.id = r.id AND deliveries.tenant_id = r.tenant_id"
    );
    MultiRow::new(head, "(?,?,?,?,?,?,?)", tail)
});

// An attempt that exists already was recorded by a call whose answer got lost.
static INSERT_ATTEMPTS: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = concat!("INSERT OR ROLLBACK INTO attempts (", attempt_columns!(), ") SELECT * FROM (VALUES");
    MultiRow::new(head, "(?,?,?,?,?,?,?,?,?,?,?)", ") WHERE column1 IS NOT NULL ON CONFLICT (id) DO NOTHING")
});

static INSERT_BODIES: LazyLock<MultiRow> = LazyLock::new(|| {
    let head =
        "INSERT OR ROLLBACK INTO kept_bodies (attempt_id, tenant_id, expires_at, body) SELECT * FROM (VALUES";
    MultiRow::new(head, "(?,?,?,?)", ") WHERE column1 IS NOT NULL ON CONFLICT (attempt_id) DO NOTHING")
});

// This statement and the next one run before the update, which ends the lease that they check.
static STORE_RENDERED: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "WITH r (id, tenant_id, lease_id, method, body_kind, body, hook_updated_at, sealed) \
        AS (VALUES";
    let tail = concat!(
        ") INSERT INTO rendered_requests (delivery_id, method, url, headers, body_kind, body, hook_updated_at, sealed) \
        SELECT r.id, r.method, '', '', r.body_kind, r.body, r.hook_updated_at, r.sealed FROM r CROSS JOIN deliveries \
        WHERE deliveries.id = r.id AND deliveries.tenant_id = r.tenant_id AND ",
        has_lease!(),
        " ON CONFLICT (delivery_id) DO UPDATE SET method = excluded.method, url = excluded.url, \
        headers = excluded.headers, body_kind = excluded.body_kind, body = excluded.body, \
        hook_updated_at = excluded.hook_updated_at, sealed = excluded.sealed"
    );
    MultiRow::new(head, "(?,?,?,?,?,?,?,?)", tail)
});

static REMOVE_RENDERED: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "WITH r (id, tenant_id, lease_id) AS (VALUES";
    let tail = concat!(
        ") DELETE FROM rendered_requests WHERE delivery_id IN (SELECT r.id FROM r CROSS JOIN deliveries \
        WHERE deliveries.id = r.id AND deliveries.tenant_id = r.tenant_id AND ",
        has_lease!(),
        ")"
    );
    MultiRow::new(head, "(?,?,?)", tail)
});

/// What one transaction writes for records.
#[derive(Debug, Default)]
pub struct RecordWrites<'a> {
    /// The rows of deliveries that had none.
    pub rows: Vec<DeliveryInsert>,
    /// The records that change a row.
    changes: Vec<&'a RecordRow>,
    attempts: Vec<&'a AttemptRow>,
    /// The groups that deliveries leave.
    pub groups: BTreeSet<(i64, OrderingKey)>,
    kept_bodies: Vec<&'a KeptBodyRow>,
}

impl<'a> RecordWrites<'a> {
    /// A record that ends a delivery without a row becomes that row. Otherwise the row is written as it would be without a
    /// record, and then changed as any other. Also returns the deliveries that get a row.
    pub fn new(
        records: impl Iterator<Item = &'a RecordRow>,
        rowless: &RowlessDeliveries,
        deleted_hooks: &HashSet<HookId>,
    ) -> (Self, HashSet<DeliveryId>) {
        let (mut writes, mut written) = (Self::default(), HashSet::new());
        for record in records {
            writes.attempts.extend(&record.attempt);
            writes.groups.extend(record.leaves.iter().map(|left| ordering::key_of(&left.group)));
            writes.kept_bodies.extend(&record.kept_body);
            let delivery = rowless.get(record.delivery).filter(|_| written.insert(record.delivery));
            let Some(delivery) = delivery else {
                writes.changes.push(record);
                continue;
            };
            let mut row = delivery.first_row(record.delivery, deleted_hooks);
            let is_of_lease = row.lease.is_some_and(|lease| lease.id == record.lease);
            if is_of_lease && delivery.event.tenant.0 == record.tenant && record.state.is_final() {
                let RecordRow { state, attempts, failures, .. } = *record;
                row = DeliveryInsert { state, attempts, failures, lease: None, ..row };
            } else {
                writes.changes.push(record);
            }
            writes.rows.push(row);
        }
        // In the order of the table, as the rows of deliveries.
        writes.attempts.sort_unstable_by_key(|attempt| attempt.id);
        (writes, written)
    }

    /// Adds the changes of rows, in order, all attempts and the bodies that are kept to `script`. The new rows must be in it
    /// already.
    pub fn write_changes(&self, script: &mut Script) -> Result<(), StorageError> {
        let mut changes = self.changes.as_slice();
        while !changes.is_empty() {
            let (distinct, rest) = changes.split_at(distinct_prefix(changes));
            change_distinct(script, distinct)?;
            changes = rest;
        }
        script.push_rows(&INSERT_ATTEMPTS, &self.attempts, bind_attempt)?;
        Ok(script.push_rows(&INSERT_BODIES, &self.kept_bodies, bind_kept_body)?)
    }
}

/// How many records, from the first on, are of different deliveries: an `UPDATE … FROM` with two rows for one delivery
/// would apply either.
fn distinct_prefix(records: &[&RecordRow]) -> usize {
    let mut seen = HashSet::with_capacity(records.len());
    records.iter().position(|record| !seen.insert(record.delivery)).unwrap_or(records.len())
}

fn change_distinct(script: &mut Script, records: &[&RecordRow]) -> Result<(), StorageError> {
    let kept = |record: &&&RecordRow| matches!(record.rendered, RenderedChange::Store { .. });
    let kept: Vec<&RecordRow> = records.iter().filter(kept).copied().collect();
    script.push_rows(&STORE_RENDERED, &kept, bind_rendered)?;
    let removed = |record: &&&RecordRow| matches!(record.rendered, RenderedChange::Remove);
    let removed: Vec<&RecordRow> = records.iter().filter(removed).copied().collect();
    script.push_rows(&REMOVE_RENDERED, &removed, bind_lease)?;
    ordering::leave(script, records)?;
    Ok(script.push_rows(&UPDATE, records, bind_update)?)
}

fn bind_lease(record: &&RecordRow, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    to.add(record.delivery.0)?;
    to.add(record.tenant)?;
    to.add(record.lease.0)
}

fn bind_update(record: &&RecordRow, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    bind_lease(record, to)?;
    to.add(state_code(record.state))?;
    to.add(record.attempts)?;
    to.add(record.failures)?;
    to.add(record.due_at)
}

fn bind_attempt(row: &&AttemptRow, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    to.add(row.id)?;
    to.add(row.delivery)?;
    to.add(row.number)?;
    to.add(row.started_at)?;
    to.add(row.duration_ns)?;
    // Texts by value: sqlx copies a text that is bound by reference.
    to.add(row.outcome.clone())?;
    to.add(row.status)?;
    to.add(row.detail.clone())?;
    to.add(row.body.as_deref())?;
    to.add(row.steps.clone())?;
    to.add(row.request.clone())
}

fn bind_kept_body(row: &&KeptBodyRow, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    to.add(row.attempt)?;
    to.add(row.tenant)?;
    to.add(row.body.until.0)?;
    to.add(row.body.bytes())
}

fn bind_rendered(record: &&RecordRow, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    let RenderedChange::Store { rendered: RenderedRequest { request, hook_updated_at }, sealed } =
        &record.rendered
    else {
        return Err("a record without a request".into());
    };
    let (body_kind, body) = body_columns(&request.body);
    bind_lease(record, to)?;
    to.add(request.method.as_str())?;
    to.add(body_kind)?;
    to.add(body)?;
    to.add(hook_updated_at.0)?;
    to.add(sealed.as_slice())
}
