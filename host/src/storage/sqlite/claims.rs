//! Leases: claiming deliveries that are due, and ending the leases that a crash left behind.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{FromRow as _, Row as _};
use tokio::sync::Mutex;

use super::connection::WriteConnection;
use super::noting;
use super::ordering::{self, is_behind, waiting_ms};
use super::rendered_rows::rendered_columns;
use super::rows::{
    DELIVERY_COLUMNS, DeliveryRow, EventRow, RenderedRow, damaged, delivery_columns, delivery_from_row,
    event_columns, event_from_row, no_lease, request_from_row,
};
use super::script::{is_among, json_ids, json_keys};
use crate::domain::{
    Delivery, DeliveryState, Event, EventKey, HookId, Lease, LeaseId, NodeNumber, OrderingKey, UnixMillis,
};
use crate::storage::byte_room::ByteRoom;
use crate::storage::{Backlog, Claimed, Claims, FURTHEST_AHEAD, HookClaim, StorageError};
use crate::vault::Vault;

/// A request to lease deliveries.
#[derive(Debug, Clone)]
pub struct Claim {
    pub hooks: Vec<HookClaim>,
    pub now: UnixMillis,
    pub lease: Lease,
    pub max_bytes: u64,
}

impl Claim {
    /// How many deliveries it leases, at most.
    pub fn limit(&self) -> usize {
        self.hooks.iter().map(|hook| hook.limit as usize).sum()
    }
}

/// The leased deliveries of one hook.
#[derive(Debug, Default, Clone)]
pub struct Leased {
    /// With their ordering keys, if they are in order.
    pub deliveries: Vec<(Delivery, Option<OrderingKey>)>,
    /// Other deliveries were due as well.
    pub more: bool,
}

impl Leased {
    pub fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries.iter().map(|(delivery, _)| delivery)
    }
}

/// The deliveries' tenants and ids, for [`is_among`].
pub fn keys_of<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>) -> String {
    json_keys(deliveries.into_iter().map(|it| (it.tenant.0, it.id.0)))
}

/// Leases deliveries within the writer's transaction: one answer for each hook, in order. A deleted hook has none.
pub async fn lease(
    connection: &mut SqliteConnection,
    claim: &Claim,
    deleted_hooks: &HashSet<HookId>,
) -> Result<Vec<Leased>, StorageError> {
    let mut leased = Vec::with_capacity(claim.hooks.len());
    let mut room = ByteRoom::new(claim.max_bytes);
    for hook in &claim.hooks {
        leased.push(match deleted_hooks.contains(&hook.hook) {
            true => Leased::default(),
            false => due(connection, *hook, claim.now, &mut room).await?,
        });
    }
    let all = leased.iter().flat_map(Leased::deliveries);
    let interrupted: Vec<_> = all.filter(|delivery| delivery.state == DeliveryState::Delivering).collect();
    if !interrupted.is_empty() {
        noting::note_interrupted(connection, &interrupted).await?;
    }
    if leased.iter().any(|leased| !leased.deliveries.is_empty()) {
        let keys = keys_of(leased.iter().flat_map(Leased::deliveries));
        let sql = concat!(
            "UPDATE deliveries SET state = 1, due_at = NULL, lease_owner = ?, lease_id = ?, lease_until = ?, \
            ordering_waits = iif(ordering_waits IS NULL, NULL, 0) WHERE ",
            is_among!()
        );
        let Lease { owner, id, until } = claim.lease;
        let query = sqlx::query(sql).bind(owner.0).bind(id.0).bind(until.0).bind(keys);
        query.execute(connection).await?;
    }
    for (delivery, _) in leased.iter_mut().flat_map(|leased| &mut leased.deliveries) {
        delivery.state = DeliveryState::Delivering;
        (delivery.due_at, delivery.lease) = (None, Some(claim.lease));
    }
    Ok(leased)
}

/// If all that is read is due before its turn, so much more is read, so often.
const MORE_THAN_EARLY: i64 = 100;
const MAX_READS: usize = 10;

