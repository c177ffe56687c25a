//! Hooks and their secrets.

use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::sqlite::SqliteConnection;
use tokio::task::JoinHandle;

use super::claims;
use super::directory_log;
use super::errors::taken;
use super::rowless::Selection;
use super::rows::{HookRow, damaged, readable};
use super::statements::Query;
use super::stores::SqliteStores;
use crate::domain::{AuditEntry, Hook, HookId, SigningSecret, TenantId, UnixMillis};
use crate::storage::{Cancelling, ConfigChange, ConfigKey, HookDeletion, HookStore, Revision, StorageError};
use crate::vault::Vault;

type SecretRow = (i64, Vec<u8>, Option<i64>);

#[async_trait]
impl HookStore for SqliteStores {
    async fn load(&self) -> Result<Vec<Hook>, StorageError> {
        // In one transaction: a secret could be rotated between two statements.
        let mut reader = self.readers.begin().await?;
        let mut plain = plain_secrets(&mut reader, None).await?;
        // Row by row: all rows and all hooks together would take twice the memory.
        let mut rows = sqlx::query_as::<_, HookRow>("SELECT * FROM hooks ORDER BY id").fetch(&mut *reader);
        let mut hooks = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let id = HookId(row.id);
            let secrets =
                plain.remove(&row.id).unwrap_or_default().into_iter().filter_map(readable).collect();
            match row.into_hook(secrets, &self.vault) {
                Ok(hook) => hooks.push(hook),
                Err(error) => {
                    tracing::error!(hook = %id, error = &error as &dyn std::error::Error, "a hook's row is damaged: it is left out and stays on disk");
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
        self.health.check_space()?;
        let row = HookRow::of(hook, &self.vault)?;
        let mut writer = self.writer().await;
        let inserted = insert(writer.begin().await?, row, (hook, basis), entry).await;
        writer.finish(inserted).await
    }

    async fn update(
        &self,
        hook: &Hook,
        expected: UnixMillis,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let row = HookRow::of(hook, &self.vault)?;
        let mut writer = self.writer().await;
        let updated = update(writer.begin().await?, row, (hook, expected, basis), entry).await;
        writer.finish(updated).await
    }

    /// The first transaction deletes the hook and cancels some of its deliveries; the rest follow in transactions of their own,
    /// so that a large backlog does not block others. From the first one on nothing of the hook is claimed. After a crash in
    /// between, [`recover`](crate::storage::DeliveryStore::recover) finishes the work.
    async fn delete(
        &self,
        tenant: TenantId,
        id: HookId,
        entry: &AuditEntry,
    ) -> Result<Option<HookDeletion>, StorageError> {
        // In tasks, so that the work goes on if the caller does not wait.
        let deleting = tokio::spawn(self.clone().delete_first(tenant, id, entry.clone()));
        let deleted = deleting.await.map_err(|_| StorageError::Closed)??;
        Ok(deleted.map(|(revision, task)| {
            let cancelling: Cancelling = Box::pin(async { task.await.map_err(|_| StorageError::Closed)? });
            HookDeletion { revision, cancelling }
        }))
    }
}

impl SqliteStores {
    /// The first transaction. Returns its revision and the task that does the rest.
    async fn delete_first(
        self,
        tenant: TenantId,
        id: HookId,
        entry: AuditEntry,
    ) -> Result<Option<(Revision, JoinHandle<Result<(), StorageError>>)>, StorageError> {
        let mut connection = self.writer().await;
        let deleted = delete(connection.begin().await?, (tenant, id), &entry).await;
        let Some((revision, more)) = connection.finish(deleted).await? else { return Ok(None) };
        connection.forget_hook(id);
        drop(connection);
        Ok(Some((revision, tokio::spawn(self.cancel_rest(id, more)))))
    }

    async fn cancel_rest(self, id: HookId, more: bool) -> Result<(), StorageError> {
        if more {
            claims::cancel_all(&self.writer, id).await?;
        }
        // Deliveries without a row get one as cancelled: the writer knows by now that the hook was deleted.
        self.materialize(Selection::OfHook(id)).await
    }
}

async fn insert(
    connection: &mut SqliteConnection,
    row: HookRow,
    (hook, basis): (&Hook, Revision),
    entry: &AuditEntry,
) -> Result<ConfigChange, StorageError> {
    if directory_log::is_stale(connection, hook.tenant, basis).await? {
        return Ok(ConfigChange::Conflict);
    }
    let sql = "INSERT INTO hooks (url, subscription, enabled, description, headers, pipeline, timeout_ms, retry_ms, \
        signing, created_at, updated_at, surface, surface_members, project, preflight, authorization, \
        authorization_enabled, sealed, masked_headers, options, id, tenant_id) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let inserted = bind(sql, row).execute(&mut *connection).await;
    inserted.map_err(|error| taken(error, |_| format!("the id {}", hook.id)))?;
    let key = ConfigKey::Hook(hook.tenant, hook.id);
    directory_log::add(connection, &key, entry).await.map(ConfigChange::Done)
}

/// Replaces the hook if it was last changed at `expected`.
async fn update(
    connection: &mut SqliteConnection,
    row: HookRow,
    (hook, expected, basis): (&Hook, UnixMillis, Revision),
    entry: &AuditEntry,
) -> Result<ConfigChange, StorageError> {
    let sql = "SELECT updated_at FROM hooks WHERE id = ? AND tenant_id = ?";
    let query = sqlx::query_scalar(sql).bind(hook.id.0).bind(hook.tenant.0);
    let updated_at: Option<i64> = query.fetch_optional(&mut *connection).await?;
    let Some(updated_at) = updated_at else { return Ok(ConfigChange::Missing) };
    if updated_at != expected.0 || directory_log::is_stale(connection, hook.tenant, basis).await? {
        return Ok(ConfigChange::Conflict);
    }
    if !replace(connection, row).await? {
        return Ok(ConfigChange::Missing);
    }
    let key = ConfigKey::Hook(hook.tenant, hook.id);
    directory_log::add(connection, &key, entry).await.map(ConfigChange::Done)
}

/// One hook; none if its row is damaged.
pub async fn hook(
    connection: &mut SqliteConnection,
    vault: &Vault,
    tenant: TenantId,
    id: HookId,
) -> Result<Option<Hook>, StorageError> {
    let mut plain = plain_secrets(connection, Some(id.0)).await?;
    let query = sqlx::query_as::<_, HookRow>("SELECT * FROM hooks WHERE id = ? AND tenant_id = ?");
    let row = query.bind(id.0).bind(tenant.0).fetch_optional(connection).await?;
    let secrets = plain.remove(&id.0).unwrap_or_default().into_iter().filter_map(readable).collect();
    Ok(row.and_then(|row| readable(row.into_hook(secrets, vault))))
}

/// Replaces the hook with the id and tenant of `row`; false if there is none.
pub async fn replace(connection: &mut SqliteConnection, row: HookRow) -> Result<bool, StorageError> {
    let id = HookId(row.id);
    let sql = "UPDATE hooks SET url = ?, subscription = ?, enabled = ?, description = ?, headers = ?, pipeline = ?, \
        timeout_ms = ?, retry_ms = ?, signing = ?, created_at = ?, updated_at = ?, surface = ?, surface_members = ?, \
        project = ?, preflight = ?, authorization = ?, authorization_enabled = ?, sealed = ?, masked_headers = ?, \
        options = ? \
        WHERE id = ? AND tenant_id = ?";
    if bind(sql, row).execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(false);
    }
    // Plain secrets of an earlier engine.
    delete_secrets(connection, id).await?;
    Ok(true)
}

/// `None` if there was none; else the revision, and whether there may be more deliveries to cancel.
async fn delete(
    connection: &mut SqliteConnection,
    (tenant, id): (TenantId, HookId),
    entry: &AuditEntry,
) -> Result<Option<(Revision, bool)>, StorageError> {
    let query = sqlx::query("DELETE FROM hooks WHERE id = ? AND tenant_id = ?").bind(id.0).bind(tenant.0);
    if query.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(None);
    }
    delete_secrets(&mut *connection, id).await?;
    sqlx::query("DELETE FROM hook_health WHERE hook_id = ?").bind(id.0).execute(&mut *connection).await?;
    let revision = directory_log::add(connection, &ConfigKey::Hook(tenant, id), entry).await?;
    let more = claims::cancel_some(connection, id).await?;
    Ok(Some((revision, more)))
}

