//! Leases: taking what is due, and giving back what a crash left behind.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{FromRow as _, Row as _};
use tokio::sync::Mutex;

use super::batch::json_ids;
use super::connection::WriteConnection;
use super::rendered_rows::{RenderedRow, rendered_columns, request_from_row};
use super::rows::{
    DELIVERY_COLUMNS, DeliveryRow, EventRow, damaged, delivery_columns, delivery_from_row, event_columns,
    event_from_row, read_error,
};
use crate::domain::{Delivery, DeliveryState, Event, EventKey, HookId, TenantId, UnixMillis};
use crate::storage::{Backlog, Claimed, Claims, HookClaim, StorageError};
use crate::vault::Vault;

/// What is to be leased.
#[derive(Debug, Clone)]
pub struct Claim {
    pub hooks: Vec<HookClaim>,
    pub now: UnixMillis,
    pub lease_until: UnixMillis,
    pub max_bytes: u64,
}

impl Claim {
    /// How many deliveries it leases at most.
    pub fn limit(&self) -> usize {
        self.hooks.iter().map(|hook| hook.limit as usize).sum()
    }
}

/// What was leased of one hook.
#[derive(Debug, Default, Clone)]
pub struct Leased {
    pub deliveries: Vec<Delivery>,
    /// Something else was due.
    pub more: bool,
}

/// Whether a delivery is among those whose [`json_keys`] are bound.
macro_rules! is_among {
    () => {
        "(tenant_id, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))"
    };
}

/// Tenant and id of each, as JSON.
pub fn json_keys<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>) -> String {
    json_keys_of(deliveries.into_iter().map(|it| (it.tenant.0, it.id.0)))
}

/// The same for tenants and ids.
pub fn json_keys_of(keys: impl IntoIterator<Item = (i64, i64)>) -> String {
    let keys: Vec<_> = keys.into_iter().map(|(tenant, id)| vec![tenant, id]).collect();
    serde_json::Value::from(keys).to_string()
}

/// What a claimed delivery takes beside its event's data and its rendered body.
const OVERHEAD_BYTES: u64 = 256;

/// Leases, inside of the writer's transaction; one answer for each hook, in order. One that is deleted has nothing.
pub async fn lease(
    connection: &mut SqliteConnection,
    claim: &Claim,
    deleted_hooks: &HashSet<HookId>,
) -> Result<Vec<Leased>, StorageError> {
    let mut leased = Vec::with_capacity(claim.hooks.len());
    let mut room = ByteRoom { left: claim.max_bytes, of_tenants: HashMap::new() };
    for hook in &claim.hooks {
        leased.push(match deleted_hooks.contains(&hook.hook) {
            true => Leased::default(),
            false => due(connection, *hook, claim.now, &mut room).await?,
        });
    }
    let keys = leased.iter().flat_map(|leased| &leased.deliveries);
    if keys.clone().next().is_some() {
        let sql = concat!("UPDATE deliveries SET state = 1, due_at = ? WHERE ", is_among!());
        sqlx::query(sql).bind(claim.lease_until.0).bind(json_keys(keys)).execute(connection).await?;
    }
    for delivery in leased.iter_mut().flat_map(|leased| &mut leased.deliveries) {
        delivery.state = DeliveryState::Delivering;
        delivery.due_at = Some(claim.lease_until);
    }
    Ok(leased)
}

/// What a claim may still bring into memory.
struct ByteRoom {
    left: u64,
    /// What each tenant from which something was taken may still bring. A first delivery is taken however large it is.
    of_tenants: HashMap<TenantId, u64>,
}

impl ByteRoom {
    fn take(&mut self, claim: &HookClaim, bytes: u64) -> bool {
        let is_first = self.of_tenants.is_empty();
        let of_tenant = self.of_tenants.get(&claim.tenant);
        let of_tenant = of_tenant.copied().unwrap_or(claim.tenant_bytes.max(bytes));
        let fits_all = bytes <= self.left || is_first;
        let fits = fits_all && bytes <= of_tenant;
        // What does not fit ends the claim, or the tenant's part: what is due later must not go before it.
        self.left = if fits_all { self.left } else { 0 };
        if fits {
            self.left = self.left.saturating_sub(bytes);
        }
        self.of_tenants.insert(claim.tenant, if fits { of_tenant - bytes } else { 0 });
        fits
    }
}

