//! Deletes what is kept only for some time. See [`super::purging`] for events, [`super::erasing`] for their content.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

use super::rows::{JobRow, job_columns, job_from_row, readable};
use super::script::json_ids;
use super::stores::SqliteStores;
use super::{erasing, id_buckets, known_names, purging, space};
use crate::domain::{AttemptId, DeliveryId, EventId, EventKey, HookId, NodeNumber, TenantId, UnixMillis};
use crate::storage::retention::{held_by, stored_event};
use crate::storage::{Deleted, Purged, RetentionStore, StorageError, StoredEvent, Trim, Trimmed};

/// How many entries of `hook_id_buckets` one transaction deletes.
const MAX_BUCKETS: u32 = 1_000;

/// Whether the delivery `d` has an attempt for which the condition holds.
macro_rules! has {
    ($condition:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM attempts a WHERE a.id = d.id AND (",
            $condition,
            ")) OR EXISTS (SELECT 1 FROM attempts a INDEXED BY attempts_with_own_id \
            WHERE a.delivery_id = d.id AND a.delivery_id <> a.id AND (",
            $condition,
            "))"
        )
    };
}

macro_rules! visited {
    () => {
        " FROM (SELECT id FROM deliveries WHERE tenant_id = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?) d \
        ORDER BY d.id"
    };
}

#[async_trait]
impl RetentionStore for SqliteStores {
    /// One process at a time has the database open.
    async fn takes_lease(&self, _: NodeNumber) -> Result<bool, StorageError> {
        Ok(true)
    }

    async fn events_between(
        &self,
        after: EventKey,
        until: EventKey,
        most: u32,
    ) -> Result<Vec<StoredEvent>, StorageError> {
        // Data is not read: its size is in the row's head.
        let sql = "SELECT key, tenant_id, octet_length(data) FROM events WHERE key > ? AND key <= ? \
            ORDER BY key LIMIT ?";
        let query = sqlx::query_as(sql).bind(after.0).bind(until.0).bind(most);
        Ok(query.fetch_all(&self.readers).await?.into_iter().map(stored_event).collect())
    }

    async fn delete_events(&self, events: &[EventKey]) -> Result<Purged, StorageError> {
        self.purge_events(events).await
    }

    async fn held_by_replays(&self) -> Result<Vec<(TenantId, EventKey, EventKey)>, StorageError> {
        let sql = concat!("SELECT ", job_columns!(), " FROM jobs WHERE state < 2 LIMIT 10000");
        let rows: Vec<JobRow> = sqlx::query_as(sql).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().filter_map(|row| readable(job_from_row(row))).filter_map(held_by).collect())
    }

    async fn deliveries_between(
        &self,
        (tenant, what): (TenantId, Trim),
        after: DeliveryId,
        until: DeliveryId,
        most: u32,
    ) -> Result<Vec<(DeliveryId, bool)>, StorageError> {
        let sql = match what {
            Trim::Attempts => concat!("SELECT d.id, ", has!("1"), visited!()),
            Trim::Bodies => concat!(
                "SELECT d.id, ",
                has!("a.body IS NOT NULL OR EXISTS (SELECT 1 FROM kept_bodies k WHERE k.attempt_id = a.id)"),
                visited!()
            ),
        };
        let query = sqlx::query_as(sql).bind(tenant.0).bind(after.0).bind(until.0).bind(most);
        let rows: Vec<(i64, bool)> = query.fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(|(id, has)| (DeliveryId(id), has)).collect())
    }

    async fn trim_attempts(
        &self,
        tenant: TenantId,
        deliveries: &[DeliveryId],
        what: Trim,
        until: UnixMillis,
    ) -> Result<Trimmed, StorageError> {
        let ids = json_ids(deliveries.iter().map(|id| id.0));
        let mut writer = self.writer().await;
        let trimmed = trim(writer.begin().await?, tenant, &ids, (what, AttemptId::first_at(until))).await;
        writer.finish(trimmed).await
    }

    async fn forget_names(
        &self,
        known_from: UnixMillis,
        before: UnixMillis,
        most: u32,
    ) -> Result<u64, StorageError> {
        self.names.lock().set_known_from(EventKey::first_at(known_from));
        if !self.names.lock().has_old(EventKey::first_at(before)) {
            return Ok(0);
        }
        let mut writer = self.writer().await;
        let before = EventKey::first_at(before);
        let forgotten = known_names::forget_some(writer.begin().await?, &self.names, before, most).await;
        writer.finish(forgotten).await
    }

    async fn tidy(&self, before: UnixMillis) -> Result<bool, StorageError> {
        let has_more = self.remove_old_buckets(EventKey::first_at(before)).await?;
        Ok(space::give_back(self).await? || has_more)
    }

    async fn erase(
        &self,
        tenant: TenantId,
        event: &EventId,
        now: UnixMillis,
    ) -> Result<Option<UnixMillis>, StorageError> {
        erasing::erase(self, tenant, event, now).await
    }

    async fn erased_at(&self, tenant: TenantId, event: EventKey) -> Result<Option<UnixMillis>, StorageError> {
        let sql = "SELECT erased_at FROM erased_events WHERE event_key = ? AND tenant_id = ?";
        let query = sqlx::query_scalar(sql).bind(event.0).bind(tenant.0);
        Ok(query.fetch_optional(&self.readers).await?.map(UnixMillis))
    }

    async fn erase_late(&self, since: UnixMillis) -> Result<(), StorageError> {
        erasing::erase_late(self, since).await?;
        space::forget_log(self).await
    }
}

