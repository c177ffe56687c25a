//! Checks a database for damage. Nothing is changed; an engine may run on it.

use std::path::Path;

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::rows::{
    authorization_context_of, config_key_from_row, hook_context_of, login_context_of, request_context_of,
};
use super::snapshot::Snapshot;
use super::{data_dir, row_check, schema, sealing};
use crate::domain::{DeliveryId, Digest, HookId, TenantId};
use crate::storage::findings::{
    SecretCount, changes_finding, events_finding, key_finding, plugins_finding, rows_of_other_schema,
    schema_finding, secrets_skipped, tenants_finding,
};
use crate::storage::sealing::check as check_keys;
use crate::storage::{Finding, StorageError};
use crate::vault::Vault;

/// The name of the check of SQLite's file.
const FILE: &str = "file";
/// How many kinds of damage are named.
const NAMED_DAMAGE: usize = 20;
/// How many rows are read at once.
const ROWS_AT_ONCE: i64 = 200;
/// What to do about a damaged file.
const RESTORE: &str = "stop the engine, keep the directory, and restore the latest backup that `hookwright check` finds \
    sound; see \"A damaged file\" in operations.md";

/// Checks the database in `data_dir`, with the keys of `vault`.
///
/// # Errors
/// [`StorageError::Missing`] if there is no database; else the error of the database. Damage is a finding.
pub async fn check(data_dir: &Path, vault: Option<&Vault>) -> Result<Vec<Finding>, StorageError> {
    let mut snapshot = match Snapshot::take(data_dir).await {
        Ok(snapshot) => snapshot,
        Err(error @ StorageError::Database(_)) => {
            let cause =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            return Ok(vec![Finding::failed(
                FILE,
                format!("{} cannot be read: {cause}", data_dir::DATABASE_FILE),
                RESTORE,
            )]);
        }
        Err(error) => return Err(error),
    };
    let mut findings = Vec::new();
    let done = check_all(snapshot.connection(), vault, &mut findings).await;
    let ended = snapshot.end().await;
    match done.and(ended) {
        // Of a damaged file, not everything can be read; and ending the transaction may fail.
        Err(error) if findings.iter().any(|finding| finding.check == FILE && finding.remedy.is_some()) => {
            findings.push(Finding::skipped("the rest", format!("cannot be read: {error}"), RESTORE));
        }
        done => done?,
    }
    Ok(findings)
}

async fn check_all(
    connection: &mut SqliteConnection,
    vault: Option<&Vault>,
    findings: &mut Vec<Finding>,
) -> Result<(), StorageError> {
    findings.push(file(connection).await);
    let status = schema::status(connection).await?;
    findings.push(schema_finding(&status));
    if let Some(finding) = rows_of_other_schema(&status) {
        findings.push(finding);
        return Ok(());
    }
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
    findings.push(row_check::check(connection, vault).await?);
    Ok(())
}

/// Whether SQLite finds its file sound: every page, every index, every row.
async fn file(connection: &mut SqliteConnection) -> Finding {
    let lines = damage(connection, "PRAGMA integrity_check(100)", NAMED_DAMAGE).await;
    if lines.is_empty() {
        return Finding::ok(FILE, "`PRAGMA integrity_check` finds nothing");
    }
    Finding::failed(FILE, lines.join("; "), RESTORE)
}

/// What a check of SQLite's file says, at most `most` lines; nothing if the file is sound.
pub async fn damage(connection: &mut SqliteConnection, pragma: &'static str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = match sqlx::query_scalar(pragma).fetch_all(connection).await {
        Ok(lines) => lines,
        // SQLite reports some damage as an error.
        Err(error) => vec![error.to_string()],
    };
    lines.retain(|line| line != "ok");
    lines.truncate(most);
    lines
}

async fn count(connection: &mut SqliteConnection, sql: String) -> Result<i64, StorageError> {
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await?)
}

async fn events_of_deliveries(connection: &mut SqliteConnection) -> Result<Finding, StorageError> {
    let sql = "SELECT count(*) FROM deliveries d INDEXED BY deliveries_unfinished \
        WHERE d.state < 3 AND NOT EXISTS (SELECT 1 FROM events e WHERE e.key = d.event_key)";
    let found = count(connection, sql.to_owned()).await?;
    Ok(events_finding(found))
}

