//! Reads each row as the engine does, for a check of the database. Data and bodies are not read: they are stored as they are.

use futures_util::TryStreamExt as _;
use sqlx::{FromRow, Row as _};
use sqlx_postgres::{PgConnection, PgRow};

use super::rows::delivery_columns;
use crate::storage::columns::{
    HookRow, RenderedRow, TenantRow, attempt_from_columns, audit_columns, audit_from_row, damaged,
    delivery_from_row, event_from_row, health_from_row, job_columns, job_from_row, key_columns, key_from_row,
    operator_key_columns, operator_key_from_row, request_from_row, tenant_options_of, version_from_row,
};
use crate::storage::findings::RowCount;
use crate::storage::hook_stats::stats_of_hour;
use crate::storage::{Finding, StorageError};
use crate::vault::Vault;

/// What holds secrets is read only with a vault that opens them.
pub struct RowCheck<'v>(pub Option<&'v Vault>);

impl RowCheck<'_> {
    /// Reads all rows, each table as it is then.
    pub async fn run(self, connection: &mut PgConnection) -> Result<Finding, StorageError> {
        let Self(vault) = self;
        let mut all = Reader { connection, count: RowCount::new(vault.is_some()) };
        everything(&mut all, vault).await?;
        Ok(all.count.finding())
    }
}

async fn everything(all: &mut Reader<'_>, vault: Option<&Vault>) -> Result<(), StorageError> {
    configuration(all, vault).await?;
    let sql = "SELECT key, tenant_id, external_id, project, event_type, occurred_at, '', ordering_key, trace FROM events";
    all.read("events", sql, event_from_row).await?;
    let sql = concat!("SELECT ", delivery_columns!(), " FROM deliveries");
    all.read("deliveries", sql, delivery_from_row).await?;
    let sql = "SELECT id, delivery_id, number::bigint, started_at, duration_ns, outcome, status::bigint, detail, \
        NULL::bytea, steps, request FROM attempts";
    all.read("attempts", sql, attempt_from_columns).await?;
    if let Some(vault) = vault {
        let sql = "SELECT delivery_id, method, '', '', body_kind::bigint, body, hook_updated_at, sealed \
            FROM rendered_requests";
        all.read("rendered_requests", sql, |row: RenderedRow| request_from_row(row, vault)).await?;
    }
    let sql = "SELECT hour, stats FROM hook_stats";
    all.read("hook_stats", sql, |(hour, text): (i64, String)| stats_of_hour(hour, &text)).await
}

async fn configuration(all: &mut Reader<'_>, vault: Option<&Vault>) -> Result<(), StorageError> {
    let sql = "SELECT id, name, client_id, created_at, options FROM tenants";
    all.read("tenants", sql, |row: TenantRow| tenant_options_of(&row)).await?;
    let sql = concat!("SELECT ", key_columns!(), " FROM api_keys");
    all.read("api_keys", sql, key_from_row).await?;
    let sql = concat!("SELECT ", operator_key_columns!(), " FROM operator_keys");
    all.read("operator_keys", sql, operator_key_from_row).await?;
    let sql = "SELECT owner, name, version::bigint, digest, roles, imports, size_bytes, created_at FROM plugin_versions";
    all.read("plugin_versions", sql, version_from_row).await?;
    if let Some(vault) = vault {
        let sql = "SELECT * FROM hooks";
        all.read("hooks", sql, |row: HookRow| row.into_hook(Vec::new(), vault)).await?;
    }
    let sql = "SELECT hook_id, tenant_id, health, open_until FROM hook_health WHERE NOT is_well";
    all.read("hook_health", sql, health_from_row).await?;
    let sql = concat!("SELECT ", job_columns!(), " FROM jobs");
    all.read("jobs", sql, job_from_row).await?;
    let sql = concat!("SELECT ", audit_columns!(), " FROM audit_log");
    all.read("audit_log", sql, audit_from_row).await
}

struct Reader<'a> {
    connection: &'a mut PgConnection,
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
        R: for<'r> FromRow<'r, PgRow>,
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
