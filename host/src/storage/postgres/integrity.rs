//! Checks a database for what the engine relies on. Nothing is changed; nodes may run on it. Damage of PostgreSQL's own files
//! is for its tools: `pg_amcheck`, `pg_checksums`.

use sqlx::Connection as _;
use sqlx_postgres::PgConnection;

use super::row_check::RowCheck;
use super::{connect, engine_state, schema, sealing};
use crate::domain::{DeliveryId, HookId, TenantId};
use crate::storage::columns::{
    authorization_context_of, config_key_from_row, hook_context_of, login_context_of, request_context_of,
};
use crate::storage::findings::{
    SecretCount, changes_finding, events_finding, key_finding, plugins_finding, rows_of_other_schema,
    rows_unread, schema_finding, secrets_skipped, tenants_finding,
};
use crate::storage::sealing::check as check_keys;
use crate::storage::{Finding, StorageError};
use crate::vault::Vault;

/// How many rows are read at once.
const ROWS_AT_ONCE: i64 = 200;

/// Checks the database at `url`, with the keys of `vault`.
///
/// # Errors
/// [`StorageError::Missing`] if no engine has used it; else the error of the database. Damage is a finding.
pub async fn check(url: &str, vault: Option<&Vault>) -> Result<Vec<Finding>, StorageError> {
    let mut connection = connect::connect(url, "hookwright check").await?;
    if !engine_state::exists(&mut connection).await? {
        return Err(StorageError::Missing("no engine has used this database yet".to_owned()));
    }
    let mut transaction = connection.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *transaction)
        .await?;
    // Reading everything takes longer than the role's statements may.
    sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
    let mut findings = Vec::new();
    let rows = check_all(&mut transaction, vault, &mut findings).await?;
    transaction.rollback().await?;
    // Not as of one moment: a transaction that reads everything would keep vacuum and the deletion of days waiting.
    if let Some(rows) = rows {
        sqlx::query("SET statement_timeout = 0").execute(&mut connection).await?;
        let read = rows.run(&mut connection).await;
        findings.push(read.unwrap_or_else(|error| rows_unread(&error)));
    }
    connection.close().await?;
    Ok(findings)
}

/// Checks what belongs together, as it is at one moment. Returns the check of single rows, if this version can read them.
async fn check_all<'v>(
    connection: &mut PgConnection,
    vault: Option<&'v Vault>,
    findings: &mut Vec<Finding>,
) -> Result<Option<RowCheck<'v>>, StorageError> {
    findings.push(server(connection).await?);
    let status = schema::status(connection).await?;
    findings.push(schema_finding(&status));
    if let Some(finding) = rows_of_other_schema(&status) {
        findings.push(finding);
        return Ok(None);
    }
    findings.push(partitions(connection).await?);
    findings.push(events_of_deliveries(connection).await?);
    findings.push(tenants(connection).await?);
    findings.push(changes(connection).await?);
    findings.push(plugins(connection).await?);
    let key = key(connection, vault).await?;
    let opens = key.remedy.is_none();
    findings.push(key);
    let vault = vault.filter(|_| opens);
    findings.push(match vault {
        Some(vault) => secrets(connection, vault).await?,
        None => secrets_skipped(),
    });
    Ok(Some(RowCheck(vault)))
}

async fn count(connection: &mut PgConnection, sql: &'static str) -> Result<i64, StorageError> {
    Ok(sqlx::query_scalar(sql).fetch_one(connection).await?)
}

/// Pages whose checksum was wrong, and indexes whose creation was interrupted.
async fn server(connection: &mut PgConnection) -> Result<Finding, StorageError> {
    let sql =
        "SELECT coalesce(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database()";
    let pages = count(connection, sql).await?;
    let sql = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
        WHERE NOT i.indisvalid AND c.relnamespace = 'public'::regnamespace AND c.relkind = 'i'";
    let indexes = count(connection, sql).await?;
    Ok(match (pages, indexes) {
        (0, 0) => Finding::ok("server", "it counts no damaged pages, and all indexes are valid"),
        (0, _) => Finding::failed("server", format!("{indexes} indexes are invalid"), "run REINDEX on them"),
        _ => Finding::failed(
            "server",
            format!("{pages} pages had a wrong checksum"),
            "look for the cause, a disk for example, and restore a base backup",
        ),
    })
}

/// Whether rows went into partitions that belong to no day.
async fn partitions(connection: &mut PgConnection) -> Result<Finding, StorageError> {
    let sql = "SELECT EXISTS (SELECT FROM events_other) OR EXISTS (SELECT FROM finished_deliveries_other) \
        OR EXISTS (SELECT FROM attempts_other)";
    let any: bool = sqlx::query_scalar(sql).fetch_one(connection).await?;
    Ok(match any {
        false => Finding::ok("partitions", "all rows are in that of their day"),
        true => Finding::warning(
            "partitions",
            "some rows are in the partitions for days without one",
            "synchronize the clocks of the nodes, and look for \"partition\" in their logs",
        ),
    })
}