async fn tenants(connection: &mut SqliteConnection) -> Result<Finding, StorageError> {
    let mut found = 0;
    for table in ["projects", "api_keys", "hooks", "logins", "domain_tokens"] {
        let sql = format!("SELECT count(*) FROM {table} WHERE tenant_id NOT IN (SELECT id FROM tenants)");
        found += count(connection, sql).await?;
    }
    Ok(tenants_finding(found))
}

/// Whether the log of configuration changes is without gaps and can be read.
async fn changes(connection: &mut SqliteConnection) -> Result<Finding, StorageError> {
    let sql = "SELECT ifnull(max(revision) - min(revision) + 1 - count(*), 0) FROM directory_changes";
    let mut found = count(connection, sql.to_owned()).await?;
    let sql = "SELECT kind, tenant_id, name FROM directory_changes";
    let rows: Vec<(String, i64, String)> = sqlx::query_as(sql).fetch_all(connection).await?;
    found += rows.into_iter().filter_map(|row| config_key_from_row(row).err()).map(|_| 1).sum::<i64>();
    Ok(changes_finding(found))
}

/// Whether the bytes of each plugin are there and have their digest.
async fn plugins(connection: &mut SqliteConnection) -> Result<Finding, StorageError> {
    let sql = "SELECT DISTINCT digest FROM plugin_versions";
    let digests: Vec<Vec<u8>> = sqlx::query_scalar(sql).fetch_all(&mut *connection).await?;
    let (mut all, mut found) = (0, 0);
    for digest in digests {
        all += 1;
        let query = sqlx::query_scalar("SELECT wasm FROM plugin_blobs WHERE digest = ?").bind(&digest);
        let wasm: Option<Vec<u8>> = query.fetch_optional(&mut *connection).await?;
        found += i64::from(wasm.is_none_or(|wasm| Digest::of(&wasm).0.as_slice() != digest));
    }
    Ok(plugins_finding(found, all))
}

async fn key(connection: &mut SqliteConnection, vault: Option<&Vault>) -> Result<Finding, StorageError> {
    let Some(vault) = vault else { return Ok(key_finding(None)) };
    let (first, others) = sealing::checks(connection).await?;
    Ok(key_finding(Some(check_keys(&first, &others, vault).map(drop))))
}

async fn secrets(connection: &mut SqliteConnection, vault: &Vault) -> Result<Finding, StorageError> {
    let mut count = SecretCount::default();
    let opens = |context: &str, sealed: &[u8]| vault.opened_by(context, sealed).is_some();
    let sql = "SELECT tenant_id, name, secret FROM logins";
    let logins: Vec<(i64, String, Vec<u8>)> = sqlx::query_as(sql).fetch_all(&mut *connection).await?;
    for (tenant, name, sealed) in logins {
        count.add(opens(&login_context_of(TenantId(tenant), &name), &sealed), || format!("login {name}"));
    }
    let mut after = i64::MIN;
    loop {
        type Row = (i64, Option<Vec<u8>>, Option<Vec<u8>>);
        let sql = "SELECT id, sealed, authorization FROM hooks WHERE id > ? ORDER BY id LIMIT ?";
        let rows: Vec<Row> =
            sqlx::query_as(sql).bind(after).bind(ROWS_AT_ONCE).fetch_all(&mut *connection).await?;
        let Some((last, ..)) = rows.last() else { break };
        after = *last;
        for (id, sealed, authorization) in rows {
            let sealed = sealed.is_none_or(|sealed| opens(&hook_context_of(id), &sealed));
            let authorization =
                authorization.is_none_or(|sealed| opens(&authorization_context_of(id), &sealed));
            count.add(sealed && authorization, || HookId(id).to_string());
        }
    }
    let mut after = i64::MIN;
    loop {
        let sql = "SELECT delivery_id, sealed FROM rendered_requests WHERE delivery_id > ? ORDER BY delivery_id LIMIT ?";
        let query = sqlx::query_as(sql).bind(after).bind(ROWS_AT_ONCE);
        let rows: Vec<(i64, Option<Vec<u8>>)> = query.fetch_all(&mut *connection).await?;
        let Some((last, _)) = rows.last() else { break };
        after = *last;
        for (id, sealed) in rows {
            let opens = sealed.is_none_or(|sealed| opens(&request_context_of(id), &sealed));
            count.add(opens, || format!("request of {}", DeliveryId(id)));
        }
    }
    Ok(count.finding())
}