/// The deliveries of one hook that are to be leased.
async fn due(
    connection: &mut SqliteConnection,
    hook: HookClaim,
    now: UnixMillis,
    room: &mut ByteRoom,
) -> Result<Leased, StorageError> {
    // One more than asked for tells whether there is more. Lengths are read off the heads of rows, without
    // the data; what was never attempted has nothing rendered.
    let sql = concat!(
        "SELECT ",
        delivery_columns!(),
        ", ifnull((SELECT octet_length(data) FROM events WHERE key = event_key), 0) \
         + iif(attempts = 0, 0, ifnull((SELECT octet_length(body) FROM rendered_requests \
         WHERE delivery_id = deliveries.id), 0)) \
         FROM deliveries INDEXED BY deliveries_unfinished \
         WHERE hook_id = ? AND state < 3 AND due_at <= ? ORDER BY due_at, id LIMIT ?"
    );
    let due = sqlx::query(sql).bind(hook.hook.0).bind(now.0).bind(i64::from(hook.limit) + 1);
    let rows = due.fetch_all(&mut *connection).await?;
    let mut deliveries = Vec::with_capacity(rows.len());
    for row in rows.iter().take(hook.limit as usize) {
        let bytes: i64 = row.try_get(DELIVERY_COLUMNS)?;
        if !room.take(&hook, OVERHEAD_BYTES + bytes.unsigned_abs()) {
            break;
        }
        deliveries.push(delivery_from_row(DeliveryRow::from_row(row)?)?);
    }
    let more = deliveries.len() < rows.len();
    Ok(Leased { deliveries, more })
}

/// Ends the leases of one claim that came to nothing: what it took is due at `now`.
pub async fn hand_back(
    connection: &mut SqliteConnection,
    keys: String,
    lease_until: UnixMillis,
    now: UnixMillis,
) -> Result<(), StorageError> {
    let sql = concat!(
        "UPDATE deliveries SET state = iif(attempts = 0, 0, 2), due_at = ? WHERE ",
        is_among!(),
        " AND state = 1 AND due_at = ?"
    );
    sqlx::query(sql).bind(now.0).bind(keys).bind(lease_until.0).execute(connection).await?;
    Ok(())
}

/// Adds events and rendered requests to what was leased; one answer for each hook, in order.
///
/// # Errors
/// Where nothing can be read. A damaged event is an error of its hook alone.
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

/// Adds events and rendered requests to leased deliveries: two queries, however many there are.
async fn load(
    readers: &SqlitePool,
    deliveries: Vec<Delivery>,
    vault: &Vault,
) -> Result<Vec<Claimed>, StorageError> {
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    let sql =
        concat!("SELECT ", event_columns!(), " FROM events WHERE key IN (SELECT value FROM json_each(?))");
    let ids = json_ids(deliveries.iter().map(|delivery| delivery.event.0));
    let rows: Vec<EventRow> = sqlx::query_as(sql).bind(ids).fetch_all(readers).await.map_err(read_error)?;
    let events = rows.into_iter().map(|row| event_from_row(row).map(|event| (event.key, Arc::new(event))));
    let events: HashMap<EventKey, Arc<Event>> = events.collect::<Result<_, _>>()?;

    let sql = concat!(
        "SELECT ",
        rendered_columns!(),
        " FROM rendered_requests WHERE delivery_id IN (SELECT value FROM json_each(?))"
    );
    // What was never attempted has nothing rendered.
    let attempted = deliveries.iter().filter(|delivery| delivery.attempts > 0);
    let ids = json_ids(attempted.map(|delivery| delivery.id.0));
    let rows: Vec<RenderedRow> =
        sqlx::query_as(sql).bind(ids).fetch_all(readers).await.map_err(read_error)?;
    let rendered = rows.into_iter().filter_map(|row| request_from_row(row, vault).transpose());
    let mut rendered = rendered.collect::<Result<HashMap<_, _>, _>>()?;

    let claimed = deliveries.into_iter().map(|delivery| {
        let event = events.get(&delivery.event).cloned();
        let event = event.ok_or_else(|| damaged("delivery", format_args!("{} has no event", delivery.id)))?;
        let rendered = rendered.remove(&delivery.id);
        Ok(Claimed { delivery, event, rendered })
    });
    claimed.collect()
}

