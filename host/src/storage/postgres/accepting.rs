//! Stores the events of several calls in one round trip.
//!
//! At first, names are taken as new: a unique index says so if one is not, and nothing is stored. Only then are the known
//! names read, and the calls decided again.

use std::collections::HashSet;
use std::fmt::Write as _;

use sqlx::Row as _;
use sqlx::error::DatabaseError;
use sqlx::query::Query;
use sqlx_postgres::PgArguments;

use super::errors::has_changed_nothing;
use super::session::Session;
use crate::domain::{
    DeliveryId, DeliveryState, EventKey, HookId, OrderingKey, TenantId, Trigger, UnixMillis,
};
use crate::storage::columns::{damaged, state_code, trigger_code};
use crate::storage::dedup::{self, Known, Mark, NameKind, Seen};
use crate::storage::{Acceptance, Accepted, NewDelivery, StorageError};

/// How often calls are decided again because of what others stored meanwhile.
const MAX_TRIES: usize = 32;
/// The unique index that refuses a name which is known.
const NAMES: &str = "event_names_pkey";

/// Stores the events of `calls`; one list of answers for each.
pub async fn accept(session: &Session, calls: &[&[Acceptance]]) -> Result<Vec<Vec<Accepted>>, StorageError> {
    let (mut seen, mut deleted) = (Seen::default(), HashSet::new());
    for _ in 0..MAX_TRIES {
        let mut writes = Writes { epoch: session.epoch(), ..Writes::default() };
        let answers = calls.iter().map(|call| {
            let answers = seen.decide(call);
            if !dedup::has_conflict(&answers) {
                let new = call.iter().zip(&answers).filter(|(_, answer)| **answer == Accepted::Stored);
                new.for_each(|(acceptance, _)| writes.add(session, acceptance, &deleted));
            }
            answers
        });
        let answers = answers.collect();
        match write(session, writes).await? {
            Written::Stored => return Ok(answers),
            Written::NamesKnown => seen = load(session, calls).await?,
            Written::HooksDeleted(hooks) => {
                deleted.extend(hooks);
                // What was decided is not stored.
                seen = load(session, calls).await?;
            }
        }
    }
    Err(damaged("event", "its names are stored and deleted all the time"))
}

enum Written {
    Stored,
    /// Nothing is stored: an event with one of the names is.
    NamesKnown,
    /// Nothing is stored: some hooks are deleted.
    HooksDeleted(Vec<HookId>),
}

async fn write(session: &Session, mut writes: Writes<'_>) -> Result<Written, StorageError> {
    if writes.keys.is_empty() {
        return Ok(Written::Stored);
    }
    let rows = writes.keys.len() + writes.rows.ids.len();
    let (rowless, leased) = (writes.rowless.clone(), std::mem::take(&mut writes.leased));
    let done = match session.run(writes.query(session), rows).await {
        Ok(row) => row.try_get::<Vec<i64>, _>(0),
        Err(error) => Err(error),
    };
    let mut memory = session.rowless.lock();
    match done {
        Ok(deleted) if deleted.is_empty() => {
            memory.set_stored(&rowless);
            Ok(Written::Stored)
        }
        Ok(deleted) => {
            memory.remove(rowless);
            Ok(Written::HooksDeleted(deleted.into_iter().map(HookId).collect()))
        }
        Err(error) if has_changed_nothing(&error) => {
            memory.remove(rowless);
            match error.as_database_error().and_then(DatabaseError::constraint) {
                Some(NAMES) => Ok(Written::NamesKnown),
                _ => Err(session.failed(error)),
            }
        }
        // Whether it is committed is not known, and who asked is told that it failed: nobody else sends its deliveries.
        Err(error) => {
            session.lost_leases.add_stored(leased);
            Err(session.failed(error))
        }
    }
}

