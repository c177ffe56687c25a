//! Reads each row as the engine does, for a check of the database.

use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{FromRow, Row as _};

use super::rendered_rows::rendered_columns;
use super::rows::{
    HookRow, RenderedRow, TenantRow, attempt_columns, attempt_from_columns, audit_columns, audit_from_row,
    damaged, delivery_columns, delivery_from_row, event_columns, event_from_row, from_json, health_from_row,
    key_columns, key_from_row, operator_key_columns, operator_key_from_row, request_from_row,
    tenant_options_of, version_from_row,
};
use crate::domain::EventKey;
use crate::storage::columns::{job_columns, job_from_row};
use crate::storage::findings::RowCount;
use crate::storage::hook_stats::stats_of_hour;
use crate::storage::{Finding, StorageError};
use crate::vault::Vault;

/// What holds secrets is read only with a vault that opens them.
pub async fn check(
    connection: &mut SqliteConnection,
    vault: Option<&Vault>,
) -> Result<Finding, StorageError> {
    let mut all = Reader { connection, count: RowCount::new(vault.is_some()) };
    configuration(&mut all, vault).await?;
    let sql = concat!("SELECT ", event_columns!(), " FROM events");
    all.read("events", sql, event_from_row).await?;
    let sql = "SELECT key, deliveries FROM events WHERE deliveries IS NOT NULL";
    all.read("events", sql, |(key, text): (i64, String)| {
        let named = from_json::<Vec<(i64, i64)>>("event", &text);
        named.map_err(|error| error.in_row("events", EventKey(key), key))
    })
    .await?;
    let sql = concat!("SELECT ", delivery_columns!(), " FROM deliveries");
    all.read("deliveries", sql, delivery_from_row).await?;
    let sql = concat!("SELECT ", attempt_columns!(), " FROM attempts");
    all.read("attempts", sql, attempt_from_columns).await?;
    if let Some(vault) = vault {
        let sql = concat!("SELECT ", rendered_columns!(), " FROM rendered_requests");
        all.read("rendered_requests", sql, |row: RenderedRow| request_from_row(row, vault)).await?;
    }
    let sql = "SELECT hour, stats FROM hook_stats";
    all.read("hook_stats", sql, |(hour, text): (i64, String)| stats_of_hour(hour, &text)).await?;
    Ok(all.count.finding())
}

async fn configuration(all: &mut Reader<'_>, vault: Option<&Vault>) -> Result<(), StorageError> {
    let sql = "SELECT id, name, client_id, created_at, options FROM tenants";
    all.read("tenants", sql, |row: TenantRow| tenant_options_of(&row)).await?;
    let sql = concat!("SELECT ", key_columns!(), " FROM api_keys");
    all.read("api_keys", sql, key_from_row).await?;
    let sql = concat!("SELECT ", operator_key_columns!(), " FROM operator_keys");
    all.read("operator_keys", sql, operator_key_from_row).await?;
    let sql =
        "SELECT owner, name, version, digest, roles, imports, size_bytes, created_at FROM plugin_versions";
    all.read("plugin_versions", sql, version_from_row).await?;
    if let Some(vault) = vault {
        let sql = "SELECT * FROM hooks";
        all.read("hooks", sql, |row: HookRow| row.into_hook(Vec::new(), vault)).await?;
    }
    let sql = "SELECT hook_id, tenant_id, health, open_until FROM hook_health";
    all.read("hook_health", sql, health_from_row).await?;
    let sql = concat!("SELECT ", job_columns!(), " FROM jobs");
    all.read("jobs", sql, job_from_row).await?;
    let sql = concat!("SELECT ", audit_columns!(), " FROM audit_log");
    all.read("audit_log", sql, audit_from_row).await
}

struct Reader<'a> {
    connection: &'a mut SqliteConnection,
    count: RowCount,
}

impl Reader<'_> {
    /// Reads the rows of a statement, one at a time.
    async fn read<R, T>(
        &mut self,
        table: &'static str,
        sql: &'static str,
        decode: impl Fn(R) -> Result<T, StorageError>,
    ) -> Result<(), StorageError>
    where
        R: for<'r> FromRow<'r, SqliteRow>,
    {
        let mut rows = sqlx::query(sql).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await? {
            let read = match R::from_row(&row) {
                Ok(row) => decode(row).map(drop),
                Err(error) => {
                    let first: i64 = row.try_get(0).unwrap_or_default();
                    Err(damaged("row", error).in_row(table, "with the first column", first))
                }
            };
            self.count.add(read);
        }
        Ok(())
    }
}
