//! Seals all secrets again with the current key.
//!
//! Nodes may run meanwhile if each of them has both keys. A row is replaced only if it is as it was read, and whatever a node
//! has sealed with an older key since then is found by the next pass. After an interruption, each row shows with which key it
//! is sealed; the key check changes last.

use sqlx::Connection as _;
use sqlx_postgres::PgConnection;

use super::node_status::nodes_of;
use super::{connect, engine_state, schema, sealing};
use crate::domain::{HookId, TenantId};
use crate::storage::columns::{
    authorization_context_of, hook_context_of, job_context_of, login_context_of, request_context_of,
    warn_of_request,
};
use crate::storage::sealing::{RETAINED_KEYS, Rekeyed, retained_keys};
use crate::storage::{NodeState, NodeStatus, StorageError};
use crate::vault::Vault;

/// How many rows are read at once.
const ROWS_AT_ONCE: i64 = 200;
/// How many hooks are read at once: each can be megabytes.
const HOOKS_AT_ONCE: i64 = 4;
/// A node that has not shown for this long that it is alive does not run.
const DEAD_AFTER_MS: u64 = 10_000;
/// After so many passes, something still seals with an older key.
const MAX_PASSES: u32 = 5;

/// Encrypts all secrets in the database again, with the current key of `vault`.
///
/// # Errors
/// [`StorageError::Missing`] if no engine has used the database; [`StorageError::WrongKey`] and [`StorageError::NewerKey`] if
/// `vault` lacks a key; [`StorageError::OldKeyInUse`] if a node goes on to seal with another key; else the error of the database.
pub async fn rekey(url: &str, vault: &Vault) -> Result<Rekeyed, StorageError> {
    let mut connection = connect::connect(url, "hookwright rekey").await?;
    if !engine_state::exists(&mut connection).await? {
        return Err(StorageError::Missing("no engine has used this database yet".to_owned()));
    }
    schema::migrate(&mut connection).await?;
    sealing::check_key(&mut connection, vault).await?;
    engine_state::set(&mut connection, RETAINED_KEYS, &retained_keys(vault)).await?;
    // The commit of the key check at the end waits for all of these.
    sqlx::query("SET synchronous_commit = off").execute(&mut connection).await?;
    let mut done = Rekeyed::default();
    let mut passes = 0;
    while pass(&mut connection, vault, &mut done).await? > 0 {
        passes += 1;
        if passes == MAX_PASSES {
            return Err(StorageError::OldKeyInUse);
        }
    }
    sqlx::query("SET synchronous_commit = on").execute(&mut connection).await?;
    // Last: until then, both keys are needed.
    sealing::replace_checks(&mut connection, vault).await?;
    connection.close().await?;
    Ok(done)
}

/// The nodes that run on the database.
///
/// # Errors
/// The error of the database.
pub async fn running_nodes(url: &str) -> Result<Vec<NodeStatus>, StorageError> {
    let mut nodes = nodes_of(url).await?;
    nodes.retain(|node| node.state != NodeState::Ended && node.silent_ms < Some(DEAD_AFTER_MS));
    Ok(nodes)
}

/// Returns how many rows were not yet sealed with the current key.
async fn pass(connection: &mut PgConnection, vault: &Vault, done: &mut Rekeyed) -> Result<u64, StorageError> {
    done.unreadable = 0;
    let logins = logins(connection, vault, &mut done.unreadable).await?;
    let hooks = hooks(connection, vault, &mut done.unreadable).await?;
    let requests = requests(connection, vault, &mut done.unreadable).await?;
    let jobs = jobs(connection, vault, &mut done.unreadable).await?;
    done.jobs += jobs;
    done.logins += logins;
    done.hooks += hooks;
    done.requests += requests;
    Ok(logins + hooks + requests + jobs)
}

async fn logins(
    connection: &mut PgConnection,
    vault: &Vault,
    unreadable: &mut u64,
) -> Result<u64, StorageError> {
    let (mut after, mut count) = ((i64::MIN, String::new()), 0);
    loop {
        let sql = "SELECT tenant_id, name, secret FROM logins WHERE (tenant_id, name) > ($1, $2) \
            ORDER BY tenant_id, name LIMIT $3";
        let query = sqlx::query_as(sql).bind(after.0).bind(&after.1).bind(ROWS_AT_ONCE);
        let rows: Vec<(i64, String, Vec<u8>)> = query.fetch_all(&mut *connection).await?;
        let Some((tenant, name, _)) = rows.last() else { return Ok(count) };
        after = (*tenant, name.clone());
        for (tenant, name, old) in rows {
            match vault.reseal(&login_context_of(TenantId(tenant), &name), &old) {
                Ok(None) => {}
                Ok(Some(new)) => {
                    let sql =
                        "UPDATE logins SET secret = $1 WHERE tenant_id = $2 AND name = $3 AND secret = $4";
                    let query = sqlx::query(sql).bind(new).bind(tenant).bind(name).bind(old);
                    query.execute(&mut *connection).await?;
                    count += 1;
                }
                Err(_) => *unreadable += 1,
            }
        }
    }
}

