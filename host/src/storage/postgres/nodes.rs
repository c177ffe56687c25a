//! The nodes on one database: their numbers and epochs, signs of life, and what becomes of the work of a dead one.
//!
//! A node that starts raises its epoch, and so does the one that takes over its work. Each transaction that accepts,
//! leases or records checks its node's epoch under a lock that these two must have, too: nothing of an earlier epoch is
//! committed after it. Times of different nodes are compared by the database's clock.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx_postgres::{PgConnection, PgPool};
use tokio::time::MissedTickBehavior;

use super::session::Session;
use crate::domain::{EventKey, HookId, NodeNumber, UnixMillis};
use crate::storage::columns::damaged;
use crate::storage::{FURTHEST_AHEAD, StorageError};

/// How often a node shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Partitions are made this often.
const HEARTBEATS_PER_PARTITION_RUN: u64 = 3_600;
/// What other nodes handed over or left is looked for this often.
const HEARTBEATS_PER_LOOK: u64 = 5;
/// How many days ahead there are partitions.
const DAYS_AHEAD: i32 = 7;
/// How many deliveries of a deleted hook one transaction cancels.
const CANCEL_CHUNK: i32 = 2_000;

/// A node that has just got its number.
#[derive(Debug, Clone, Copy)]
pub struct Registered {
    pub node: NodeNumber,
    pub epoch: i64,
    /// Of its events up to this key, each delivery has a row.
    pub mark: EventKey,
}

/// Gives the node of this name its number, or a free one, and raises its epoch: an earlier process of it can commit nothing
/// any more.
pub async fn register(pool: &PgPool, name: &str, address: &str) -> Result<Registered, StorageError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(1213681235, 1)").execute(&mut *transaction).await?;
    let known = sqlx::query_scalar("SELECT number::integer FROM nodes WHERE name = $1").bind(name);
    let number: i32 = match known.fetch_optional(&mut *transaction).await? {
        Some(number) => number,
        None => free_number(&mut transaction).await?,
    };
    sqlx::query("SELECT lock_node($1)").bind(number).execute(&mut *transaction).await?;
    let sql = "INSERT INTO nodes (number, name, epoch, address, version, started_at, heartbeat_at, ended, written_until) \
        VALUES ($1, $2, 1, $3, $4, clock_timestamp(), clock_timestamp(), false, coalesce((SELECT max(key) FROM events), 0)) \
        ON CONFLICT (number) DO UPDATE SET name = excluded.name, epoch = nodes.epoch + 1, address = excluded.address, \
        version = excluded.version, started_at = excluded.started_at, heartbeat_at = excluded.heartbeat_at, ended = false, \
        written_until = CASE WHEN nodes.ended THEN excluded.written_until ELSE nodes.written_until END \
        RETURNING epoch, written_until";
    let query = sqlx::query_as(sql).bind(number).bind(name).bind(address).bind(env!("CARGO_PKG_VERSION"));
    let (epoch, mark): (i64, i64) = query.fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    let node = u16::try_from(number).map(NodeNumber).map_err(|error| damaged("node", error))?;
    Ok(Registered { node, epoch, mark: EventKey(mark) })
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
    let query = sqlx::query_scalar("SELECT end_leases($1, $2)").bind(number).bind(now.0);
    let ended: i64 = query.fetch_one(&mut *transaction).await?;
    let sql = "UPDATE unfinished_deliveries SET due_at = $1 WHERE state <> 1 AND due_at > $2";
    let query = sqlx::query(sql).bind(now.0).bind(now.plus(FURTHEST_AHEAD).0);
    query.execute(&mut *transaction).await?;
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

/// Cancels all unfinished deliveries of a deleted hook, in small transactions.
pub async fn cancel_deliveries(pool: &PgPool, hook: HookId) -> Result<(), StorageError> {
    sqlx::query("SELECT cancel_unwritten($1)").bind(hook.0).execute(pool).await?;
    loop {
        let query = sqlx::query_scalar("SELECT cancel_some($1, $2)").bind(hook.0).bind(CANCEL_CHUNK);
        if !query.fetch_one(pool).await? {
            return Ok(());
        }
    }
}

