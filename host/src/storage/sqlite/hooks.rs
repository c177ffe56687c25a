//! Hooks and their secrets.

use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::sqlite::SqliteConnection;
use tokio::task::JoinHandle;

use super::claims;
use super::errors::taken;
use super::hook_rows::HookRow;
use super::rowless::Selection;
use super::rows::{damaged, readable};
use super::statements::Query;
use super::stores::SqliteStores;
use crate::domain::{Hook, HookId, SigningSecret, TenantId, UnixMillis};
use crate::storage::{Cancelling, HookStore, StorageError};

type SecretRow = (i64, Vec<u8>, Option<i64>);

#[async_trait]
impl HookStore for SqliteStores {
    async fn load(&self) -> Result<Vec<Hook>, StorageError> {
        // In one transaction: a secret that is rotated between two statements would be of neither state.
        let mut reader = self.readers.begin().await?;
        let mut plain = plain_secrets(&mut reader, None).await?;
        // Row by row: rows and hooks side by side would take twice the memory.
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

    async fn insert(&self, hook: &Hook) -> Result<(), StorageError> {
        self.health.check_space()?;
        let row = HookRow::of(hook, &self.vault)?;
        let mut writer = self.writer().await;
        let inserted = insert(writer.begin().await?, row, hook).await;
        writer.finish(inserted).await
    }

    async fn update(&self, hook: &Hook) -> Result<bool, StorageError> {
        let row = HookRow::of(hook, &self.vault)?;
        let mut writer = self.writer().await;
        let updated = update(writer.begin().await?, row).await;
        writer.finish(updated).await
    }

    /// The hook goes first, with the first of its deliveries; the rest follow in transactions of their own, so that
    /// a great backlog holds nobody up. Nothing is claimed from it any more from the first of them on, and where a
    /// crash comes between, [`recover`](crate::storage::DeliveryStore::recover) finishes the work.
    async fn delete(&self, tenant: TenantId, id: HookId) -> Result<Option<Cancelling>, StorageError> {
        // In tasks, so that it goes on where the caller does not wait for the end.
        let deleting = tokio::spawn(self.clone().delete_first(tenant, id));
        let cancelling = deleting.await.map_err(|_| StorageError::Closed)??;
        Ok(cancelling
            .map(|task| -> Cancelling { Box::pin(async { task.await.map_err(|_| StorageError::Closed)? }) }))
    }
}

impl SqliteStores {
    /// The first transaction; answers with the task that does the rest.
    async fn delete_first(
        self,
        tenant: TenantId,
        id: HookId,
    ) -> Result<Option<JoinHandle<Result<(), StorageError>>>, StorageError> {
        let mut connection = self.writer().await;
        let deleted = delete(connection.begin().await?, tenant, id).await;
        let Some(more) = connection.finish(deleted).await? else { return Ok(None) };
        connection.forget_hook(id);
        drop(connection);
        Ok(Some(tokio::spawn(self.cancel_rest(id, more))))
    }

    async fn cancel_rest(self, id: HookId, more: bool) -> Result<(), StorageError> {
        if more {
            claims::cancel_all(&self.writer, id).await?;
        }
        // Those without a row get one, as cancelled as the others: the writer knows by now that the hook is gone.
        self.materialize(Selection::OfHook(id)).await
    }
}

async fn insert(connection: &mut SqliteConnection, row: HookRow, hook: &Hook) -> Result<(), StorageError> {
    let sql = "INSERT INTO hooks (url, subscription, enabled, description, headers, pipeline, timeout_ms, retry_ms, \
        signing, created_at, updated_at, surface, surface_members, project, preflight, authorization, \
        authorization_enabled, sealed, masked_headers, id, tenant_id) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let inserted = bind(sql, row).execute(&mut *connection).await;
    inserted.map(drop).map_err(|error| taken(error, |_| format!("the id {}", hook.id)))
}

/// Puts `row` in the place of the hook with its id and tenant; false if there is none.
pub async fn update(connection: &mut SqliteConnection, row: HookRow) -> Result<bool, StorageError> {
    let id = HookId(row.id);
    let sql = "UPDATE hooks SET url = ?, subscription = ?, enabled = ?, description = ?, headers = ?, pipeline = ?, \
        timeout_ms = ?, retry_ms = ?, signing = ?, created_at = ?, updated_at = ?, surface = ?, surface_members = ?, \
        project = ?, preflight = ?, authorization = ?, authorization_enabled = ?, sealed = ?, masked_headers = ? \
        WHERE id = ? AND tenant_id = ?";
    if bind(sql, row).execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(false);
    }
    // Those of an earlier engine, which were not sealed.
    delete_secrets(connection, id).await?;
    Ok(true)
}

/// `None` if there was none; else whether there may be more deliveries to cancel.
async fn delete(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    id: HookId,
) -> Result<Option<bool>, StorageError> {
    let query = sqlx::query("DELETE FROM hooks WHERE id = ? AND tenant_id = ?").bind(id.0).bind(tenant.0);
    if query.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(None);
    }
    delete_secrets(&mut *connection, id).await?;
    claims::cancel_some(connection, id).await.map(Some)
}

fn bind(sql: &'static str, row: HookRow) -> Query<'static> {
    let query = sqlx::query(sql).bind(row.url).bind(row.subscription).bind(row.enabled).bind(row.description);
    let query = query.bind(row.headers).bind(row.pipeline).bind(row.timeout_ms).bind(row.retry_ms);
    let query = query.bind(row.signing).bind(row.created_at).bind(row.updated_at);
    let query = query.bind(row.surface).bind(row.surface_members).bind(row.project).bind(row.preflight);
    let query = query.bind(row.authorization).bind(row.authorization_enabled).bind(row.sealed);
    let query = query.bind(row.masked_headers);
    query.bind(row.id).bind(row.tenant_id)
}

/// Signing secrets that are not sealed yet, by hook: those of one hook, or of all. One that is damaged is an error in its
/// place.
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
