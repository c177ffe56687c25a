//! Hooks.

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx_postgres::PgConnection;

use super::directory_log;
use super::errors::taken;
use super::nodes;
use super::stores::{PostgresStores, Statement};
use crate::domain::{AuditEntry, Hook, HookId, TenantId, UnixMillis};
use crate::storage::columns::{HookRow, readable};
use crate::storage::{Cancelling, ConfigChange, ConfigKey, HookDeletion, HookStore, Revision, StorageError};
use crate::vault::Vault;

#[async_trait]
impl HookStore for PostgresStores {
    async fn load(&self) -> Result<Vec<Hook>, StorageError> {
        // Row by row: rows and hooks side by side would take twice the memory.
        let mut rows = sqlx::query_as::<_, HookRow>("SELECT * FROM hooks ORDER BY id").fetch(self.pool());
        let mut hooks = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let id = HookId(row.id);
            match row.into_hook(Vec::new(), &self.session.vault) {
                Ok(hook) => hooks.push(hook),
                Err(error) => {
                    tracing::error!(hook = %id, error = &error as &dyn std::error::Error, "a hook's row is damaged: it is left out and stays in the database");
                }
            }
        }
        Ok(hooks)
    }

    async fn insert(
        &self,
        hook: &Hook,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let row = HookRow::of(hook, &self.session.vault)?;
        self.change(async |connection: &mut PgConnection| insert(connection, row, (hook, basis), entry).await)
            .await
    }

    async fn update(
        &self,
        hook: &Hook,
        expected: UnixMillis,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let row = HookRow::of(hook, &self.session.vault)?;
        self.change(async |connection: &mut PgConnection| {
            update(connection, row, (hook, expected, basis), entry).await
        })
        .await
    }

    /// The hook goes first. Its deliveries follow in transactions of their own, so that a large backlog does not block others.
    /// After a crash in between, [`recover`](crate::storage::DeliveryStore::recover) finishes the work.
    async fn delete(
        &self,
        tenant: TenantId,
        id: HookId,
        entry: &AuditEntry,
    ) -> Result<Option<HookDeletion>, StorageError> {
        let deletion = async {
            let mut transaction = self.begin_change().await?;
            let revision = delete(&mut transaction, (tenant, id), entry).await?;
            transaction.commit().await?;
            Ok::<_, StorageError>(revision)
        };
        let Some(revision) = self.pool().bounded(deletion).await? else { return Ok(None) };
        let pool = self.pool().clone();
        // In a task, so that the work goes on if the caller does not wait.
        let task = tokio::spawn(async move { nodes::cancel_deliveries(&pool, id).await });
        let cancelling: Cancelling = Box::pin(async { task.await.map_err(|_| StorageError::Closed)? });
        Ok(Some(HookDeletion { revision, cancelling }))
    }
}

async fn insert(
    connection: &mut PgConnection,
    row: HookRow,
    (hook, basis): (&Hook, Revision),
    entry: &AuditEntry,
) -> Result<ConfigChange, StorageError> {
    if directory_log::is_stale(connection, hook.tenant, basis).await? {
        return Ok(ConfigChange::Conflict);
    }
    let sql = "INSERT INTO hooks (url, subscription, enabled, description, headers, pipeline, timeout_ms, retry_ms, \
        signing, created_at, updated_at, surface, surface_members, project, preflight, \"authorization\", \
        authorization_enabled, sealed, masked_headers, options, id, tenant_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
        $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)";
    let inserted = bind(sql, row).execute(&mut *connection).await;
    inserted.map_err(|error| taken(error, |_| format!("the id {}", hook.id)))?;
    let key = ConfigKey::Hook(hook.tenant, hook.id);
    directory_log::add(connection, &key, entry).await.map(ConfigChange::Done)
}

/// Replaces the hook if it was last changed at `expected`.
async fn update(
    connection: &mut PgConnection,
    row: HookRow,
    (hook, expected, basis): (&Hook, UnixMillis, Revision),
    entry: &AuditEntry,
) -> Result<ConfigChange, StorageError> {
    let sql = "SELECT updated_at FROM hooks WHERE id = $1 AND tenant_id = $2";
    let query = sqlx::query_scalar(sql).bind(hook.id.0).bind(hook.tenant.0);
    let updated_at: Option<i64> = query.fetch_optional(&mut *connection).await?;
    let Some(updated_at) = updated_at else { return Ok(ConfigChange::Missing) };
    if updated_at != expected.0 || directory_log::is_stale(connection, hook.tenant, basis).await? {
        return Ok(ConfigChange::Conflict);
    }
    let sql = "UPDATE hooks SET url = $1, subscription = $2, enabled = $3, description = $4, headers = $5, \
        pipeline = $6, timeout_ms = $7, retry_ms = $8, signing = $9, created_at = $10, updated_at = $11, surface = $12, \
        surface_members = $13, project = $14, preflight = $15, \"authorization\" = $16, authorization_enabled = $17, \
        sealed = $18, masked_headers = $19, options = $20 WHERE id = $21 AND tenant_id = $22";
    bind(sql, row).execute(&mut *connection).await?;
    let key = ConfigKey::Hook(hook.tenant, hook.id);
    directory_log::add(connection, &key, entry).await.map(ConfigChange::Done)
}

/// One hook; none if its row is damaged.
pub async fn hook(
    connection: &mut PgConnection,
    vault: &Vault,
    tenant: TenantId,
    id: HookId,
) -> Result<Option<Hook>, StorageError> {
    let query = sqlx::query_as::<_, HookRow>("SELECT * FROM hooks WHERE id = $1 AND tenant_id = $2");
    let row = query.bind(id.0).bind(tenant.0).fetch_optional(connection).await?;
    Ok(row.and_then(|row| readable(row.into_hook(Vec::new(), vault))))
}

/// `None` if there was none.
async fn delete(
    connection: &mut PgConnection,
    (tenant, id): (TenantId, HookId),
    entry: &AuditEntry,
) -> Result<Option<Revision>, StorageError> {
    let query = sqlx::query("DELETE FROM hooks WHERE id = $1 AND tenant_id = $2").bind(id.0).bind(tenant.0);
    if query.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(None);
    }
    sqlx::query("DELETE FROM hook_health WHERE hook_id = $1").bind(id.0).execute(&mut *connection).await?;
    let sql = "INSERT INTO deleted_hooks (id) VALUES ($1) ON CONFLICT DO NOTHING";
    sqlx::query(sql).bind(id.0).execute(&mut *connection).await?;
    directory_log::add(connection, &ConfigKey::Hook(tenant, id), entry).await.map(Some)
}

fn bind(sql: &'static str, row: HookRow) -> Statement<'static> {
    let query = sqlx::query(sql).bind(row.url).bind(row.subscription).bind(row.enabled).bind(row.description);
    let query = query.bind(row.headers).bind(row.pipeline).bind(row.timeout_ms).bind(row.retry_ms);
    let query = query.bind(row.signing).bind(row.created_at).bind(row.updated_at);
    let query = query.bind(row.surface).bind(row.surface_members).bind(row.project).bind(row.preflight);
    let query = query.bind(row.authorization).bind(row.authorization_enabled).bind(row.sealed);
    let query = query.bind(row.masked_headers).bind(row.options);
    query.bind(row.id).bind(row.tenant_id)
}
