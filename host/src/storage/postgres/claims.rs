//! Leases: claiming deliveries that are due.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::FromRow as _;
use sqlx::Row as _;
use sqlx_postgres::PgRow;

use super::claim_bounds::BoundedClaim;
use super::delivery_notes;
use super::session::Session;
use crate::clock;
use crate::domain::{
    Delivery, DeliveryId, DeliveryState, Event, EventKey, HookId, Lease, OrderingKey, Pipeline, UnixMillis,
};
use crate::storage::byte_room::ByteRoom;
use crate::storage::columns::{
    DeliveryRow, EventRow, RenderedRow, damaged, delivery_from_row, event_from_row, request_from_row,
};
use crate::storage::{Backlog, Claimed, Claims, HookClaim, StorageError};

/// The leased deliveries of one hook.
#[derive(Debug, Default, Clone)]
pub struct Leased {
    /// With their ordering keys, if they are in order.
    pub deliveries: Vec<(Delivery, Option<OrderingKey>)>,
    /// Other deliveries were due as well.
    pub more: bool,
}

/// Leases what is due: one answer for each hook, in order.
pub async fn lease(
    session: &Session,
    hooks: &[HookClaim],
    now: UnixMillis,
    lease: Lease,
    max_bytes: u64,
) -> Result<Vec<Leased>, StorageError> {
    materialize_expired(session, hooks, now).await?;
    let failed = |error| session.failed(error);
    let mut transaction = session.pool.begin().await?;
    let sql = "SELECT (delivery).id, (delivery).tenant_id, (delivery).hook_id, \
        (delivery).event_key, (delivery).event_type, (delivery).made_by::bigint, (delivery).state::bigint, \
        (delivery).attempts::bigint, (delivery).failures::bigint, (delivery).due_at, (delivery).lease_owner::bigint, \
        (delivery).lease_id, (delivery).lease_until, ordinal, due, bytes, \
        CASE WHEN (delivery).ordering_seq IS NOT NULL THEN (delivery).ordering_key END \
        FROM lock_due_in_order($1, $2, $3, $4, $5, $6)";
    let ids: Vec<i64> = hooks.iter().map(|hook| hook.hook.0).collect();
    let limits: Vec<i64> = hooks.iter().map(|hook| i64::from(hook.limit)).collect();
    let view = session.membership.applied();
    let begins = session.claim_bounds.begins(view, hooks.iter().map(|it| it.hook), now);
    let began = clock::monotonic();
    let query = sqlx::query(sql).bind(session.number()).bind(session.epoch()).bind(ids);
    let query = query.bind(limits).bind(&begins).bind(now.0);
    let rows = query.fetch_all(&mut *transaction).await.map_err(failed)?;
    let took = clock::elapsed(began);
    let leased = choose(&rows, hooks, max_bytes)?;
    let chosen = || leased.iter().flat_map(|leased| &leased.deliveries).map(|(delivery, _)| delivery);
    let interrupted: Vec<_> = chosen().filter(|it| it.state == DeliveryState::Delivering).collect();
    if !interrupted.is_empty() {
        delivery_notes::note_interrupted(&mut transaction, &interrupted).await?;
    }
    if chosen().next().is_some() {
        let sql = "UPDATE unfinished_deliveries SET state = 1, due_at = NULL, lease_owner = $1, lease_id = $2, \
            lease_until = $3, ordering_waits = CASE WHEN ordering_waits IS NOT NULL THEN false END FROM unnest($4::bigint[], $5::bigint[]) w (tenant, delivery) \
            WHERE tenant_id = w.tenant AND id = w.delivery";
        let query = sqlx::query(sql).bind(i32::from(lease.owner.0)).bind(lease.id.0).bind(lease.until.0);
        let query = query.bind(chosen().map(|it| it.tenant.0).collect::<Vec<_>>());
        let query = query.bind(chosen().map(|it| it.id.0).collect::<Vec<_>>());
        query.execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    for ((hook, begin), leased) in hooks.iter().zip(begins).zip(&leased) {
        let last = leased.deliveries.last();
        let last = last.and_then(|(it, _)| it.due_at.or(it.lease.map(|lease| lease.until)));
        session.claim_bounds.claimed(hook.hook, BoundedClaim { begin, at: now, took, last });
    }
    Ok(under(leased, lease))
}

/// A lease that has ended in memory has a row before it is claimed.
async fn materialize_expired(
    session: &Session,
    hooks: &[HookClaim],
    now: UnixMillis,
) -> Result<(), StorageError> {
    let hooks: HashSet<HookId> = hooks.iter().map(|hook| hook.hook).collect();
    let expired = session.rowless.lock().expired(&hooks, now);
    if expired.is_empty() {
        return Ok(());
    }
    session.materialize(&expired).await
}

/// What is taken of the locked rows, within the limits on bytes.
fn choose(rows: &[PgRow], hooks: &[HookClaim], max_bytes: u64) -> Result<Vec<Leased>, StorageError> {
    let mut leased = vec![Leased::default(); hooks.len()];
    let (mut room, mut full) = (ByteRoom::new(max_bytes), HashSet::new());
    for row in rows {
        let (ordinal, due, bytes): (i64, i64, i64) = (row.try_get(13)?, row.try_get(14)?, row.try_get(15)?);
        let index = usize::try_from(ordinal - 1).unwrap_or(usize::MAX);
        let Some((hook, leased)) = hooks.get(index).zip(leased.get_mut(index)) else { continue };
        let due = usize::try_from(due).unwrap_or(0);
        if row.try_get::<Option<i64>, _>(0)?.is_none() {
            leased.more = due > 0;
            continue;
        }
        if full.contains(&index) || !room.take(hook, bytes.unsigned_abs()) {
            full.insert(index);
        } else {
            let key = row.try_get::<Option<&str>, _>(16)?.map(OrderingKey::from_stored);
            leased.deliveries.push((delivery_from_row(DeliveryRow::from_row(row)?)?, key));
        }
        leased.more = due > leased.deliveries.len();
    }
    Ok(leased)
}

fn under(mut leased: Vec<Leased>, lease: Lease) -> Vec<Leased> {
    for (delivery, _) in leased.iter_mut().flat_map(|leased| &mut leased.deliveries) {
        delivery.state = DeliveryState::Delivering;
        (delivery.due_at, delivery.lease) = (None, Some(lease));
    }
    leased
}

/// Adds events and rendered requests to leased deliveries: one answer for each hook, in order.
///
/// # Errors
/// If nothing can be read. A damaged row is an error of its hook alone.
pub async fn load_each(
    session: &Session,
    leased: Vec<Leased>,
) -> Result<Vec<Result<Claims, StorageError>>, StorageError> {
    let mut each = Vec::with_capacity(leased.len());
    let mut sources = Sources::load(session, &leased).await?;
    for Leased { deliveries, more } in leased {
        let claimed = deliveries.into_iter().map(|(delivery, key)| sources.claimed(session, delivery, key));
        each.push(claimed.collect::<Result<_, _>>().map(|claimed| Claims { claimed, more }));
    }
    Ok(each)
}

/// What leased deliveries need.
struct Sources {
    events: HashMap<i64, EventRow>,
    loaded: HashMap<EventKey, Arc<Event>>,
    rendered: HashMap<i64, RenderedRow>,
    pipelines: HashMap<DeliveryId, Arc<Pipeline>>,
}

impl Sources {
    async fn load(session: &Session, leased: &[Leased]) -> Result<Self, StorageError> {
        let all = || leased.iter().flat_map(|leased| &leased.deliveries).map(|(delivery, _)| delivery);
        let (mut events, mut rendered) = (HashMap::new(), HashMap::new());
        if all().next().is_some() {
            let sql = "SELECT key, tenant_id, external_id, project, event_type, occurred_at, data, ordering_key, \
                trace FROM events WHERE key = ANY ($1)";
            let keys: HashSet<i64> = all().map(|it| it.event.0).collect();
            let query = sqlx::query_as(sql).bind(keys.into_iter().collect::<Vec<_>>());
            let rows: Vec<EventRow> = query.fetch_all(&session.pool).await?;
            events = rows.into_iter().map(|row| (row.0, row)).collect();
        }
        // A delivery that was never attempted has no rendered request.
        let attempted: Vec<i64> = all().filter(|it| it.attempts > 0).map(|it| it.id.0).collect();
        if !attempted.is_empty() {
            let sql = "SELECT delivery_id, method, '', '', body_kind::bigint, body, hook_updated_at, sealed \
                FROM rendered_requests WHERE delivery_id = ANY ($1)";
            let rows: Vec<RenderedRow> = sqlx::query_as(sql).bind(attempted).fetch_all(&session.pool).await?;
            rendered = rows.into_iter().map(|row| (row.0, row)).collect();
        }
        let pipelines = delivery_notes::pipelines_of(session, all()).await?;
        Ok(Self { events, loaded: HashMap::new(), rendered, pipelines })
    }

    fn claimed(
        &mut self,
        session: &Session,
        delivery: Delivery,
        ordering_key: Option<OrderingKey>,
    ) -> Result<Claimed, StorageError> {
        let key = delivery.event;
        if let Some(row) = self.events.remove(&key.0) {
            self.loaded.insert(key, Arc::new(event_from_row(row)?));
        }
        let event = self.loaded.get(&key).cloned();
        let event = event.ok_or_else(|| damaged("delivery", format_args!("{} has no event", delivery.id)))?;
        let rendered = self.rendered.remove(&delivery.id.0);
        let rendered = rendered.map_or(Ok(None), |row| request_from_row(row, &session.vault))?;
        let pipeline = self.pipelines.remove(&delivery.id);
        Ok(Claimed {
            delivery,
            event,
            rendered: rendered.map(|(_, request)| request),
            ordering_key,
            pipeline,
        })
    }
}

/// Skips from hook to hook on the index: one look-up for each hook, not for each delivery.
const HOOKS_WITH_BACKLOG: &str = "WITH RECURSIVE h (id, ready_at) AS ( \
      (SELECT hook_id, coalesce(due_at, lease_until) FROM unfinished_deliveries \
        ORDER BY hook_id, coalesce(due_at, lease_until), id LIMIT 1) \
      UNION ALL \
      SELECT next.* FROM h CROSS JOIN LATERAL ( \
        SELECT hook_id, coalesce(due_at, lease_until) FROM unfinished_deliveries WHERE hook_id > h.id \
        ORDER BY hook_id, coalesce(due_at, lease_until), id LIMIT 1) next) \
    SELECT id, ready_at FROM h";

/// The hooks that have unfinished deliveries.
pub async fn backlog(session: &Session) -> Result<Vec<Backlog>, StorageError> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(HOOKS_WITH_BACKLOG).fetch_all(&session.pool).await?;
    let mut backlog = rows.into_iter().map(backlog_of).collect();
    session.rowless.add_backlog(&mut backlog);
    Ok(backlog)
}

