//! The nodes on one database: their numbers and epochs, and what becomes of what a node had in memory.
//!
//! A node that starts raises its epoch, and so does the one that takes over its work. Each transaction that accepts,
//! leases or records checks its node's epoch under a lock that these two must have, too: nothing of an earlier epoch is
//! committed after it. Times of different nodes are compared by the database's clock.

use sqlx_postgres::{PgConnection, PgPool};

use super::pool::BoundedPool;
use super::session::{Registered, Session};
use crate::domain::{EventKey, HookId, NodeNumber, UnixMillis};
use crate::random;
use crate::storage::columns::damaged;
use crate::storage::{FURTHEST_AHEAD, StorageError};

/// How many deliveries of a deleted hook one transaction cancels.
const CANCEL_CHUNK: i32 = 2_000;

/// Gives the node of this name its number, or a free one, and raises its epoch: an earlier process of it can commit nothing
/// any more. Until its engine has started, it is as one that shuts down.
pub async fn register(pool: &PgPool, name: &str, address: &str) -> Result<Registered, StorageError> {
    let process = i64::from_le_bytes(random::secret_bytes());
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(1213681235, 1)").execute(&mut *transaction).await?;
    let known = sqlx::query_scalar("SELECT number::integer FROM nodes WHERE name = $1").bind(name);
    let number: i32 = match known.fetch_optional(&mut *transaction).await? {
        Some(number) => number,
        None => free_number(&mut transaction).await?,
    };
    sqlx::query("SELECT lock_node($1)").bind(number).execute(&mut *transaction).await?;
    let sql = "INSERT INTO nodes (number, name, epoch, address, version, started_at, heartbeat_at, ended, written_until, \
        view_epoch, draining, process, process_epoch) \
        VALUES ($1, $2, 1, $3, $4, clock_timestamp(), clock_timestamp(), false, \
        coalesce((SELECT max(key) FROM events), 0), 1, true, $5, 1) \
        ON CONFLICT (number) DO UPDATE SET name = excluded.name, epoch = nodes.epoch + 1, address = excluded.address, \
        version = excluded.version, started_at = excluded.started_at, heartbeat_at = excluded.heartbeat_at, ended = false, \
        view_epoch = nodes.epoch + 1, view = 0, draining = true, \
        process = excluded.process, process_epoch = nodes.epoch + 1, \
        written_until = CASE WHEN nodes.ended THEN excluded.written_until ELSE nodes.written_until END \
        RETURNING epoch, written_until";
    let query = sqlx::query_as(sql).bind(number).bind(name).bind(address).bind(env!("CARGO_PKG_VERSION"));
    let (epoch, mark): (i64, i64) = query.bind(process).fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    let node = u16::try_from(number).map(NodeNumber).map_err(|error| damaged("node", error))?;
    Ok(Registered { node, process, epoch, mark: EventKey(mark) })
}

/// Gives a node whose work was taken over its number again, in a new epoch. What it had in memory belongs to others. If
/// another process has its number meanwhile, the session ends.
///
/// # Errors
/// If it is not known whether the node has joined: it asks again with its next heartbeat.
pub async fn rejoin(session: &Session) -> Result<(), StorageError> {
    let query = sqlx::query_as("SELECT epoch, mark FROM rejoin_process($1, $2)");
    let query = query.bind(session.number()).bind(session.process);
    let rejoined: Option<(i64, i64)> = query.fetch_optional(&session.pool).await?;
    let Some((epoch, mark)) = rejoined else {
        session.end();
        return Ok(());
    };
    tracing::warn!(
        "another node took over the work of this one, which did not answer for a while; it has joined again"
    );
    session.enter(epoch, EventKey(mark));
    Ok(())
}

/// One that no node had, or else one of a node that has nothing left. Number 0 is SQLite's.
async fn free_number(connection: &mut PgConnection) -> Result<i32, StorageError> {
    let sql = "SELECT n FROM generate_series(1, 1023) n LEFT JOIN nodes ON number = n WHERE ended IS NOT FALSE \
        ORDER BY ended NULLS FIRST, n LIMIT 1";
    let number: Option<i32> = sqlx::query_scalar(sql).fetch_optional(connection).await?;
    number.ok_or_else(|| StorageError::InUse("each of the 1,023 numbers of nodes".to_owned()))
}

