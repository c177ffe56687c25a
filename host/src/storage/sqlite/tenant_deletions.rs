//! The deletion of tenants.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

use super::directory_log;
use super::purging::delete_deliveries;
use super::rowless::Selection;
use super::rows::{count_column, tenant_options_to_json, to_json};
use super::stores::SqliteStores;
use crate::domain::{
    AuditEntry, DeliveryId, EventKey, RemovedRows, Tenant, TenantDeletion, TenantId, UnixMillis,
};
use crate::storage::tenant_deletions::{
    DELIVERIES_AT_ONCE, DeletionRow, EVENTS_VISITED, ROWS_AT_ONCE, deletion_from_row,
};
use crate::storage::{ConfigChange, ConfigKey, DeletionStep, StorageError, TenantDeletionStore};

/// What is left once there are no deliveries and no events, in the order in which it is removed. `?1` is the tenant, `?2` how
/// many rows.
pub(super) const REST: &[&str] = &[
    "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM hook_health WHERE hook_id IN (SELECT s.hook_id FROM hooks h \
        CROSS JOIN hook_health s ON s.hook_id = h.id WHERE h.tenant_id = ?1 LIMIT ?2)",
    // One search for each hour: rows are clustered by hour and tenant.
    "DELETE FROM hook_stats WHERE (hour, tenant_id, hook_id, node) IN (WITH RECURSIVE hours (hour) AS \
        (SELECT min(hour) FROM hook_stats UNION ALL SELECT (SELECT min(s.hour) FROM hook_stats s \
            WHERE s.hour > h.hour) FROM hours h WHERE h.hour IS NOT NULL) \
        SELECT s.hour, s.tenant_id, s.hook_id, s.node FROM hours h \
        CROSS JOIN hook_stats s ON s.hour = h.hour AND s.tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM tenant_usage WHERE (tenant_id, day, node) IN \
        (SELECT tenant_id, day, node FROM tenant_usage WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM hook_id_buckets WHERE (hook, bucket) IN (SELECT b.hook, b.bucket FROM hooks h \
        CROSS JOIN hook_id_buckets b ON b.hook = h.id WHERE h.tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM hook_secrets WHERE (hook_id, position) IN (SELECT s.hook_id, s.position FROM hooks h \
        CROSS JOIN hook_secrets s ON s.hook_id = h.id WHERE h.tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM hooks WHERE id IN (SELECT id FROM hooks WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM logins WHERE (tenant_id, name) IN (SELECT tenant_id, name FROM logins WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM domain_tokens WHERE id IN (SELECT id FROM domain_tokens WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM projects WHERE (tenant_id, number) IN \
        (SELECT tenant_id, number FROM projects WHERE tenant_id = ?1 LIMIT ?2)",
];

#[async_trait]
impl TenantDeletionStore for SqliteStores {
    async fn begin(
        &self,
        tenant: &Tenant,
        deletion: &TenantDeletion,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let options = tenant_options_to_json(&tenant.options)?;
        let mut writer = self.writer().await;
        let begun = begin(writer.begin().await?, (tenant, options), deletion, entry).await;
        writer.finish(begun).await
    }

    async fn deletion(&self, tenant: TenantId) -> Result<Option<TenantDeletion>, StorageError> {
        let sql = "SELECT tenant_id, name, requested_at, finished_at, events_to, events, deliveries, attempts \
            FROM tenant_deletions WHERE tenant_id = ?";
        let row: Option<DeletionRow> =
            sqlx::query_as(sql).bind(tenant.0).fetch_optional(&self.readers).await?;
        Ok(row.map(deletion_from_row))
    }

    /// Only this process has deliveries in memory, and it knows which.
    async fn is_at_rest(&self, _: TenantId, _: UnixMillis) -> Result<bool, StorageError> {
        Ok(true)
    }