fn bind(sql: &'static str, row: HookRow) -> Query<'static> {
    let query = sqlx::query(sql).bind(row.url).bind(row.subscription).bind(row.enabled).bind(row.description);
    let query = query.bind(row.headers).bind(row.pipeline).bind(row.timeout_ms).bind(row.retry_ms);
    let query = query.bind(row.signing).bind(row.created_at).bind(row.updated_at);
    let query = query.bind(row.surface).bind(row.surface_members).bind(row.project).bind(row.preflight);
    let query = query.bind(row.authorization).bind(row.authorization_enabled).bind(row.sealed);
    let query = query.bind(row.masked_headers).bind(row.options);
    query.bind(row.id).bind(row.tenant_id)
}

/// The signing secrets that are not sealed yet, by hook: those of one hook, or of all. A damaged one is an error.
pub async fn plain_secrets(
    connection: &mut SqliteConnection,
    hook: Option<i64>,
) -> Result<HashMap<i64, Vec<Result<SigningSecret, StorageError>>>, StorageError> {
    let sql = "SELECT hook_id, secret, expires_at FROM hook_secrets WHERE hook_id = ifnull(?, hook_id) \
        ORDER BY hook_id, position";
    let rows: Vec<SecretRow> = sqlx::query_as(sql).bind(hook).fetch_all(connection).await?;
    let mut by_hook: HashMap<_, Vec<_>> = HashMap::new();
    for (hook, secret, expires_at) in rows {
        let secret = SigningSecret::from_bytes(secret)
            .map(|mut secret| {
                secret.expires_at = expires_at.map(UnixMillis);
                secret
            })
            .map_err(|error| damaged("signing secret", format!("{error}, of the hook {}", HookId(hook))));
        by_hook.entry(hook).or_default().push(secret);
    }
    Ok(by_hook)
}

async fn delete_secrets(connection: &mut SqliteConnection, id: HookId) -> Result<(), StorageError> {
    sqlx::query("DELETE FROM hook_secrets WHERE hook_id = ?").bind(id.0).execute(connection).await?;
    Ok(())
}