/// The deliveries of one hook to lease.
async fn due(
    connection: &mut SqliteConnection,
    hook: HookClaim,
    now: UnixMillis,
    room: &mut ByteRoom,
) -> Result<Leased, StorageError> {
    let (mut leased, mut extra) = (Leased::default(), 0);
    for _ in 0..MAX_READS {
        let only_early;
        (leased, only_early) = due_once(connection, hook, now, (room, extra)).await?;
        if !only_early {
            break;
        }
        extra = MORE_THAN_EARLY;
    }
    Ok(leased)
}

/// The same. Also says whether all that was read was due before its turn.
async fn due_once(
    connection: &mut SqliteConnection,
    hook: HookClaim,
    now: UnixMillis,
    (room, extra): (&mut ByteRoom, i64),
) -> Result<(Leased, bool), StorageError> {
    // One more row tells whether there are more. Lengths are read from the headers of rows, without the data. A delivery that
    // was never attempted has no rendered request.
    let sql = concat!(
        "SELECT ",
        delivery_columns!(),
        ", ifnull((SELECT octet_length(data) FROM events WHERE key = event_key), 0) \
         + iif(attempts = 0, 0, ifnull((SELECT octet_length(body) FROM rendered_requests \
         WHERE delivery_id = deliveries.id), 0)), iif(ordering_seq IS NULL, NULL, ordering_key), ",
        is_behind!(),
        " FROM deliveries INDEXED BY deliveries_unfinished \
         WHERE hook_id = ? AND state < 3 AND ready_at <= ? ORDER BY ready_at, id LIMIT ?"
    );
    let due = sqlx::query(sql).bind(hook.hook.0).bind(now.0).bind(i64::from(hook.limit) + extra + 1);
    let rows = due.fetch_all(&mut *connection).await?;
    let (mut deliveries, mut early, mut groups) =
        (Vec::with_capacity(rows.len()), Vec::new(), BTreeSet::new());
    for row in rows.iter().take(hook.limit as usize + usize::try_from(extra).unwrap_or(0)) {
        let bytes: i64 = row.try_get(DELIVERY_COLUMNS)?;
        let key: Option<&str> = row.try_get(DELIVERY_COLUMNS + 1)?;
        let key = key.map(OrderingKey::from_stored);
        if row.try_get(DELIVERY_COLUMNS + 2)? {
            early.push(delivery_from_row(DeliveryRow::from_row(row)?)?);
            groups.extend(key.map(|key| (hook.hook.0, key)));
            continue;
        }
        if deliveries.len() >= hook.limit as usize || !room.take(&hook, bytes.unsigned_abs()) {
            break;
        }
        deliveries.push((delivery_from_row(DeliveryRow::from_row(row)?)?, key));
    }
    let more = deliveries.len() + early.len() < rows.len();
    if !early.is_empty() {
        make_wait(connection, &early, now).await?;
        ordering::advance_now(connection, &groups).await?;
    }
    let only_early = deliveries.is_empty() && !early.is_empty() && hook.limit > 0;
    Ok((Leased { deliveries, more }, only_early))
}

/// What was due before its turn waits again: somebody retried it by hand, or its lease has ended.
async fn make_wait(
    connection: &mut SqliteConnection,
    early: &[Delivery],
    now: UnixMillis,
) -> Result<(), StorageError> {
    let sql = concat!(
        "UPDATE deliveries SET ordering_waits = 1, due_at = ? + ",
        waiting_ms!(),
        ", state = iif(attempts = 0, 0, 2), ",
        no_lease!(),
        " WHERE ",
        is_among!()
    );
    sqlx::query(sql).bind(now.0).bind(keys_of(early)).execute(connection).await?;
    Ok(())
}

/// Ends the leases of a claim that failed: its deliveries are due at `now`.
pub async fn release(
    connection: &mut SqliteConnection,
    keys: String,
    lease: LeaseId,
    now: UnixMillis,
) -> Result<(), StorageError> {
    let sql = concat!(
        "UPDATE deliveries SET state = iif(attempts = 0, 0, 2), due_at = ?, ",
        no_lease!(),
        " WHERE ",
        is_among!(),
        " AND state = 1 AND lease_id = ?"
    );
    sqlx::query(sql).bind(now.0).bind(keys).bind(lease.0).execute(connection).await?;
    Ok(())
}

