//! Records what came of deliveries, in one round trip.

use std::collections::HashSet;

use sqlx::Row as _;
use sqlx::query::Query;
use sqlx_postgres::PgArguments;

use super::rowless::RowlessDelivery;
use super::session::Session;
use crate::domain::{DeliveryId, DeliveryState, LeaseId};
use crate::storage::columns::{AttemptRow, KeptBodyRow, RecordRow, RenderedChange, body_columns, state_code};
use crate::storage::{RenderedRequest, StorageError};

/// A call takes at most about this many bytes in one transaction.
const MAX_PART_BYTES: usize = 4 << 20;

/// Whether `row` is all that there is to say of a delivery that only its event names.
fn finishes(row: &RecordRow, delivery: &RowlessDelivery) -> bool {
    row.state.is_final()
        && row.lease == LeaseId::of_stored(row.delivery)
        && delivery.event.tenant.0 == row.tenant
}

/// How many transactions of one call are under way, at most.
pub const IN_FLIGHT: usize = 2;
/// A call with this many records is divided: a smaller transaction costs more for each.
const DIVIDED: usize = 128;

/// Parts of about the same size that are written at the same time. A small call is not divided.
pub fn divide(rows: &[RecordRow]) -> impl Iterator<Item = &[RecordRow]> {
    rows.chunks(rows.len().div_ceil(IN_FLIGHT).max(DIVIDED))
}

/// The beginning of `rows` that is written together: each delivery once, and not too many bytes.
pub fn first_part(rows: &[RecordRow]) -> usize {
    let (mut seen, mut bytes) = (HashSet::with_capacity(rows.len()), 0);
    let is_of_the_next = |row: &RecordRow| {
        bytes += row.bytes();
        !seen.insert(row.delivery) || (bytes > MAX_PART_BYTES && seen.len() > 1)
    };
    rows.iter().position(is_of_the_next).unwrap_or(rows.len())
}

macro_rules! arguments {
    () => {
        "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, \
        $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43)"
    };
}
macro_rules! record_attempts {
    () => {
        concat!("record_attempts(", arguments!())
    };
}

macro_rules! record_attempts_in_order {
    () => {
        concat!("record_attempts_in_order($44, $45, $46, $47, $48, $49, ", arguments!())
    };
}
/// Stores the bodies that are kept, whose columns are the parameters `$values`, in the same statement.
macro_rules! keep_bodies {
    ($values:literal) => {
        concat!(
            "kept AS (INSERT INTO kept_bodies (attempt_id, tenant_id, expires_at, body) SELECT * FROM unnest(",
            $values,
            ") ON CONFLICT DO NOTHING)"
        )
    };
}
/// `$before` is another part of `WITH`, with a comma.
macro_rules! durably {
    ($before:expr, $call:expr) => {
        concat!(
            "WITH ",
            $before,
            "was AS MATERIALIZED (SELECT current_setting('synchronous_commit') AS setting) SELECT ",
            $call,
            ", set_config('synchronous_commit', setting, true) FROM was"
        )
    };
}

/// Does not wait until the record is on disk: if the database crashes, a lost one costs a repetition at most.
const RECORD: &str = concat!("SELECT ", record_attempts!());
/// Waits until the record is on disk. Nothing but a record says that a delivery is due again: this node forgets it, and what
/// a crash of the database takes away would never be sent.
const RECORD_DURABLY: &str = durably!("", record_attempts!());
/// The same for records by which deliveries leave their groups. A lost one would hold those behind until its lease ends.
const RECORD_IN_ORDER: &str = durably!("", record_attempts_in_order!());
/// As [`RECORD`], with bodies that are kept.
const RECORD_BODIES: &str = concat!(
    "WITH ",
    keep_bodies!("$44::bigint[], $45::bigint[], $46::bigint[], $47::bytea[]"),
    " SELECT ",
    record_attempts!()
);
/// As [`RECORD_DURABLY`], with bodies that are kept.
const RECORD_BODIES_DURABLY: &str = durably!(
    concat!(keep_bodies!("$44::bigint[], $45::bigint[], $46::bigint[], $47::bytea[]"), ", "),
    record_attempts!()
);
/// As [`RECORD_IN_ORDER`], with bodies that are kept.
const RECORD_BODIES_IN_ORDER: &str = durably!(
    concat!(keep_bodies!("$50::bigint[], $51::bigint[], $52::bigint[], $53::bytea[]"), ", "),
    record_attempts_in_order!()
);