    async fn remove_some(&self, deletion: &TenantDeletion) -> Result<DeletionStep, StorageError> {
        self.materialize(Selection::OfTenant(deletion.tenant)).await?;
        if let Some(done) = self.remove_deliveries(deletion).await? {
            return Ok(DeletionStep::Removed(done));
        }
        if let Some(done) = self.remove_events(deletion).await? {
            return Ok(DeletionStep::Removed(done));
        }
        for sql in REST {
            let query = sqlx::query(*sql).bind(deletion.tenant.0).bind(ROWS_AT_ONCE);
            if self.changes(query).await? > 0 {
                return Ok(DeletionStep::Removed(deletion.clone()));
            }
        }
        let mut writer = self.writer().await;
        let removed = remove_plugin(writer.begin().await?, deletion.tenant).await;
        Ok(match writer.finish(removed).await? {
            true => DeletionStep::Removed(deletion.clone()),
            false => DeletionStep::Empty,
        })
    }

    async fn end(
        &self,
        deletion: &TenantDeletion,
        now: UnixMillis,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let mut writer = self.writer().await;
        let ended = end(writer.begin().await?, deletion.tenant, now, entry).await;
        writer.finish(ended).await
    }
}

impl SqliteStores {
    /// `None` if there are none.
    async fn remove_deliveries(
        &self,
        deletion: &TenantDeletion,
    ) -> Result<Option<TenantDeletion>, StorageError> {
        let sql = "SELECT id FROM deliveries WHERE tenant_id = ? ORDER BY id LIMIT ?";
        let query = sqlx::query_scalar(sql).bind(deletion.tenant.0).bind(DELIVERIES_AT_ONCE);
        let ids: Vec<i64> = query.fetch_all(&self.readers).await?;
        if ids.is_empty() {
            return Ok(None);
        }
        let mut writer = self.writer().await;
        let removed = remove_deliveries(writer.begin().await?, deletion, &ids).await;
        writer.finish(removed).await.map(Some)
    }

    /// `None` if all were visited. The table has no index by tenant, which would slow acceptance down.
    async fn remove_events(&self, deletion: &TenantDeletion) -> Result<Option<TenantDeletion>, StorageError> {
        let sql = "SELECT key, tenant_id = ? FROM events WHERE key > ? ORDER BY key LIMIT ?";
        let query = sqlx::query_as(sql).bind(deletion.tenant.0).bind(deletion.events_to.0);
        let visited: Vec<(i64, bool)> = query.bind(EVENTS_VISITED).fetch_all(&self.readers).await?;
        let Some((last, _)) = visited.last().copied() else { return Ok(None) };
        let keys: Vec<i64> = visited.into_iter().filter(|(_, is_its)| *is_its).map(|(key, _)| key).collect();
        let after = TenantDeletion { events_to: EventKey(last), ..deletion.clone() };
        if keys.is_empty() {
            // After a crash, it is looked at again.
            return Ok(Some(after));
        }
        let mut writer = self.writer().await;
        let removed = remove_events(writer.begin().await?, after, &keys).await;
        writer.finish(removed).await.map(Some)
    }
}

async fn begin(
    connection: &mut SqliteConnection,
    (tenant, options): (&Tenant, String),
    deletion: &TenantDeletion,
    entry: &AuditEntry,
) -> Result<ConfigChange, StorageError> {
    let sql = "UPDATE tenants SET name = ?, client_id = NULL, options = ? WHERE id = ?";
    let query = sqlx::query(sql).bind(&tenant.name).bind(options).bind(tenant.id.0);
    if query.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(ConfigChange::Missing);
    }
    let sql = "INSERT INTO tenant_deletions VALUES (?, ?, ?, NULL, 0, 0, 0, 0)";
    let query = sqlx::query(sql).bind(tenant.id.0).bind(&deletion.name).bind(deletion.requested_at.0);
    query.execute(&mut *connection).await?;
    // No step of them commits after this.
    let sql = "UPDATE jobs SET state = 3, lease_id = NULL, finished_at = ? WHERE tenant_id = ? AND state < 2";
    sqlx::query(sql).bind(deletion.requested_at.0).bind(tenant.id.0).execute(&mut *connection).await?;
    directory_log::add(connection, &ConfigKey::Tenant(tenant.id), entry).await.map(ConfigChange::Done)
}