/// Adds events and rendered requests to leased deliveries: one answer for each hook, in order.
///
/// # Errors
/// If nothing can be read. A damaged event is an error of its hook alone.
pub async fn load_each(
    readers: &SqlitePool,
    leased: Vec<Leased>,
    vault: &Vault,
) -> Result<Vec<Result<Claims, StorageError>>, StorageError> {
    let all = leased.iter().flat_map(|leased| leased.deliveries.iter().cloned()).collect();
    match load(readers, all, vault).await {
        Ok(claimed) => {
            let mut claimed = claimed.into_iter();
            let of_hook = |Leased { deliveries, more }| {
                Ok(Claims { claimed: claimed.by_ref().take(deliveries.len()).collect(), more })
            };
            Ok(leased.into_iter().map(of_hook).collect())
        }
        Err(StorageError::Damaged { .. }) => {
            let mut each = Vec::with_capacity(leased.len());
            for Leased { deliveries, more } in leased {
                each.push(match load(readers, deliveries, vault).await {
                    Ok(claimed) => Ok(Claims { claimed, more }),
                    Err(error @ StorageError::Damaged { .. }) => Err(error),
                    Err(error) => return Err(error),
                });
            }
            Ok(each)
        }
        Err(error) => Err(error),
    }
}

/// Adds events and rendered requests to leased deliveries, in two queries.
async fn load(
    readers: &SqlitePool,
    deliveries: Vec<(Delivery, Option<OrderingKey>)>,
    vault: &Vault,
) -> Result<Vec<Claimed>, StorageError> {
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    let sql =
        concat!("SELECT ", event_columns!(), " FROM events WHERE key IN (SELECT value FROM json_each(?))");
    let ids = json_ids(deliveries.iter().map(|(delivery, _)| delivery.event.0));
    let rows: Vec<EventRow> = sqlx::query_as(sql).bind(ids).fetch_all(readers).await?;
    let events = rows.into_iter().map(|row| event_from_row(row).map(|event| (event.key, Arc::new(event))));
    let events: HashMap<EventKey, Arc<Event>> = events.collect::<Result<_, _>>()?;

    let sql = concat!(
        "SELECT ",
        rendered_columns!(),
        " FROM rendered_requests WHERE delivery_id IN (SELECT value FROM json_each(?))"
    );
    // A delivery that was never attempted has no rendered request.
    let attempted = deliveries.iter().filter(|(delivery, _)| delivery.attempts > 0);
    let ids = json_ids(attempted.map(|(delivery, _)| delivery.id.0));
    let rows: Vec<RenderedRow> = sqlx::query_as(sql).bind(ids).fetch_all(readers).await?;
    let rendered = rows.into_iter().filter_map(|row| request_from_row(row, vault).transpose());
    let mut rendered = rendered.collect::<Result<HashMap<_, _>, _>>()?;
    let mut pipelines =
        noting::pipelines_of(readers, deliveries.iter().map(|(delivery, _)| delivery), vault).await?;

    let claimed = deliveries.into_iter().map(|(delivery, ordering_key)| {
        let event = events.get(&delivery.event).cloned();
        let event = event.ok_or_else(|| damaged("delivery", format_args!("{} has no event", delivery.id)))?;
        let (rendered, pipeline) = (rendered.remove(&delivery.id), pipelines.remove(&delivery.id));
        Ok(Claimed { delivery, event, rendered, ordering_key, pipeline })
    });
    claimed.collect()
}

/// Skips from hook to hook on the index: one look-up for each hook, not for each delivery.
const HOOKS_WITH_BACKLOG: &str = "WITH RECURSIVE h (id) AS ( \
      SELECT (SELECT hook_id FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 \
              ORDER BY hook_id LIMIT 1) \
      UNION ALL \
      SELECT (SELECT hook_id FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 \
              AND hook_id > h.id ORDER BY hook_id LIMIT 1) FROM h WHERE h.id IS NOT NULL) \
    SELECT h.id, (SELECT ready_at FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 \
              AND hook_id = h.id ORDER BY ready_at LIMIT 1) \
    FROM h WHERE h.id IS NOT NULL";

/// The hooks that have unfinished deliveries.
pub async fn backlog(readers: &SqlitePool) -> Result<Vec<Backlog>, StorageError> {
    let query = sqlx::query_as(HOOKS_WITH_BACKLOG);
    let rows: Vec<(i64, i64)> = query.fetch_all(readers).await?;
    let backlog = rows
        .into_iter()
        .map(|(hook, first_due_at)| Backlog { hook: HookId(hook), first_due_at: UnixMillis(first_due_at) });
    Ok(backlog.collect())
}

