//! The deletion of tenants.

use async_trait::async_trait;
use sqlx_postgres::PgConnection;

use super::directory_log;
use super::stores::PostgresStores;
use crate::domain::{AuditEntry, EventKey, RemovedRows, Tenant, TenantDeletion, TenantId, UnixMillis};
use crate::storage::columns::{count_column, tenant_options_to_json};
use crate::storage::tenant_deletions::{
    DELIVERIES_AT_ONCE, DeletionRow, EVENTS_VISITED, ROWS_AT_ONCE, deletion_from_row,
};
use crate::storage::{ConfigChange, ConfigKey, DeletionStep, StorageError, TenantDeletionStore};

/// What is left once there are no deliveries and no events, in the order in which it is removed. `$1` is the tenant, `$2` how
/// many rows.
pub(super) const REST: &[&str] = &[
    "DELETE FROM event_names WHERE (tenant_id, kind, name) IN \
        (SELECT tenant_id, kind, name FROM event_names WHERE tenant_id = $1 LIMIT $2)",
    "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE tenant_id = $1 LIMIT $2)",
    "DELETE FROM hook_health WHERE hook_id IN (SELECT s.hook_id FROM hooks h \
        JOIN hook_health s ON s.hook_id = h.id WHERE h.tenant_id = $1 LIMIT $2)",
    // One search for each hour: the key begins with the hour and the tenant.
    "DELETE FROM hook_stats WHERE (hour, tenant_id, hook_id, node) IN (WITH RECURSIVE hours (hour) AS \
        (SELECT min(hour) FROM hook_stats UNION ALL SELECT (SELECT min(s.hour) FROM hook_stats s \
            WHERE s.hour > h.hour) FROM hours h WHERE h.hour IS NOT NULL) \
        SELECT s.hour, s.tenant_id, s.hook_id, s.node FROM hours h CROSS JOIN LATERAL \
            (SELECT * FROM hook_stats s WHERE s.hour = h.hour AND s.tenant_id = $1) s LIMIT $2)",
    "DELETE FROM tenant_usage WHERE (tenant_id, day, node) IN \
        (SELECT tenant_id, day, node FROM tenant_usage WHERE tenant_id = $1 LIMIT $2)",
    "WITH gone AS (DELETE FROM hooks WHERE id IN (SELECT id FROM hooks WHERE tenant_id = $1 LIMIT $2) RETURNING id) \
        INSERT INTO deleted_hooks SELECT id FROM gone ON CONFLICT DO NOTHING",
    "DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys WHERE tenant_id = $1 LIMIT $2)",
    "DELETE FROM logins WHERE (tenant_id, name) IN (SELECT tenant_id, name FROM logins WHERE tenant_id = $1 LIMIT $2)",
    "DELETE FROM domain_tokens WHERE id IN (SELECT id FROM domain_tokens WHERE tenant_id = $1 LIMIT $2)",
    "DELETE FROM projects WHERE (tenant_id, number) IN \
        (SELECT tenant_id, number FROM projects WHERE tenant_id = $1 LIMIT $2)",
    "WITH gone AS (DELETE FROM plugin_versions WHERE (owner, name, version) IN \
            (SELECT owner, name, version FROM plugin_versions WHERE owner = $1 LIMIT least($2, 8)) \
            RETURNING owner, name, version, digest) \
        DELETE FROM plugin_blobs b USING gone WHERE b.digest = gone.digest AND NOT EXISTS \
            (SELECT FROM plugin_versions v WHERE v.digest = b.digest AND (v.owner, v.name, v.version) NOT IN \
                (SELECT owner, name, version FROM gone))",
];

/// Whether there is still something that [`REST`] removes, for statements whose count of rows does not say so.
const HAS_PLUGINS: &str = "SELECT EXISTS (SELECT FROM plugin_versions WHERE owner = $1)";

#[async_trait]
impl TenantDeletionStore for PostgresStores {
    async fn begin(
        &self,
        tenant: &Tenant,
        deletion: &TenantDeletion,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let options = tenant_options_to_json(&tenant.options)?;
        self.change(async |connection: &mut PgConnection| {
            begin(connection, (tenant, options), deletion, entry).await
        })
        .await
    }

    async fn deletion(&self, tenant: TenantId) -> Result<Option<TenantDeletion>, StorageError> {
        let sql = "SELECT tenant_id, name, requested_at, finished_at, events_to, events, deliveries, attempts \
            FROM tenant_deletions WHERE tenant_id = $1";
        let query = sqlx::query_as(sql).bind(tenant.0);
        let row: Option<DeletionRow> = query.fetch_optional(self.pool()).await?;
        Ok(row.map(deletion_from_row))
    }