/// Ends the leases of `node`, makes deliveries due that a wrong clock put out of reach, and finishes the deletion of hooks.
/// Returns how many leases there were.
pub async fn recover(session: &Session, node: NodeNumber, now: UnixMillis) -> Result<u64, StorageError> {
    let number = i32::from(node.0);
    let mut transaction = session.pool.begin().await?;
    sqlx::query("SELECT lock_node($1)").bind(number).execute(&mut *transaction).await?;
    let query = sqlx::query_scalar("SELECT end_lost_leases($1, $2)").bind(number).bind(now.0);
    let ended: i64 = query.fetch_one(&mut *transaction).await?;
    let sql = "UPDATE unfinished_deliveries SET due_at = $1 WHERE state <> 1 AND due_at > $2";
    let query = sqlx::query(sql).bind(now.0).bind(now.plus(FURTHEST_AHEAD).0);
    query.execute(&mut *transaction).await?;
    sqlx::query("SELECT advance_waiting_groups($1)").bind(now.0).execute(&mut *transaction).await?;
    let query = sqlx::query_scalar("SELECT written_until FROM nodes WHERE number = $1").bind(number);
    let mark: Option<i64> = query.fetch_optional(&mut *transaction).await?;
    transaction.commit().await?;
    if node == session.node {
        session.rowless.lock().clear(EventKey(mark.unwrap_or(0)));
    }
    let sql =
        "SELECT DISTINCT hook_id FROM unfinished_deliveries JOIN deleted_hooks ON deleted_hooks.id = hook_id";
    let gone: Vec<i64> = sqlx::query_scalar(sql).fetch_all(&session.pool).await?;
    for hook in gone {
        cancel_deliveries(&session.pool, HookId(hook)).await?;
    }
    Ok(ended.unsigned_abs())
}

/// Ends the leases of `node`, which has nothing in progress any more: what it still has in memory was not sent. Returns how
/// many there were.
pub async fn end_unused_leases(
    session: &Session,
    node: NodeNumber,
    now: UnixMillis,
) -> Result<u64, StorageError> {
    let number = i32::from(node.0);
    let mut transaction = session.pool.begin().await?;
    sqlx::query("SELECT lock_node($1)").bind(number).execute(&mut *transaction).await?;
    let query = sqlx::query_scalar("SELECT end_leases($1, $2)").bind(number).bind(now.0);
    let ended: i64 = query.fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(ended.unsigned_abs())
}

/// Cancels all unfinished deliveries of a deleted hook, in small transactions.
pub async fn cancel_deliveries(pool: &BoundedPool, hook: HookId) -> Result<(), StorageError> {
    sqlx::query("SELECT cancel_unwritten($1)").bind(hook.0).execute(pool).await?;
    loop {
        let query = sqlx::query_scalar("SELECT cancel_some($1, $2)").bind(hook.0).bind(CANCEL_CHUNK);
        if !query.fetch_one(pool).await? {
            return Ok(());
        }
    }
}

/// Hands over what this node has in memory: it is due at once, for other nodes. A database that does not answer is not
/// waited for: other nodes take the work over then.
pub async fn leave(session: &Session) -> Result<(), StorageError> {
    session.pool.bounded(hand_over(session)).await
}

async fn hand_over(session: &Session) -> Result<(), StorageError> {
    let mut transaction = session.pool.begin().await?;
    sqlx::query("SELECT lock_node($1)").bind(session.number()).execute(&mut *transaction).await?;
    let sql = "UPDATE nodes SET ended = true WHERE number = $1 AND epoch = $2";
    let query = sqlx::query(sql).bind(session.number()).bind(session.epoch());
    if query.execute(&mut *transaction).await?.rows_affected() > 0 {
        // If attempts in progress have been given up: else nothing is leased any more.
        let sql = "SELECT end_lost_leases($1, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)";
        sqlx::query(sql).bind(session.number()).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}