/// Ends the leases of `node`, makes deliveries due that a wrong clock put out of reach, and cancels the node's tests: a test is
/// sent once, and it is not known whether it was.
pub async fn recover(
    connection: &mut SqliteConnection,
    node: NodeNumber,
    now: UnixMillis,
) -> Result<u64, StorageError> {
    let sql = concat!(
        "UPDATE deliveries SET state = 6, due_at = NULL, ",
        no_lease!(),
        " WHERE made_by = 1 AND ifnull(lease_owner, (id >> 12) & 1023) = ? AND (tenant_id, id) IN \
        (SELECT tenant_id, id FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3)"
    );
    sqlx::query(sql).bind(node.0).execute(&mut *connection).await?;
    let sql = concat!(
        "UPDATE deliveries SET state = iif(attempts = 0, 0, 2), due_at = ?, ",
        no_lease!(),
        " WHERE lease_owner = ? AND (tenant_id, id) IN \
        (SELECT tenant_id, id FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 AND state = 1)"
    );
    let ended = sqlx::query(sql).bind(now.0).bind(node.0).execute(&mut *connection).await?.rows_affected();
    let sql = "UPDATE deliveries SET due_at = ?1 WHERE (tenant_id, id) IN \
        (SELECT tenant_id, id FROM deliveries INDEXED BY deliveries_unfinished \
        WHERE state < 3 AND state <> 1 AND ready_at > ?2)";
    let furthest = now.plus(FURTHEST_AHEAD);
    sqlx::query(sql).bind(now.0).bind(furthest.0).execute(&mut *connection).await?;
    ordering::advance_waiting(connection).await?;
    Ok(ended)
}

/// The deleted hooks that have unfinished deliveries, because of a crash between the two deletions.
pub async fn orphaned_hooks(readers: &SqlitePool) -> Result<Vec<HookId>, StorageError> {
    let waiting = backlog(readers).await?;
    let ids = json_ids(waiting.iter().map(|backlog| backlog.hook.0));
    let sql = "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT id FROM hooks)";
    let gone: Vec<i64> = sqlx::query_scalar(sql).bind(ids).fetch_all(readers).await?;
    Ok(gone.into_iter().map(HookId).collect())
}

/// How many deliveries of a deleted hook one transaction cancels: a few milliseconds of work.
pub const CANCEL_CHUNK: u32 = 2_000;

/// Cancels all unfinished deliveries of a deleted hook; others write in between.
pub async fn cancel_all(writer: &Mutex<WriteConnection>, hook: HookId) -> Result<(), StorageError> {
    loop {
        let mut connection = writer.lock().await;
        connection.forget_hook(hook);
        let more = cancel_some(connection.begin().await?, hook).await;
        if !connection.finish(more).await? {
            return Ok(());
        }
    }
}

/// Cancels up to [`CANCEL_CHUNK`] unfinished deliveries of `hook`; returns whether there may be more.
pub async fn cancel_some(connection: &mut SqliteConnection, hook: HookId) -> Result<bool, StorageError> {
    let sql = concat!(
        "SELECT ",
        delivery_columns!(),
        " FROM deliveries INDEXED BY deliveries_unfinished WHERE hook_id = ? AND state < 3 LIMIT ?"
    );
    let query = sqlx::query_as(sql).bind(hook.0).bind(CANCEL_CHUNK);
    let rows: Vec<DeliveryRow> = query.fetch_all(&mut *connection).await?;
    let more = rows.len() == CANCEL_CHUNK as usize;
    let cancelled = rows.into_iter().map(delivery_from_row).collect::<Result<Vec<_>, _>>()?;
    let sql =
        concat!("UPDATE deliveries SET state = 6, due_at = NULL, ", no_lease!(), " WHERE ", is_among!());
    sqlx::query(sql).bind(keys_of(&cancelled)).execute(&mut *connection).await?;
    let ids = json_ids(cancelled.iter().map(|delivery| delivery.id.0));
    let sql = "DELETE FROM rendered_requests WHERE delivery_id IN (SELECT value FROM json_each(?))";
    sqlx::query(sql).bind(ids).execute(connection).await?;
    Ok(more)
}