    async fn is_at_rest(&self, tenant: TenantId, now: UnixMillis) -> Result<bool, StorageError> {
        // Deliveries that only their events name are of events after the marks of the nodes.
        let sql = "SELECT NOT EXISTS (SELECT FROM unfinished_deliveries \
                WHERE tenant_id = $1 AND state = 1 AND lease_until > $2) \
            AND NOT EXISTS (SELECT FROM events e CROSS JOIN unnest(e.delivery_ids) d (id) \
                WHERE e.key > (SELECT coalesce(min(written_until), 0) FROM nodes WHERE NOT ended) \
                    AND e.tenant_id = $1 AND e.lease_until > $2 \
                    AND NOT EXISTS (SELECT FROM unfinished_deliveries u WHERE u.tenant_id = $1 AND u.id = d.id) \
                    AND NOT EXISTS (SELECT FROM finished_deliveries f WHERE f.tenant_id = $1 AND f.id = d.id))";
        let query = sqlx::query_scalar(sql).bind(tenant.0).bind(now.0);
        Ok(query.fetch_one(self.pool()).await?)
    }

    async fn remove_some(&self, deletion: &TenantDeletion) -> Result<DeletionStep, StorageError> {
        let rowless = self.session.rowless.list(deletion.tenant, |_| true);
        self.session.materialize(&rowless.iter().map(|delivery| delivery.id).collect::<Vec<_>>()).await?;
        for unfinished in [true, false] {
            if let Some(done) = self.remove_deliveries(deletion, unfinished).await? {
                return Ok(DeletionStep::Removed(done));
            }
        }
        if let Some(done) = self.remove_events(deletion).await? {
            return Ok(DeletionStep::Removed(done));
        }
        for sql in REST {
            let query = sqlx::query(*sql).bind(deletion.tenant.0).bind(ROWS_AT_ONCE);
            if query.execute(self.pool()).await?.rows_affected() > 0 {
                return Ok(DeletionStep::Removed(deletion.clone()));
            }
        }
        let query = sqlx::query_scalar(HAS_PLUGINS).bind(deletion.tenant.0);
        let has_plugins: bool = query.fetch_one(self.pool()).await?;
        Ok(if has_plugins { DeletionStep::Removed(deletion.clone()) } else { DeletionStep::Empty })
    }

    async fn end(
        &self,
        deletion: &TenantDeletion,
        now: UnixMillis,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let tenant = deletion.tenant;
        self.change(async |connection: &mut PgConnection| {
            let sql =
                "UPDATE tenant_deletions SET finished_at = $1 WHERE tenant_id = $2 AND finished_at IS NULL";
            sqlx::query(sql).bind(now.0).bind(tenant.0).execute(&mut *connection).await?;
            let query = sqlx::query("DELETE FROM tenants WHERE id = $1").bind(tenant.0);
            if query.execute(&mut *connection).await?.rows_affected() == 0 {
                return Ok(ConfigChange::Missing);
            }
            directory_log::add(connection, &ConfigKey::Tenant(tenant), entry).await.map(ConfigChange::Done)
        })
        .await
    }
}

impl PostgresStores {
    /// `None` if there are none.
    async fn remove_deliveries(
        &self,
        deletion: &TenantDeletion,
        unfinished: bool,
    ) -> Result<Option<TenantDeletion>, StorageError> {
        let sql = match unfinished {
            true => "SELECT id FROM unfinished_deliveries WHERE tenant_id = $1 ORDER BY id LIMIT $2",
            false => "SELECT id FROM finished_deliveries WHERE tenant_id = $1 ORDER BY id LIMIT $2",
        };
        let query = sqlx::query_scalar(sql).bind(deletion.tenant.0).bind(DELIVERIES_AT_ONCE);
        let ids: Vec<i64> = query.fetch_all(self.pool()).await?;
        if ids.is_empty() {
            return Ok(None);
        }
        let remove =
            async |connection: &mut PgConnection| remove_deliveries(connection, deletion, &ids).await;
        self.in_transaction(remove).await.map(Some)
    }

    /// `None` if all were visited. The table has no index by tenant, which would slow acceptance down.
    async fn remove_events(&self, deletion: &TenantDeletion) -> Result<Option<TenantDeletion>, StorageError> {
        let sql = "SELECT key, tenant_id = $1 FROM events WHERE key > $2 ORDER BY key LIMIT $3";
        let query = sqlx::query_as(sql).bind(deletion.tenant.0).bind(deletion.events_to.0);
        let visited: Vec<(i64, bool)> = query.bind(EVENTS_VISITED).fetch_all(self.pool()).await?;
        let Some((last, _)) = visited.last().copied() else { return Ok(None) };
        let keys: Vec<i64> = visited.into_iter().filter(|(_, is_its)| *is_its).map(|(key, _)| key).collect();
        let after = TenantDeletion { events_to: EventKey(last), ..deletion.clone() };
        if keys.is_empty() {
            // After a crash, it is looked at again.
            return Ok(Some(after));
        }
        let remove = async |connection: &mut PgConnection| remove_events(connection, after, &keys).await;
        self.in_transaction(remove).await.map(Some)
    }
}