/// The stored events that have the names in `calls`.
async fn load(session: &Session, calls: &[&[Acceptance]]) -> Result<Seen, StorageError> {
    let (mut tenants, mut kinds, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (tenant, kind, name) in calls.iter().copied().flatten().flat_map(dedup::names) {
        tenants.push(tenant.0);
        kinds.push(kind_code(kind));
        names.push(name);
    }
    let sql = "SELECT n.tenant_id, n.kind, n.name, n.event_key, n.external_id, n.content, n.delivery_count::bigint \
        FROM event_names n JOIN unnest($1::bigint[], $2::smallint[], $3::text[]) w (tenant_id, kind, name) \
        USING (tenant_id, kind, name)";
    type Row = (i64, i16, String, i64, Option<String>, Vec<u8>, i64);
    let query = sqlx::query_as(sql).bind(tenants).bind(kinds).bind(names);
    let rows: Vec<Row> = query.fetch_all(&session.pool).await?;
    let mut seen = Seen::default();
    for (tenant, kind, name, key, external_id, content, deliveries) in rows {
        let in_row = |error: StorageError| error.in_row("event_names", EventKey(key), key);
        let content = content.try_into();
        let content = content.map_err(|_| in_row(damaged("event", "its content has no digest")))?;
        let kind = if kind == kind_code(NameKind::Id) { NameKind::Id } else { NameKind::IdempotencyKey };
        let known = Known {
            key: EventKey(key),
            mark: Mark::of_stored(kind, &content, external_id.as_deref()),
            deliveries: u32::try_from(deliveries).map_err(|error| in_row(damaged("event", error)))?,
        };
        seen.add(TenantId(tenant), kind, name, known);
    }
    Ok(seen)
}

fn kind_code(kind: NameKind) -> i16 {
    match kind {
        NameKind::Id => 0,
        NameKind::IdempotencyKey => 1,
    }
}

/// The arguments of `accept_events`.
#[derive(Default)]
struct Writes<'a> {
    /// Read before anything is remembered as rowless: see [`Session::epoch`].
    epoch: i64,
    /// The deliveries that only their events name.
    rowless: Vec<DeliveryId>,
    /// Those that this node sends, with the ends of their leases.
    leased: Vec<(DeliveryId, UnixMillis)>,
    hooks: HashSet<i64>,
    keys: Vec<i64>,
    tenants: Vec<i64>,
    external_ids: Vec<Option<&'a str>>,
    projects: Vec<Option<i64>>,
    types: Vec<&'a str>,
    occurred: Vec<i64>,
    lease_until: Vec<Option<i64>>,
    delivery_ids: Vec<Option<String>>,
    hook_ids: Vec<Option<String>>,
    data: Vec<&'a str>,
    ordering_keys: Vec<Option<&'a str>>,
    traces: Vec<Option<String>>,
    names: Vec<NameRow<'a>>,
    rows: DeliveryRows<'a>,
}

struct NameRow<'a> {
    tenant: i64,
    kind: i16,
    name: &'a str,
    acceptance: &'a Acceptance,
}

#[derive(Default)]
struct DeliveryRows<'a> {
    tenants: Vec<i64>,
    ids: Vec<i64>,
    hooks: Vec<i64>,
    events: Vec<i64>,
    types: Vec<&'a str>,
    made_by: Vec<i16>,
    states: Vec<i16>,
    due_at: Vec<Option<i64>>,
    lease_until: Vec<Option<i64>>,
    ordering_keys: Vec<Option<&'a str>>,
}

impl<'a> DeliveryRows<'a> {
    fn add(&mut self, new: &'a NewDelivery, acceptance: &'a Acceptance, is_deleted: bool) {
        let (state, due_at, lease_until) = match new.lease_until {
            _ if is_deleted => (DeliveryState::Cancelled, None, None),
            Some(until) => (DeliveryState::Delivering, None, Some(until.0)),
            None => (DeliveryState::Pending, Some(new.due_at.0), None),
        };
        self.tenants.push(acceptance.event.tenant.0);
        self.ids.push(new.id.0);
        self.hooks.push(new.hook.0);
        self.events.push(acceptance.event.key.0);
        self.types.push(acceptance.event.event_type.as_str());
        self.made_by.push(small(trigger_code(new.trigger)));
        self.states.push(small(state_code(state)));
        self.due_at.push(due_at);
        self.lease_until.push(lease_until);
        let key = new.ordering_key.as_ref().filter(|_| state == DeliveryState::Pending);
        self.ordering_keys.push(key.map(OrderingKey::as_str));
    }
}

/// A delivery that this node sends, with the end of its lease. A test whose sender has gone away is not sent.
pub fn leased(new: &NewDelivery) -> Option<(DeliveryId, UnixMillis)> {
    new.lease_until.filter(|_| new.trigger == Trigger::Event).map(|until| (new.id, until))
}

/// Codes of states and triggers are below ten.
fn small(code: i64) -> i16 {
    i16::try_from(code).unwrap_or(i16::MAX)
}