async fn hooks(
    connection: &mut PgConnection,
    vault: &Vault,
    unreadable: &mut u64,
) -> Result<u64, StorageError> {
    type Row = (i64, Vec<u8>, Option<Vec<u8>>);
    let (mut after, mut count) = (i64::MIN, 0);
    loop {
        let sql = "SELECT id, sealed, \"authorization\" FROM hooks WHERE id > $1 ORDER BY id LIMIT $2";
        let query = sqlx::query_as(sql).bind(after).bind(HOOKS_AT_ONCE);
        let rows: Vec<Row> = query.fetch_all(&mut *connection).await?;
        let Some((last, ..)) = rows.last() else { return Ok(count) };
        after = *last;
        for (id, old, old_authorization) in rows {
            let reseal = |context: &str, old: &[u8]| vault.reseal(context, old);
            let again = reseal(&hook_context_of(id), &old).and_then(|sealed| {
                let authorization = old_authorization.as_deref();
                let context = authorization_context_of(id);
                Ok((sealed, authorization.map_or(Ok(None), |old| reseal(&context, old))?))
            });
            match again {
                Ok((None, None)) => {}
                Ok((new, authorization)) => {
                    let sql = "UPDATE hooks SET sealed = coalesce($1, sealed), \
                        \"authorization\" = coalesce($2, \"authorization\") \
                        WHERE id = $3 AND sealed = $4 AND \"authorization\" IS NOT DISTINCT FROM $5";
                    let query = sqlx::query(sql).bind(new).bind(authorization);
                    let query = query.bind(id).bind(old).bind(old_authorization);
                    query.execute(&mut *connection).await?;
                    count += 1;
                }
                Err(_) => {
                    tracing::warn!(hook = %HookId(id), "a hook opens with none of the keys and stays as it is");
                    *unreadable += 1;
                }
            }
        }
    }
}

/// The pipelines of replays.
async fn jobs(
    connection: &mut PgConnection,
    vault: &Vault,
    unreadable: &mut u64,
) -> Result<u64, StorageError> {
    let (mut after, mut count) = (i64::MIN, 0);
    loop {
        let sql = "SELECT id, sealed FROM jobs WHERE id > $1 AND sealed IS NOT NULL ORDER BY id LIMIT $2";
        let query = sqlx::query_as(sql).bind(after).bind(HOOKS_AT_ONCE);
        let rows: Vec<(i64, Vec<u8>)> = query.fetch_all(&mut *connection).await?;
        let Some((last, _)) = rows.last() else { return Ok(count) };
        after = *last;
        for (job, old) in rows {
            match vault.reseal(&job_context_of(job), &old) {
                Ok(None) => {}
                Ok(Some(new)) => {
                    let sql = "UPDATE jobs SET sealed = $1 WHERE id = $2 AND sealed = $3";
                    sqlx::query(sql).bind(new).bind(job).bind(old).execute(&mut *connection).await?;
                    count += 1;
                }
                Err(_) => *unreadable += 1,
            }
        }
    }
}

async fn requests(
    connection: &mut PgConnection,
    vault: &Vault,
    unreadable: &mut u64,
) -> Result<u64, StorageError> {
    let (mut after, mut count) = (i64::MIN, 0);
    loop {
        let sql = "SELECT delivery_id, sealed FROM rendered_requests WHERE delivery_id > $1 ORDER BY delivery_id LIMIT $2";
        let query = sqlx::query_as(sql).bind(after).bind(ROWS_AT_ONCE);
        let rows: Vec<(i64, Vec<u8>)> = query.fetch_all(&mut *connection).await?;
        let Some((last, _)) = rows.last() else { return Ok(count) };
        after = *last;
        for (delivery, old) in rows {
            match vault.reseal(&request_context_of(delivery), &old) {
                Ok(None) => {}
                Ok(Some(new)) => {
                    let sql =
                        "UPDATE rendered_requests SET sealed = $1 WHERE delivery_id = $2 AND sealed = $3";
                    sqlx::query(sql).bind(new).bind(delivery).bind(old).execute(&mut *connection).await?;
                    count += 1;
                }
                Err(_) => {
                    warn_of_request(delivery);
                    *unreadable += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