async fn begin(
    connection: &mut PgConnection,
    (tenant, options): (&Tenant, String),
    deletion: &TenantDeletion,
    entry: &AuditEntry,
) -> Result<ConfigChange, StorageError> {
    let sql = "UPDATE tenants SET name = $1, client_id = NULL, options = $2 WHERE id = $3";
    let query = sqlx::query(sql).bind(&tenant.name).bind(options).bind(tenant.id.0);
    if query.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(ConfigChange::Missing);
    }
    let sql = "INSERT INTO tenant_deletions VALUES ($1, $2, $3, NULL, 0, 0, 0, 0)";
    let query = sqlx::query(sql).bind(tenant.id.0).bind(&deletion.name).bind(deletion.requested_at.0);
    query.execute(&mut *connection).await?;
    // No step of them commits after this.
    let sql =
        "UPDATE jobs SET state = 3, lease_id = NULL, finished_at = $1 WHERE tenant_id = $2 AND state < 2";
    let query = sqlx::query(sql).bind(deletion.requested_at.0).bind(tenant.id.0);
    query.execute(&mut *connection).await?;
    directory_log::add(connection, &ConfigKey::Tenant(tenant.id), entry).await.map(ConfigChange::Done)
}

async fn remove_deliveries(
    connection: &mut PgConnection,
    deletion: &TenantDeletion,
    ids: &[i64],
) -> Result<TenantDeletion, StorageError> {
    let run = async |connection: &mut PgConnection, sql: &'static str| {
        let query = sqlx::query(sql).bind(deletion.tenant.0).bind(ids);
        Ok::<_, StorageError>(query.execute(connection).await?.rows_affected())
    };
    // An attempt under the lease with which its delivery was stored has the delivery's own id.
    let bodies = "DELETE FROM kept_bodies WHERE tenant_id = $1 AND (attempt_id = ANY ($2) OR attempt_id IN \
        (SELECT id FROM attempts WHERE delivery_id = ANY ($2) AND delivery_id <> id))";
    run(connection, bodies).await?;
    let others = "DELETE FROM attempts WHERE delivery_id = ANY ($2) AND delivery_id <> id AND $1 <> 0";
    let mut attempts = run(connection, others).await?;
    let first = "DELETE FROM attempts WHERE id = ANY ($2) AND delivery_id = id AND $1 <> 0";
    attempts += run(connection, first).await?;
    run(connection, "DELETE FROM rendered_requests WHERE delivery_id = ANY ($2) AND $1 <> 0").await?;
    run(connection, "DELETE FROM delivery_notes WHERE delivery_id = ANY ($2) AND $1 <> 0").await?;
    let unfinished = "DELETE FROM unfinished_deliveries WHERE tenant_id = $1 AND id = ANY ($2)";
    let mut deliveries = run(connection, unfinished).await?;
    let finished = "DELETE FROM finished_deliveries WHERE tenant_id = $1 AND id = ANY ($2)";
    deliveries += run(connection, finished).await?;
    let mut after = deletion.clone();
    after.removed.deliveries += deliveries;
    after.removed.attempts += attempts;
    note(connection, &after).await?;
    Ok(after)
}

async fn remove_events(
    connection: &mut PgConnection,
    mut after: TenantDeletion,
    keys: &[i64],
) -> Result<TenantDeletion, StorageError> {
    let query = sqlx::query("DELETE FROM erased_events WHERE tenant_id = $1 AND event_key = ANY ($2)");
    query.bind(after.tenant.0).bind(keys).execute(&mut *connection).await?;
    let query = sqlx::query("DELETE FROM events WHERE tenant_id = $1 AND key = ANY ($2)");
    after.removed.events +=
        query.bind(after.tenant.0).bind(keys).execute(&mut *connection).await?.rows_affected();
    note(connection, &after).await?;
    Ok(after)
}

async fn note(connection: &mut PgConnection, deletion: &TenantDeletion) -> Result<(), StorageError> {
    let RemovedRows { events, deliveries, attempts } = deletion.removed;
    let sql = "UPDATE tenant_deletions SET events_to = $1, events = $2, deliveries = $3, attempts = $4 WHERE tenant_id = $5";
    let query = sqlx::query(sql).bind(deletion.events_to.0).bind(count_column(events));
    let query = query.bind(count_column(deliveries)).bind(count_column(attempts)).bind(deletion.tenant.0);
    query.execute(connection).await?;
    Ok(())
}