impl<'a> Writes<'a> {
    fn add(&mut self, session: &Session, acceptance: &'a Acceptance, deleted: &HashSet<HookId>) {
        let event = &acceptance.event;
        let mut lease_until: Option<UnixMillis> = None;
        let mut memory = session.rowless.lock();
        for new in &acceptance.deliveries {
            let is_deleted = deleted.contains(&new.hook);
            if !is_deleted {
                self.hooks.insert(new.hook.0);
                self.leased.extend(leased(new));
            }
            if !is_deleted && memory.add(new, event, lease_until) {
                lease_until = new.lease_until;
                self.rowless.push(new.id);
            } else {
                self.rows.add(new, acceptance, is_deleted);
            }
        }
        drop(memory);
        self.keys.push(event.key.0);
        self.tenants.push(event.tenant.0);
        self.external_ids.push(dedup::external_id(acceptance));
        self.projects.push(event.project);
        self.types.push(event.event_type.as_str());
        self.occurred.push(event.occurred_at.0);
        self.lease_until.push(lease_until.map(|time| time.0));
        self.delivery_ids.push(array(acceptance.deliveries.iter().map(|new| new.id.0)));
        self.hook_ids.push(array(acceptance.deliveries.iter().map(|new| new.hook.0)));
        self.data.push(&event.data);
        self.ordering_keys.push(event.ordering_key.as_ref().map(OrderingKey::as_str));
        self.traces.push(event.trace.as_ref().map(|trace| trace.to_text()));
        let names = dedup::names(acceptance);
        self.names.extend(names.map(|(tenant, kind, name)| NameRow {
            tenant: tenant.0,
            kind: kind_code(kind),
            name,
            acceptance,
        }));
    }

    /// Whether an order must be kept: that costs more.
    fn is_in_order(&self) -> bool {
        let mut keys = self.ordering_keys.iter().chain(&self.rows.ordering_keys);
        keys.any(Option::is_some)
    }

    fn query(self, session: &Session) -> Query<'static, sqlx_postgres::Postgres, PgArguments> {
        let is_traced = self.traces.iter().any(Option::is_some);
        let is_in_order = is_traced || self.is_in_order();
        let query = sqlx::query(match (is_traced, is_in_order) {
            (true, _) => ACCEPT_TRACED,
            (false, true) => ACCEPT_IN_ORDER,
            (false, false) => ACCEPT,
        });
        let hooks: Vec<i64> = self.hooks.into_iter().collect();
        let query = query.bind(session.number()).bind(self.epoch).bind(hooks);
        let query = query.bind(self.keys).bind(self.tenants).bind(self.external_ids).bind(self.projects);
        let query = query.bind(self.types).bind(self.occurred).bind(self.lease_until).bind(self.delivery_ids);
        let query = bind_names(query.bind(self.hook_ids).bind(self.data), self.names);
        let rows = self.rows;
        let query =
            query.bind(rows.tenants).bind(rows.ids).bind(rows.hooks).bind(rows.events).bind(rows.types);
        let query = query.bind(rows.made_by).bind(rows.states).bind(rows.due_at).bind(rows.lease_until);
        let query = match is_in_order {
            true => query.bind(self.ordering_keys).bind(rows.ordering_keys),
            false => query,
        };
        if is_traced { query.bind(self.traces) } else { query }
    }
}

macro_rules! arguments {
    () => {
        "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, \
        $25, $26, $27, $28, $29"
    };
}
const ACCEPT: &str = concat!("SELECT accept_events(", arguments!(), ")");
const ACCEPT_IN_ORDER: &str = concat!("SELECT accept_events_in_order(", arguments!(), ", $30, $31)");
const ACCEPT_TRACED: &str = concat!("SELECT accept_traced_events(", arguments!(), ", $30, $31, $32)");

/// In the order of the index: two transactions with the same names wait for one another, but not both at once.
fn bind_names<'q>(
    query: Query<'q, sqlx_postgres::Postgres, PgArguments>,
    mut names: Vec<NameRow<'_>>,
) -> Query<'q, sqlx_postgres::Postgres, PgArguments> {
    names.sort_unstable_by_key(|row| (row.tenant, row.kind, row.name));
    let column = |of: fn(&NameRow<'_>) -> i64| names.iter().map(of).collect::<Vec<i64>>();
    let query = query.bind(column(|row| row.tenant));
    let query = query.bind(names.iter().map(|row| row.kind).collect::<Vec<i16>>());
    let query = query.bind(names.iter().map(|row| row.name).collect::<Vec<_>>());
    let query = query.bind(column(|row| row.acceptance.event.key.0));
    let query = query.bind(names.iter().map(|row| dedup::external_id(row.acceptance)).collect::<Vec<_>>());
    let query = query.bind(names.iter().map(|row| row.acceptance.content.as_slice()).collect::<Vec<_>>());
    let count = |row: &NameRow<'_>| i32::try_from(row.acceptance.deliveries.len()).unwrap_or(i32::MAX);
    query.bind(names.iter().map(count).collect::<Vec<i32>>())
}

/// The text of an array, none if it is empty: PostgreSQL's nested arrays must all have the same length.
fn array(numbers: impl Iterator<Item = i64>) -> Option<String> {
    let mut text = String::new();
    for number in numbers {
        let before = if text.is_empty() { '{' } else { ',' };
        let _ = write!(text, "{before}{number}");
    }
    (!text.is_empty()).then(|| text + "}")
}