/// Writes records of different deliveries.
///
/// # Errors
/// Nothing is recorded then, or nobody knows: it may be repeated.
pub async fn write(session: &Session, rows: &[RecordRow]) -> Result<(), StorageError> {
    let missing = Writes::new(session, rows.iter(), true).run(session).await?;
    session.rowless.lock().remove(rows.iter().map(|row| row.delivery));
    if missing.is_empty() {
        return Ok(());
    }
    // Another transaction gave them rows first, or they have none and are not in this node's memory.
    session.materialize(&missing).await?;
    let again: Vec<&RecordRow> = rows.iter().filter(|row| missing.contains(&row.delivery)).collect();
    Writes::new(session, again.into_iter(), false).run(session).await.map(drop)
}

/// The arguments of `record_attempts`.
#[derive(Default)]
struct Writes<'a> {
    finished: Vec<(&'a RecordRow, RowlessDelivery)>,
    leased: Vec<(DeliveryId, RowlessDelivery)>,
    changes: Vec<&'a RecordRow>,
    attempts: Vec<&'a AttemptRow>,
    kept_bodies: Vec<&'a KeptBodyRow>,
}

impl<'a> Writes<'a> {
    /// `from_memory`: what this node remembers of its deliveries is taken as true.
    fn new(session: &Session, rows: impl Iterator<Item = &'a RecordRow>, from_memory: bool) -> Self {
        let mut writes = Self::default();
        let memory = session.rowless.lock();
        for row in rows {
            writes.attempts.extend(&row.attempt);
            writes.kept_bodies.extend(&row.kept_body);
            match memory.get(row.delivery).filter(|_| from_memory) {
                Some(delivery) if finishes(row, delivery) => writes.finished.push((row, delivery.clone())),
                Some(delivery) => {
                    writes.leased.push((row.delivery, delivery.clone()));
                    writes.changes.push(row);
                }
                None => writes.changes.push(row),
            }
        }
        // In the order of the tables' keys.
        writes.finished.sort_unstable_by_key(|(row, _)| (row.tenant, row.delivery));
        writes.changes.sort_unstable_by_key(|row| (row.tenant, row.delivery));
        writes.attempts.sort_unstable_by_key(|row| row.id);
        writes
    }

    /// Returns the deliveries to materialize and to record again.
    async fn run(self, session: &Session) -> Result<Vec<DeliveryId>, StorageError> {
        let is_continued = self.changes.iter().any(|row| !row.state.is_final());
        let leaving: Vec<&RecordRow> =
            self.changes.iter().filter(|row| row.leaves.is_some()).copied().collect();
        let sql = match self.kept_bodies.is_empty() {
            true if !leaving.is_empty() => RECORD_IN_ORDER,
            true if is_continued => RECORD_DURABLY,
            true => RECORD,
            false if !leaving.is_empty() => RECORD_BODIES_IN_ORDER,
            false if is_continued => RECORD_BODIES_DURABLY,
            false => RECORD_BODIES,
        };
        let query = sqlx::query(sql).bind(session.number()).bind(session.epoch());
        let query = bind_leased(bind_finished(query, &self.finished), &self.leased);
        let query = bind_changes(bind_rendered(query, &self.changes), &self.changes);
        let query = bind_attempts(query, &self.attempts);
        let query = if leaving.is_empty() { query } else { bind_leaving(query, &leaving) };
        let query = bind_kept_bodies(query, &self.kept_bodies);
        let rows = self.changes.len() + self.finished.len() + self.attempts.len();
        let row = session.run(query, rows).await.map_err(|error| session.failed(error))?;
        let missing: Vec<i64> = row.try_get(0)?;
        Ok(missing.into_iter().map(DeliveryId).collect())
    }
}

type Statement<'q> = Query<'q, sqlx_postgres::Postgres, PgArguments>;

/// States are below ten.
fn code(state: DeliveryState) -> i16 {
    i16::try_from(state_code(state)).unwrap_or(i16::MAX)
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn column<R, T>(rows: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

fn bind_finished<'q>(query: Statement<'q>, rows: &[(&RecordRow, RowlessDelivery)]) -> Statement<'q> {
    let query = query.bind(column(rows, |(row, _)| row.tenant)).bind(column(rows, |(row, _)| row.delivery.0));
    let query = query.bind(column(rows, |(_, it)| it.hook.0)).bind(column(rows, |(_, it)| it.event.key.0));
    let types: Vec<&str> = rows.iter().map(|(_, it)| it.event.event_type.as_str()).collect();
    let query = query.bind(types).bind(column(rows, |(row, _)| code(row.state)));
    query
        .bind(column(rows, |(row, _)| count(row.attempts)))
        .bind(column(rows, |(row, _)| count(row.failures)))
}