/// Jumps from hook to hook on the index, so that it costs a look-up for each hook and not for each delivery.
const HOOKS_WITH_BACKLOG: &str = "WITH RECURSIVE h (id) AS ( \
      SELECT (SELECT hook_id FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 \
              ORDER BY hook_id LIMIT 1) \
      UNION ALL \
      SELECT (SELECT hook_id FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 \
              AND hook_id > h.id ORDER BY hook_id LIMIT 1) FROM h WHERE h.id IS NOT NULL) \
    SELECT h.id, (SELECT due_at FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 \
              AND hook_id = h.id ORDER BY due_at LIMIT 1) \
    FROM h WHERE h.id IS NOT NULL";

/// The hooks that have unfinished deliveries.
pub async fn backlog(readers: &SqlitePool) -> Result<Vec<Backlog>, StorageError> {
    let query = sqlx::query_as(HOOKS_WITH_BACKLOG);
    let rows: Vec<(i64, i64)> = query.fetch_all(readers).await.map_err(read_error)?;
    let backlog = rows
        .into_iter()
        .map(|(hook, first_due_at)| Backlog { hook: HookId(hook), first_due_at: UnixMillis(first_due_at) });
    Ok(backlog.collect())
}

/// Nothing is due further ahead than this: the longest wait of a schedule is seven days, and up to a
/// fifth of it may be added.
pub const FURTHEST_AHEAD: Duration = Duration::from_secs(9 * 24 * 3600);

/// Ends all leases, makes due what a clock that was wrong put out of reach, and calls off tests: a test is sent once,
/// and whether it was is not known.
pub async fn recover(connection: &mut SqliteConnection, now: UnixMillis) -> Result<u64, StorageError> {
    let sql = "UPDATE deliveries SET state = 6, due_at = NULL WHERE made_by = 1 AND (tenant_id, id) IN \
        (SELECT tenant_id, id FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3)";
    sqlx::query(sql).execute(&mut *connection).await?;
    let sql = "UPDATE deliveries SET state = iif(attempts = 0, 0, 2), due_at = ? WHERE (tenant_id, id) IN \
        (SELECT tenant_id, id FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 AND state = 1)";
    let leases = sqlx::query(sql).bind(now.0).execute(&mut *connection).await?.rows_affected();
    let sql = "UPDATE deliveries SET due_at = ?1 WHERE (tenant_id, id) IN \
        (SELECT tenant_id, id FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 AND due_at > ?2)";
    let furthest = now.plus(FURTHEST_AHEAD);
    sqlx::query(sql).bind(now.0).bind(furthest.0).execute(connection).await?;
    Ok(leases)
}

/// The hooks that are gone, but have unfinished deliveries: a crash came between.
pub async fn orphaned_hooks(readers: &SqlitePool) -> Result<Vec<HookId>, StorageError> {
    let waiting = backlog(readers).await?;
    let ids = json_ids(waiting.iter().map(|backlog| backlog.hook.0));
    let sql = "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT id FROM hooks)";
    let gone: Vec<i64> = sqlx::query_scalar(sql).bind(ids).fetch_all(readers).await.map_err(read_error)?;
    Ok(gone.into_iter().map(HookId).collect())
}

/// How many deliveries of a deleted hook are cancelled in one transaction: a few milliseconds' worth.
pub const CANCEL_CHUNK: u32 = 2_000;

/// Cancels every unfinished delivery of a hook that is gone; others write in between.
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
    let sql = concat!("UPDATE deliveries SET state = 6, due_at = NULL WHERE ", is_among!());
    sqlx::query(sql).bind(json_keys(&cancelled)).execute(&mut *connection).await?;
    let ids = json_ids(cancelled.iter().map(|delivery| delivery.id.0));
    let sql = "DELETE FROM rendered_requests WHERE delivery_id IN (SELECT value FROM json_each(?))";
    sqlx::query(sql).bind(ids).execute(connection).await?;
    Ok(more)
}