/// The attempts of the deliveries `?1` that were made before the attempt `?2`.
macro_rules! attempts_before {
    () => {
        "id < ?2 AND id IN (SELECT value FROM json_each(?1) UNION ALL \
        SELECT a.id FROM json_each(?1) w CROSS JOIN attempts a INDEXED BY attempts_with_own_id \
        ON a.delivery_id = w.value AND a.delivery_id <> a.id)"
    };
}

async fn trim(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    deliveries: &str,
    (what, until): (Trim, AttemptId),
) -> Result<Trimmed, StorageError> {
    let sql = match what {
        Trim::Attempts => concat!("DELETE FROM attempts WHERE ", attempts_before!(), " RETURNING id, 0"),
        Trim::Bodies => concat!("SELECT id, body IS NOT NULL FROM attempts WHERE ", attempts_before!()),
    };
    let query = sqlx::query_as(sql).bind(deliveries).bind(until.0);
    let attempts: Vec<(i64, bool)> = query.fetch_all(&mut *connection).await?;
    let ids: Vec<i64> = attempts.iter().map(|(id, _)| *id).collect();
    let mut deleted =
        Deleted { bodies: purging::delete_kept_bodies(connection, &ids).await?, ..Deleted::default() };
    match what {
        Trim::Attempts => deleted.attempts = ids.len() as u64,
        Trim::Bodies => {
            let with_body = json_ids(attempts.iter().filter(|(_, has_body)| *has_body).map(|(id, _)| *id));
            let sql = "UPDATE attempts SET body = NULL WHERE id IN (SELECT value FROM json_each(?))";
            let done = sqlx::query(sql).bind(with_body).execute(&mut *connection).await?;
            deleted.bodies += done.rows_affected();
        }
    }
    let sql = "SELECT d.id FROM json_each(?1) w CROSS JOIN deliveries d ON d.tenant_id = ?3 AND d.id = w.value \
        WHERE d.state < 3 OR EXISTS (SELECT 1 FROM attempts a WHERE a.id = d.id AND a.id >= ?2) \
        OR EXISTS (SELECT 1 FROM attempts a INDEXED BY attempts_with_own_id \
        WHERE a.delivery_id = d.id AND a.delivery_id <> a.id AND a.id >= ?2)";
    let query = sqlx::query_scalar(sql).bind(deliveries).bind(until.0).bind(tenant.0);
    let kept: Vec<i64> = query.fetch_all(connection).await?;
    Ok(Trimmed { deleted, kept: kept.into_iter().map(DeliveryId).collect() })
}

impl SqliteStores {
    /// Removes some entries of hooks whose tenants have no deliveries that old any more. Returns whether there are more.
    async fn remove_old_buckets(&self, before: EventKey) -> Result<bool, StorageError> {
        let sql = "WITH RECURSIVE h (id) AS (SELECT min(hook) FROM hook_id_buckets UNION ALL \
              SELECT (SELECT min(hook) FROM hook_id_buckets WHERE hook > h.id) FROM h WHERE h.id IS NOT NULL), \
            bound (hook, bucket) AS (SELECT h.id, min(?1, ifnull((SELECT min(d.id) FROM deliveries d \
              WHERE d.tenant_id = (SELECT tenant_id FROM hooks WHERE hooks.id = h.id)), \
              ifnull((SELECT min(key) FROM events), ?1))) >> ?2 FROM h WHERE h.id IS NOT NULL) \
            SELECT hook, bucket FROM bound WHERE EXISTS \
              (SELECT 1 FROM hook_id_buckets b WHERE b.hook = bound.hook AND b.bucket < bound.bucket) LIMIT 1";
        let query = sqlx::query_as(sql).bind(before.0).bind(id_buckets::BITS);
        let found: Option<(i64, i64)> = query.fetch_optional(&self.readers).await?;
        let Some((hook, bucket)) = found.map(|(hook, bucket)| (HookId(hook), bucket)) else {
            return Ok(false);
        };
        let sql = "DELETE FROM hook_id_buckets WHERE hook = ?1 AND bucket IN \
            (SELECT bucket FROM hook_id_buckets WHERE hook = ?1 AND bucket < ?2 ORDER BY bucket LIMIT ?3)";
        self.changes(sqlx::query(sql).bind(hook.0).bind(bucket).bind(MAX_BUCKETS)).await?;
        Ok(true)
    }
}