async fn events_of_deliveries(connection: &mut PgConnection) -> Result<Finding, StorageError> {
    let sql = "SELECT count(*) FROM unfinished_deliveries d WHERE NOT EXISTS (SELECT FROM events e WHERE e.key = d.event_key)";
    let found = count(connection, sql).await?;
    Ok(events_finding(found))
}

async fn tenants(connection: &mut PgConnection) -> Result<Finding, StorageError> {
    let sql = "SELECT count(*) FROM (SELECT tenant_id FROM projects UNION ALL SELECT tenant_id FROM api_keys \
        UNION ALL SELECT tenant_id FROM hooks UNION ALL SELECT tenant_id FROM logins \
        UNION ALL SELECT tenant_id FROM domain_tokens) o WHERE NOT EXISTS (SELECT FROM tenants t WHERE t.id = o.tenant_id)";
    let found = count(connection, sql).await?;
    Ok(tenants_finding(found))
}

/// Whether the log of configuration changes can be read and ends with the last one.
async fn changes(connection: &mut PgConnection) -> Result<Finding, StorageError> {
    let sql = "SELECT abs(r.revision - coalesce((SELECT max(revision) FROM directory_changes), r.revision)) \
        FROM directory_revision r";
    let mut found = count(connection, sql).await?;
    let sql = "SELECT kind, tenant_id, name FROM directory_changes";
    let rows: Vec<(String, i64, String)> = sqlx::query_as(sql).fetch_all(connection).await?;
    found += rows.into_iter().filter_map(|row| config_key_from_row(row).err()).map(|_| 1).sum::<i64>();
    Ok(changes_finding(found))
}

async fn plugins(connection: &mut PgConnection) -> Result<Finding, StorageError> {
    let all = count(connection, "SELECT count(DISTINCT digest) FROM plugin_versions").await?;
    let sql = "SELECT count(DISTINCT v.digest) FROM plugin_versions v LEFT JOIN plugin_blobs b ON b.digest = v.digest \
        WHERE b.wasm IS NULL OR sha256(b.wasm) <> v.digest";
    let found = count(connection, sql).await?;
    Ok(plugins_finding(found, all))
}

async fn key(connection: &mut PgConnection, vault: Option<&Vault>) -> Result<Finding, StorageError> {
    let Some(vault) = vault else { return Ok(key_finding(None)) };
    let (first, others) = sealing::checks(connection).await?;
    Ok(key_finding(Some(check_keys(&first, &others, vault).map(drop))))
}

async fn secrets(connection: &mut PgConnection, vault: &Vault) -> Result<Finding, StorageError> {
    let mut count = SecretCount::default();
    let opens = |context: &str, sealed: &[u8]| vault.opened_by(context, sealed).is_some();
    let sql = "SELECT tenant_id, name, secret FROM logins";
    let logins: Vec<(i64, String, Vec<u8>)> = sqlx::query_as(sql).fetch_all(&mut *connection).await?;
    for (tenant, name, sealed) in logins {
        count.add(opens(&login_context_of(TenantId(tenant), &name), &sealed), || format!("login {name}"));
    }
    let mut after = i64::MIN;
    loop {
        let sql = "SELECT id, sealed, \"authorization\" FROM hooks WHERE id > $1 ORDER BY id LIMIT $2";
        let query = sqlx::query_as(sql).bind(after).bind(ROWS_AT_ONCE);
        let rows: Vec<(i64, Vec<u8>, Option<Vec<u8>>)> = query.fetch_all(&mut *connection).await?;
        let Some((last, ..)) = rows.last() else { break };
        after = *last;
        for (id, sealed, authorization) in rows {
            let authorization =
                authorization.is_none_or(|sealed| opens(&authorization_context_of(id), &sealed));
            count.add(authorization && opens(&hook_context_of(id), &sealed), || HookId(id).to_string());
        }
    }
    let mut after = i64::MIN;
    loop {
        let sql = "SELECT delivery_id, sealed FROM rendered_requests WHERE delivery_id > $1 ORDER BY delivery_id LIMIT $2";
        let query = sqlx::query_as(sql).bind(after).bind(ROWS_AT_ONCE);
        let rows: Vec<(i64, Vec<u8>)> = query.fetch_all(&mut *connection).await?;
        let Some((last, _)) = rows.last() else { break };
        after = *last;
        for (id, sealed) in rows {
            count.add(opens(&request_context_of(id), &sealed), || format!("request of {}", DeliveryId(id)));
        }
    }
    Ok(count.finding())
}