/// Shows that the node is alive, takes over the work of dead ones, and makes partitions, as long as the session lasts.
pub async fn keep_alive(session: Weak<Session>) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut now = UnixMillis(0);
    for beat in 0_u64.. {
        ticks.tick().await;
        let Some(session) = session.upgrade() else { return };
        if session.over.is_cancelled() {
            return;
        }
        match run_once(&session, beat, now).await {
            Ok(time) => now = time,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot reach the database");
            }
        }
    }
}

/// Returns the database's time; `last` is that of the last call.
async fn run_once(session: &Arc<Session>, beat: u64, last: UnixMillis) -> Result<UnixMillis, StorageError> {
    let mark = session.rowless.lock().raise_mark(EventKey::first_at(last));
    let sql = "UPDATE nodes SET heartbeat_at = clock_timestamp(), written_until = greatest(written_until, $3) \
        WHERE number = $1 AND epoch = $2 RETURNING floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let query = sqlx::query_scalar(sql).bind(session.number()).bind(session.epoch).bind(mark.0);
    let Some(now) = query.fetch_optional(&session.pool).await? else {
        session.end();
        return Ok(last);
    };
    let now = UnixMillis(now);
    let old = session.rowless.lock().old(EventKey::first_at(now));
    if !old.is_empty() {
        session.materialize(&old).await?;
    }
    take_over_dead(session).await?;
    if beat.is_multiple_of(HEARTBEATS_PER_PARTITION_RUN) {
        make_partitions(&session.pool).await?;
    }
    if beat.is_multiple_of(HEARTBEATS_PER_LOOK) {
        session.due.notify_one();
    }
    Ok(now)
}

async fn take_over_dead(session: &Session) -> Result<(), StorageError> {
    let sql = "SELECT number::integer, epoch FROM nodes \
        WHERE NOT ended AND number <> $1 AND heartbeat_at < clock_timestamp() - interval '10 seconds'";
    let dead: Vec<(i32, i64)> = sqlx::query_as(sql).bind(session.number()).fetch_all(&session.pool).await?;
    for (node, epoch) in dead {
        let query = sqlx::query_scalar("SELECT take_over($1, $2)").bind(node).bind(epoch);
        let deliveries: Option<i64> = query.fetch_one(&session.pool).await?;
        if let Some(deliveries) = deliveries {
            tracing::warn!(node, deliveries, "a node does not answer: took over its deliveries");
            session.due.notify_one();
        }
    }
    Ok(())
}

/// Makes the partitions of the next days, and warns if there are none.
pub async fn make_partitions(pool: &PgPool) -> Result<(), StorageError> {
    let query = sqlx::query_scalar("SELECT create_partitions($1)").bind(DAYS_AHEAD);
    let days: i32 = query.fetch_one(pool).await?;
    if days < DAYS_AHEAD {
        tracing::error!(
            days,
            "cannot make the partitions of the next days: rows of these days are in the default partitions"
        );
    }
    Ok(())
}

/// Hands over what this node has in memory: it is due at once, for other nodes.
pub async fn leave(session: &Session) -> Result<(), StorageError> {
    let mut transaction = session.pool.begin().await?;
    sqlx::query("SELECT lock_node($1)").bind(session.number()).execute(&mut *transaction).await?;
    let sql = "UPDATE nodes SET ended = true WHERE number = $1 AND epoch = $2";
    let query = sqlx::query(sql).bind(session.number()).bind(session.epoch);
    if query.execute(&mut *transaction).await?.rows_affected() > 0 {
        let sql = "SELECT end_leases($1, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)";
        sqlx::query(sql).bind(session.number()).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}
