//! Hooks and their secrets.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use sqlx::sqlite::SqliteConnection;
use tokio::task::JoinHandle;

use super::rows::{damaged, from_json, read_error, to_json};
use super::statements::{Query, taken};
use super::unwritten::Which;
use super::{Shared, claims};
use crate::domain::{
    Authorization, Hook, HookId, Invalid, Origin, Pipeline, RetrySchedule, SigningSecret, Step, Subscription,
    TenantId, UnixMillis,
};
use crate::storage::{Cancelling, HookStore, StorageError};

#[derive(FromRow)]
struct HookRow {
    id: i64,
    tenant_id: i64,
    url: String,
    subscription: String,
    enabled: bool,
    description: String,
    headers: String,
    pipeline: String,
    timeout_ms: i64,
    retry_ms: String,
    signing: String,
    created_at: i64,
    updated_at: i64,
    surface: String,
    surface_members: String,
    project: Option<i64>,
    preflight: String,
    authorization: Option<Vec<u8>>,
    authorization_enabled: bool,
}

type SecretRow = (i64, Vec<u8>, Option<i64>);

#[derive(Serialize, Deserialize)]
struct StepJson {
    plugin: String,
    settings: String,
}

#[async_trait]
impl HookStore for Shared {
    async fn load(&self) -> Result<Vec<Hook>, StorageError> {
        // In one transaction: a secret that is rotated between two statements would be of neither state.
        let mut reader = self.readers.begin().await.map_err(read_error)?;
        let sql = "SELECT hook_id, secret, expires_at FROM hook_secrets ORDER BY hook_id, position";
        let secrets: Vec<SecretRow> = sqlx::query_as(sql).fetch_all(&mut *reader).await?;
        let mut by_hook: HashMap<i64, Vec<SigningSecret>> = HashMap::new();
        for (hook, secret, expires_at) in secrets {
            let mut secret = SigningSecret::from_bytes(secret).map_err(bad)?;
            secret.expires_at = expires_at.map(UnixMillis);
            by_hook.entry(hook).or_default().push(secret);
        }
        // Row by row: rows and hooks side by side would take twice the memory.
        let mut rows = sqlx::query_as::<_, HookRow>("SELECT * FROM hooks ORDER BY id").fetch(&mut *reader);
        let mut hooks = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let secrets = by_hook.remove(&row.id).unwrap_or_default();
            hooks.push(self.hook_from_row(row, secrets)?);
        }
        Ok(hooks)
    }

    async fn insert(&self, hook: &Hook) -> Result<(), StorageError> {
        let row = self.hook_to_row(hook)?;
        let mut writer = self.writer().await;
        let inserted = insert(writer.begin().await?, row, hook).await;
        writer.finish(inserted).await
    }

    async fn update(&self, hook: &Hook) -> Result<bool, StorageError> {
        let row = self.hook_to_row(hook)?;
        let mut writer = self.writer().await;
        let updated = update(writer.begin().await?, row, hook).await;
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

impl Shared {
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
        self.settle(Which::OfHook(id)).await
    }
}

async fn insert(connection: &mut SqliteConnection, row: HookRow, hook: &Hook) -> Result<(), StorageError> {
    let sql = "INSERT INTO hooks (url, subscription, enabled, description, headers, pipeline, timeout_ms, retry_ms, \
        signing, created_at, updated_at, surface, surface_members, project, preflight, authorization, \
        authorization_enabled, id, tenant_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let inserted = bind(sql, row).execute(&mut *connection).await;
    inserted.map_err(|error| taken(error, |_| format!("the id {}", hook.id)))?;
    insert_secrets(connection, hook).await
}

async fn update(connection: &mut SqliteConnection, row: HookRow, hook: &Hook) -> Result<bool, StorageError> {
    let sql = "UPDATE hooks SET url = ?, subscription = ?, enabled = ?, description = ?, headers = ?, pipeline = ?, \
        timeout_ms = ?, retry_ms = ?, signing = ?, created_at = ?, updated_at = ?, surface = ?, surface_members = ?, \
        project = ?, preflight = ?, authorization = ?, authorization_enabled = ? WHERE id = ? AND tenant_id = ?";
    if bind(sql, row).execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(false);
    }
    delete_secrets(&mut *connection, hook.id).await?;
    insert_secrets(connection, hook).await?;
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
    let query = query.bind(row.authorization).bind(row.authorization_enabled);
    query.bind(row.id).bind(row.tenant_id)
}

