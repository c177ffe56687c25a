//! Writing what came of deliveries.

use std::collections::HashSet;
use std::sync::LazyLock;

use sqlx::Arguments as _;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;

use super::attempt_rows::AttemptRow;
use super::batch::{MultiRow, Script, json_ids};
use super::rows::{body_columns, state_code, to_json};
use crate::domain::{DeliveryId, DeliveryState, RequestBody};
use crate::storage::{Record, Rendered, StorageError};

/// A record ready to be written: JSON is made by the caller, since the writer is there only once.
#[derive(Debug)]
pub struct RecordRow {
    delivery: DeliveryId,
    tenant: i64,
    state: DeliveryState,
    attempts: u32,
    failures: u32,
    due_at: Option<i64>,
    attempt: Option<AttemptRow>,
    rendered: RenderedChange,
}

#[derive(Debug)]
enum RenderedChange {
    Store { method: String, url: String, headers: String, body: RequestBody },
    Keep,
    Remove,
}

impl RecordRow {
    /// The columns of `record`.
    pub fn new(record: Record) -> Result<Self, StorageError> {
        let rendered = match record.rendered {
            Rendered::Store(request) => RenderedChange::Store {
                method: request.method,
                url: request.url,
                headers: to_json(&request.headers)?,
                body: request.body,
            },
            Rendered::Keep => RenderedChange::Keep,
            // The first attempt finds nothing stored, so that most deliveries never touch that table.
            Rendered::Remove if record.attempts <= 1 => RenderedChange::Keep,
            Rendered::Remove => RenderedChange::Remove,
        };
        Ok(Self {
            delivery: record.delivery,
            tenant: record.tenant.0,
            state: record.state,
            attempts: record.attempts,
            failures: record.failures,
            due_at: record.due_at.map(|time| time.0),
            attempt: record.attempt.map(AttemptRow::new).transpose()?,
            rendered,
        })
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let rendered = match &self.rendered {
            RenderedChange::Store { url, headers, body, .. } => {
                url.len() + headers.len() + body.as_bytes().len()
            }
            RenderedChange::Keep | RenderedChange::Remove => 0,
        };
        rendered + self.attempt.as_ref().map_or(0, AttemptRow::bytes)
    }
}

// The count of attempts is a fact; all else is the decision of someone who had the lease. So whoever
// cancelled or retried the delivery meanwhile is not overruled.
static UPDATE: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "WITH r (id, tenant_id, state, attempts, failures, due_at) AS (VALUES";
    let tail = ") UPDATE deliveries SET attempts = max(deliveries.attempts, r.attempts), \
        failures = iif(deliveries.state = 1, r.failures, deliveries.failures), \
        due_at = iif(deliveries.state = 1, r.due_at, deliveries.due_at), \
        state = iif(deliveries.state = 1, r.state, deliveries.state) \
        FROM r WHERE deliveries.id = r.id AND deliveries.tenant_id = r.tenant_id";
    MultiRow::new(head, "(?,?,?,?,?,?)", tail)
});

// An attempt that is there already was recorded by a call whose answer got lost.
static INSERT_ATTEMPTS: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "INSERT INTO attempts (id, delivery_id, number, started_at, duration_ns, outcome, status, detail, \
        body, steps, request) SELECT * FROM (VALUES";
    MultiRow::new(head, "(?,?,?,?,?,?,?,?,?,?,?)", ") WHERE column1 IS NOT NULL ON CONFLICT (id) DO NOTHING")
});

// After the update: one that is final, because it was cancelled meanwhile, keeps no request.
static STORE_RENDERED: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "WITH r (delivery_id, method, url, headers, body_kind, body) AS (VALUES";
    let tail = ") INSERT INTO rendered_requests (delivery_id, method, url, headers, body_kind, body) \
        SELECT r.delivery_id, r.method, r.url, r.headers, r.body_kind, r.body \
        FROM r CROSS JOIN deliveries d WHERE d.id = r.delivery_id AND d.state < 3 \
        ON CONFLICT (delivery_id) DO UPDATE SET method = excluded.method, url = excluded.url, \
        headers = excluded.headers, body_kind = excluded.body_kind, body = excluded.body";
    MultiRow::new(head, "(?,?,?,?,?,?)", tail)
});

/// Adds all `records` to `script`, in order.
pub fn store(script: &mut Script, mut records: &[&RecordRow]) -> Result<(), StorageError> {
    while !records.is_empty() {
        let (distinct, rest) = records.split_at(distinct_prefix(records));
        store_distinct(script, distinct)?;
        records = rest;
    }
    Ok(())
}

/// How many records from the first on are of different deliveries: an `UPDATE … FROM` with two rows for
/// one delivery would take either.
fn distinct_prefix(records: &[&RecordRow]) -> usize {
    let mut seen = HashSet::with_capacity(records.len());
    records.iter().position(|record| !seen.insert(record.delivery)).unwrap_or(records.len())
}

fn store_distinct(script: &mut Script, records: &[&RecordRow]) -> Result<(), StorageError> {
    script.push_rows(&UPDATE, records, bind_update)?;
    let attempts: Vec<&AttemptRow> = records.iter().filter_map(|record| record.attempt.as_ref()).collect();
    script.push_rows(&INSERT_ATTEMPTS, &attempts, bind_attempt)?;
    let kept = |record: &&&RecordRow| matches!(record.rendered, RenderedChange::Store { .. });
    let kept: Vec<&RecordRow> = records.iter().filter(kept).copied().collect();
    script.push_rows(&STORE_RENDERED, &kept, bind_rendered)?;
    let removed = records.iter().filter(|record| matches!(record.rendered, RenderedChange::Remove));
    let removed: Vec<i64> = removed.map(|record| record.delivery.0).collect();
    if !removed.is_empty() {
        let sql = "DELETE FROM rendered_requests WHERE delivery_id IN (SELECT value FROM json_each(?))";
        script.push(sql, json_ids(removed))?;
    }
    Ok(())
}

fn bind_update(record: &&RecordRow, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    to.add(record.delivery.0)?;
    to.add(record.tenant)?;
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
    to.add(row.outcome)?;
    to.add(row.status)?;
    to.add(row.detail.as_str())?;
    to.add(row.body.as_deref())?;
    to.add(row.steps.as_deref())?;
    to.add(row.request.as_deref())
}

fn bind_rendered(record: &&RecordRow, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    let RenderedChange::Store { method, url, headers, body } = &record.rendered else {
        return Err("a record without a request".into());
    };
    let (body_kind, body) = body_columns(body);
    to.add(record.delivery.0)?;
    to.add(method.as_str())?;
    to.add(url.as_str())?;
    to.add(headers.as_str())?;
    to.add(body_kind)?;
    to.add(body)
}