async fn end(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    now: UnixMillis,
    entry: &AuditEntry,
) -> Result<ConfigChange, StorageError> {
    let sql = "UPDATE tenant_deletions SET finished_at = ? WHERE tenant_id = ? AND finished_at IS NULL";
    sqlx::query(sql).bind(now.0).bind(tenant.0).execute(&mut *connection).await?;
    let query = sqlx::query("DELETE FROM tenants WHERE id = ?").bind(tenant.0);
    if query.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(ConfigChange::Missing);
    }
    directory_log::add(connection, &ConfigKey::Tenant(tenant), entry).await.map(ConfigChange::Done)
}

async fn remove_deliveries(
    connection: &mut SqliteConnection,
    deletion: &TenantDeletion,
    ids: &[i64],
) -> Result<TenantDeletion, StorageError> {
    let deliveries: Vec<_> = ids.iter().map(|id| (deletion.tenant, DeliveryId(*id))).collect();
    let deleted = delete_deliveries(connection, &deliveries).await?;
    let mut after = deletion.clone();
    after.removed.deliveries += deleted.deliveries;
    after.removed.attempts += deleted.attempts;
    note(connection, &after).await?;
    Ok(after)
}

async fn remove_events(
    connection: &mut SqliteConnection,
    mut after: TenantDeletion,
    keys: &[i64],
) -> Result<TenantDeletion, StorageError> {
    let keys = to_json(keys)?;
    let sql =
        "DELETE FROM erased_events WHERE tenant_id = ? AND event_key IN (SELECT value FROM json_each(?))";
    sqlx::query(sql).bind(after.tenant.0).bind(&keys).execute(&mut *connection).await?;
    let sql = "DELETE FROM events WHERE tenant_id = ? AND key IN (SELECT value FROM json_each(?))";
    let query = sqlx::query(sql).bind(after.tenant.0).bind(keys);
    after.removed.events += query.execute(&mut *connection).await?.rows_affected();
    note(connection, &after).await?;
    Ok(after)
}

async fn note(connection: &mut SqliteConnection, deletion: &TenantDeletion) -> Result<(), StorageError> {
    let RemovedRows { events, deliveries, attempts } = deletion.removed;
    let sql = "UPDATE tenant_deletions SET events_to = ?, events = ?, deliveries = ?, attempts = ? WHERE tenant_id = ?";
    let query = sqlx::query(sql).bind(deletion.events_to.0).bind(count_column(events));
    let query = query.bind(count_column(deliveries)).bind(count_column(attempts));
    query.bind(deletion.tenant.0).execute(connection).await?;
    Ok(())
}

/// Removes one version of a plugin, and its bytes if no other version has them; false if there is none.
async fn remove_plugin(connection: &mut SqliteConnection, tenant: TenantId) -> Result<bool, StorageError> {
    let sql = "DELETE FROM plugin_versions WHERE (owner, name, version) IN \
        (SELECT owner, name, version FROM plugin_versions WHERE owner = ? LIMIT 1) RETURNING digest";
    let digest: Option<Vec<u8>> =
        sqlx::query_scalar(sql).bind(tenant.0).fetch_optional(&mut *connection).await?;
    let Some(digest) = digest else { return Ok(false) };
    let sql = "DELETE FROM plugin_blobs WHERE digest = ?1 \
        AND NOT EXISTS (SELECT 1 FROM plugin_versions WHERE digest = ?1)";
    sqlx::query(sql).bind(digest).execute(connection).await?;
    Ok(true)
}