fn bind_leased<'q>(query: Statement<'q>, rows: &[(DeliveryId, RowlessDelivery)]) -> Statement<'q> {
    let query = query.bind(column(rows, |(_, it)| it.event.tenant.0)).bind(column(rows, |(id, _)| id.0));
    let query = query.bind(column(rows, |(_, it)| it.hook.0)).bind(column(rows, |(_, it)| it.event.key.0));
    let types: Vec<&str> = rows.iter().map(|(_, it)| it.event.event_type.as_str()).collect();
    query.bind(types).bind(column(rows, |(_, it)| it.lease_until.0))
}

fn bind_rendered<'q>(query: Statement<'q>, rows: &[&RecordRow]) -> Statement<'q> {
    let stored: Vec<(&RecordRow, &RenderedRequest, &[u8])> = rows
        .iter()
        .filter_map(|row| match &row.rendered {
            RenderedChange::Store { rendered, sealed } => Some((*row, rendered, sealed.as_slice())),
            RenderedChange::Keep | RenderedChange::Remove => None,
        })
        .collect();
    let query =
        query.bind(column(&stored, |(row, ..)| row.tenant)).bind(column(&stored, |(row, ..)| row.delivery.0));
    let query = query.bind(column(&stored, |(row, ..)| row.lease.0));
    let methods: Vec<&str> = stored.iter().map(|(_, it, _)| it.request.method.as_str()).collect();
    let body =
        |rendered: &RenderedRequest| i16::try_from(body_columns(&rendered.request.body).0).unwrap_or(0);
    let query = query.bind(methods).bind(column(&stored, |(_, it, _)| body(it)));
    let bodies: Vec<Option<&[u8]>> =
        stored.iter().map(|(_, it, _)| body_columns(&it.request.body).1).collect();
    let query = query.bind(bodies).bind(column(&stored, |(_, it, _)| it.hook_updated_at.0));
    query.bind(stored.iter().map(|(.., sealed)| *sealed).collect::<Vec<_>>())
}

fn bind_changes<'q>(query: Statement<'q>, rows: &[&RecordRow]) -> Statement<'q> {
    let query = query.bind(column(rows, |row| row.tenant)).bind(column(rows, |row| row.delivery.0));
    let query = query.bind(column(rows, |row| row.lease.0)).bind(column(rows, |row| code(row.state)));
    let query = query.bind(column(rows, |row| count(row.attempts)));
    let query = query.bind(column(rows, |row| count(row.failures))).bind(column(rows, |row| row.due_at));
    query.bind(column(rows, |row| matches!(row.rendered, RenderedChange::Remove)))
}

fn bind_attempts<'q>(query: Statement<'q>, rows: &[&AttemptRow]) -> Statement<'q> {
    let query = query.bind(column(rows, |row| row.id)).bind(column(rows, |row| row.delivery));
    let query = query.bind(column(rows, |row| count(row.number))).bind(column(rows, |row| row.started_at));
    let query = query.bind(column(rows, |row| row.duration_ns));
    let query = query.bind(rows.iter().map(|row| &*row.outcome).collect::<Vec<&str>>());
    let query = query.bind(column(rows, |row| row.status.map(i32::from)));
    let query = query.bind(rows.iter().map(|row| &*row.detail).collect::<Vec<&str>>());
    let query = query.bind(rows.iter().map(|row| row.body.as_deref()).collect::<Vec<Option<&[u8]>>>());
    let query = query.bind(rows.iter().map(|row| row.steps.as_deref()).collect::<Vec<Option<&str>>>());
    query.bind(rows.iter().map(|row| row.request.as_deref()).collect::<Vec<Option<&str>>>())
}

fn bind_leaving<'q>(query: Statement<'q>, rows: &[&RecordRow]) -> Statement<'q> {
    let left = || rows.iter().filter_map(|row| row.leaves.as_ref());
    let query = query.bind(left().map(|left| left.group.hook.0).collect::<Vec<i64>>());
    let query = query.bind(left().map(|left| left.group.key.as_str()).collect::<Vec<&str>>());
    let query = query.bind(left().map(|left| left.at.0).min());
    let going_on: Vec<&RecordRow> = rows.iter().filter(|row| !row.state.is_final()).copied().collect();
    let query = query.bind(column(&going_on, |row| row.tenant)).bind(column(&going_on, |row| row.delivery.0));
    query.bind(column(&going_on, |row| row.lease.0))
}

/// Nothing is bound if there are none: the statement is another one then.
fn bind_kept_bodies<'q>(query: Statement<'q>, rows: &[&'q KeptBodyRow]) -> Statement<'q> {
    if rows.is_empty() {
        return query;
    }
    let query = query.bind(column(rows, |row| row.attempt)).bind(column(rows, |row| row.tenant));
    let query = query.bind(column(rows, |row| row.body.until.0));
    query.bind(rows.iter().map(|row| row.body.bytes()).collect::<Vec<_>>())
}
