//! Erases the content of events.
//!
//! What is deleted here is overwritten with zeros in the database (`secure_delete`). In the write-ahead log it is until the log
//! is emptied, which follows soon: see [`super::space`](mod@super::space).

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use sqlx::sqlite::SqliteConnection;

use super::known_names::{self, NameHash, SharedNames};
use super::ordering;
use super::purging::delete_attempts;
use super::rowless::Selection;
use super::rows::no_lease;
use super::script::json_ids;
use super::stores::SqliteStores;
use crate::domain::{EventId, EventKey, OrderingKey, TenantId, UnixMillis};
use crate::storage::dedup::NameKind;
use crate::storage::{EventStore as _, StorageError};

/// How many events one look for late attempts finds.
const MAX_LATE: u32 = 1_000;

/// See [`crate::storage::RetentionStore::erase`].
pub(super) async fn erase(
    stores: &SqliteStores,
    tenant: TenantId,
    event: &EventId,
    now: UnixMillis,
) -> Result<Option<UnixMillis>, StorageError> {
    let Some(event) = stores.event(tenant, event).await? else { return Ok(None) };
    erase_stored(stores, (tenant, event.key), now).await
}

/// Needs no permit to read: a tenant's reads must not keep its events from being erased.
async fn erase_stored(
    stores: &SqliteStores,
    (tenant, event): (TenantId, EventKey),
    now: UnixMillis,
) -> Result<Option<UnixMillis>, StorageError> {
    stores.materialize(Selection::OfEvent(event)).await?;
    let mut writer = stores.writer().await;
    let connection = writer.begin().await?;
    let erased = async {
        set_secure_delete(connection, true).await?;
        let at = erase_one(connection, &stores.names, (tenant, event), now).await?;
        set_secure_delete(connection, stores.secure_delete).await?;
        Ok(at)
    };
    let erased = erased.await;
    let erased = writer.finish(erased).await?;
    stores.log_has_erased.store(true, Ordering::Release);
    Ok(erased)
}

/// For this connection, and also within a transaction.
async fn set_secure_delete(connection: &mut SqliteConnection, on: bool) -> Result<(), StorageError> {
    let sql = if on { "PRAGMA secure_delete = ON" } else { "PRAGMA secure_delete = OFF" };
    sqlx::query(sql).fetch_all(connection).await?;
    Ok(())
}

async fn erase_one(
    connection: &mut SqliteConnection,
    names: &SharedNames,
    (tenant, event): (TenantId, EventKey),
    now: UnixMillis,
) -> Result<Option<UnixMillis>, StorageError> {
    let sql = "SELECT ifnull(external_id, sender_id), ifnull(idempotency_key, sender_key) FROM events \
        WHERE key = ? AND tenant_id = ?";
    let query = sqlx::query_as(sql).bind(event.0).bind(tenant.0);
    let found: Option<(Option<String>, Option<String>)> = query.fetch_optional(&mut *connection).await?;
    let Some((id, idempotency_key)) = found else { return Ok(None) };
    let sql =
        "INSERT INTO erased_events (event_key, tenant_id, erased_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
    sqlx::query(sql).bind(event.0).bind(tenant.0).bind(now.0).execute(&mut *connection).await?;
    erase_deliveries(connection, tenant, event).await?;
    // The digest of the content would confirm a guess.
    let sql = "UPDATE events SET data = 'null', ordering_key = NULL, content = iif(content IS NULL, NULL, zeroblob(32)) \
        WHERE key = ?";
    sqlx::query(sql).bind(event.0).execute(&mut *connection).await?;
    let id = id.map(|id| NameHash::of(tenant, NameKind::Id, &id));
    let key = idempotency_key.map(|key| NameHash::of(tenant, NameKind::IdempotencyKey, &key));
    let hashes: Vec<NameHash> = id.into_iter().chain(key).collect();
    known_names::erase(connection, names, event, &hashes).await?;
    let sql = "SELECT erased_at FROM erased_events WHERE event_key = ?";
    Ok(sqlx::query_scalar(sql).bind(event.0).fetch_optional(connection).await?.map(UnixMillis))
}

/// Cancels what is not final, and removes what was sent and answered.
async fn erase_deliveries(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    event: EventKey,
) -> Result<(), StorageError> {
    let sql =
        "SELECT e.key + (n.value ->> 0) FROM events e CROSS JOIN json_each(e.deliveries) n WHERE e.key = ?";
    let ids: Vec<i64> = sqlx::query_scalar(sql).bind(event.0).fetch_all(&mut *connection).await?;
    let ids = json_ids(ids);
    let sql = concat!(
        "UPDATE deliveries SET state = 6, due_at = NULL, ",
        no_lease!(),
        " WHERE tenant_id = ?2 AND id IN (SELECT value FROM json_each(?1)) AND state < 3 \
        RETURNING hook_id, iif(ordering_seq IS NOT NULL, ordering_key, NULL)"
    );
    let query = sqlx::query_as(sql).bind(&ids).bind(tenant.0);
    let cancelled: Vec<(i64, Option<String>)> = query.fetch_all(&mut *connection).await?;
    let group = |(hook, key): (i64, Option<String>)| Some((hook, OrderingKey::from_stored(key.as_deref()?)));
    let groups: BTreeSet<_> = cancelled.into_iter().filter_map(group).collect();
    ordering::advance_now(connection, &groups).await?;
    let sql = "UPDATE deliveries SET ordering_key = NULL, ordering_seq = NULL, ordering_waits = NULL \
        WHERE tenant_id = ?2 AND id IN (SELECT value FROM json_each(?1)) AND ordering_key IS NOT NULL";
    sqlx::query(sql).bind(&ids).bind(tenant.0).execute(&mut *connection).await?;
    let sql = "DELETE FROM rendered_requests WHERE delivery_id IN (SELECT value FROM json_each(?))";
    sqlx::query(sql).bind(&ids).execute(&mut *connection).await?;
    delete_attempts(connection, &ids).await?;
    Ok(())
}

/// See [`crate::storage::RetentionStore::erase_late`].
pub(super) async fn erase_late(stores: &SqliteStores, since: UnixMillis) -> Result<(), StorageError> {
    let sql = "SELECT DISTINCT x.event_key, x.tenant_id FROM erased_events x INDEXED BY erased_events_by_time \
        CROSS JOIN events e ON e.key = x.event_key CROSS JOIN json_each(e.deliveries) n \
        WHERE x.erased_at >= ? AND (EXISTS (SELECT 1 FROM attempts a WHERE a.id = e.key + (n.value ->> 0)) \
        OR EXISTS (SELECT 1 FROM attempts a INDEXED BY attempts_with_own_id \
          WHERE a.delivery_id = e.key + (n.value ->> 0) AND a.delivery_id <> a.id) \
        OR EXISTS (SELECT 1 FROM deliveries d WHERE d.tenant_id = x.tenant_id AND d.id = e.key + (n.value ->> 0) \
          AND d.state < 3)) LIMIT ?";
    let query = sqlx::query_as(sql).bind(since.0).bind(MAX_LATE);
    let late: Vec<(i64, i64)> = query.fetch_all(&stores.readers).await?;
    for (key, tenant) in late {
        erase_stored(stores, (TenantId(tenant), EventKey(key)), since).await?;
    }
    Ok(())
}