fn backlog_of((hook, at): (i64, i64)) -> Backlog {
    Backlog { hook: HookId(hook), first_due_at: UnixMillis(at) }
}

/// With more deliveries than this in a span of time, each hook is looked at.
const MAX_DUE: i64 = 20_000;

/// Of the deliveries that become due in a span of time, without those of known hooks, each hook's first, and how many there
/// are.
const DUE_BETWEEN: &str = "SELECT hook_id, min(ready_at), sum(count(*)) OVER ()::bigint FROM ( \
      SELECT hook_id, coalesce(due_at, lease_until) AS ready_at FROM unfinished_deliveries \
      WHERE coalesce(due_at, lease_until) > $1 AND coalesce(due_at, lease_until) <= $2 \
        AND hook_id NOT IN (SELECT unnest($4::bigint[])) LIMIT $3) due \
    GROUP BY hook_id";

/// The hooks that have something due in a span of time. None if that is too much.
pub async fn due_between(
    session: &Session,
    (from, until): (UnixMillis, UnixMillis),
    known: &[HookId],
) -> Result<Option<Vec<Backlog>>, StorageError> {
    let known: Vec<i64> = known.iter().map(|hook| hook.0).collect();
    let query = sqlx::query_as(DUE_BETWEEN).bind(from.0).bind(until.0).bind(MAX_DUE).bind(known);
    let rows: Vec<(i64, i64, i64)> = query.fetch_all(&session.pool).await?;
    let all = rows.first().map_or(0, |row| row.2);
    Ok((all < MAX_DUE).then(|| rows.into_iter().map(|(hook, at, _)| backlog_of((hook, at))).collect()))
}