async fn insert_secrets(connection: &mut SqliteConnection, hook: &Hook) -> Result<(), StorageError> {
    for (position, secret) in (0_i64..).zip(&hook.secrets) {
        let sql = "INSERT INTO hook_secrets (hook_id, position, secret, expires_at) VALUES (?, ?, ?, ?)";
        let query = sqlx::query(sql).bind(hook.id.0).bind(position).bind(secret.key());
        query.bind(secret.expires_at.map(|time| time.0)).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn delete_secrets(connection: &mut SqliteConnection, id: HookId) -> Result<(), StorageError> {
    sqlx::query("DELETE FROM hook_secrets WHERE hook_id = ?").bind(id.0).execute(connection).await?;
    Ok(())
}

/// Rounds up: a wait of less than a millisecond must not become none.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

fn pipeline_to_json(pipeline: &Pipeline) -> Result<String, StorageError> {
    let steps = pipeline.0.iter();
    let steps =
        steps.map(|step| StepJson { plugin: step.plugin.to_string(), settings: step.settings.to_string() });
    to_json(&steps.collect::<Vec<_>>())
}

fn pipeline_from_json(text: &str) -> Result<Pipeline, StorageError> {
    let steps: Vec<StepJson> = from_json("hook", text)?;
    let steps = steps
        .into_iter()
        .map(|step| Ok(Step { plugin: step.plugin.parse()?, settings: step.settings.into() }))
        .collect::<Result<_, _>>()
        .map_err(bad)?;
    Ok(Pipeline(steps))
}

/// What a hook's authorization is sealed for.
fn context_of(hook: i64) -> String {
    format!("hook/{hook}/authorization")
}

fn bad(error: Invalid) -> StorageError {
    damaged("hook", error)
}

impl Shared {
    fn hook_to_row(&self, hook: &Hook) -> Result<HookRow, StorageError> {
        let patterns: Vec<String> = hook.subscription.patterns().iter().map(ToString::to_string).collect();
        let waits: Vec<i64> = hook.retry.waits().iter().copied().map(millis).collect();
        let authorization = hook.authorization.as_ref();
        let seal = |it: &Authorization| self.vault.seal(&context_of(hook.id.0), it.value.reveal().as_bytes());
        Ok(HookRow {
            id: hook.id.0,
            tenant_id: hook.tenant.0,
            url: hook.url.to_string(),
            subscription: to_json(&patterns)?,
            enabled: hook.enabled,
            description: hook.description.clone(),
            headers: to_json(&hook.headers)?,
            pipeline: pipeline_to_json(&hook.pipeline)?,
            timeout_ms: millis(hook.timeout),
            retry_ms: to_json(&waits)?,
            signing: hook.signing.as_str().to_owned(),
            created_at: hook.created_at.0,
            updated_at: hook.updated_at.0,
            surface: hook.origin.surface.as_str().to_owned(),
            surface_members: hook.origin.members.to_string(),
            project: hook.project,
            preflight: pipeline_to_json(&hook.preflight)?,
            authorization: authorization.map(seal),
            authorization_enabled: authorization.is_some_and(|it| it.enabled),
        })
    }

    fn hook_from_row(&self, row: HookRow, secrets: Vec<SigningSecret>) -> Result<Hook, StorageError> {
        let patterns: Vec<String> = from_json("hook", &row.subscription)?;
        let patterns =
            patterns.iter().map(|pattern| pattern.parse()).collect::<Result<_, _>>().map_err(bad)?;
        let waits: Vec<u64> = from_json("hook", &row.retry_ms)?;
        let waits = waits.into_iter().map(Duration::from_millis).collect();
        let unseal = |sealed: Vec<u8>| self.unseal_text("hook", &context_of(row.id), &sealed);
        let value = row.authorization.map(unseal).transpose()?;
        Ok(Hook {
            id: HookId(row.id),
            tenant: TenantId(row.tenant_id),
            origin: Origin {
                surface: row.surface.parse().map_err(bad)?,
                members: row.surface_members.into(),
            },
            url: row.url.parse().map_err(|error| damaged("hook", error))?,
            subscription: Subscription::new(patterns).map_err(bad)?,
            project: row.project,
            enabled: row.enabled,
            description: row.description,
            headers: from_json("hook", &row.headers)?,
            authorization: value.map(|value| Authorization { value, enabled: row.authorization_enabled }),
            preflight: pipeline_from_json(&row.preflight)?,
            pipeline: pipeline_from_json(&row.pipeline)?,
            timeout: Duration::from_millis(row.timeout_ms.unsigned_abs()),
            retry: RetrySchedule::new(waits).map_err(bad)?,
            signing: row.signing.parse().map_err(bad)?,
            secrets,
            created_at: UnixMillis(row.created_at),
            updated_at: UnixMillis(row.updated_at),
        })
    }
}
