//! The wall clock as each node last saw it, and what happens after it was set back.
//!
//! Deliveries are due at times of the wall clock. After a step back of the only node's clock they are due too late by as
//! much, so they are brought forward. Beside other nodes, whose clocks are right, nothing is moved.

use std::time::Duration;

use super::engine_state;
use super::pool::BoundedPool;
use super::session::Session;
use crate::domain::UnixMillis;
use crate::storage::{NotedClock, StorageError};

/// In `engine_state`: the last step for which deliveries were brought forward, its time and its size.
const CLOCK_STEP: &str = "clock-step";

/// In `engine_state`: as far as the clock is trusted.
const TRUSTED_CLOCK: &str = "trusted-clock";

/// In `engine_state`: for how many milliseconds it has been far ahead of that.
const AHEAD_CLOCK: &str = "ahead-clock";

/// In `engine_state`: the greatest time that a node's clock showed since it was last set back.
fn wall_clock(session: &Session) -> String {
    format!("wall-clock-{}", session.node.0)
}

/// What was noted: what this node's clock showed; the rest by the node that noted last.
pub async fn noted(session: &Session) -> Result<NotedClock, StorageError> {
    let ahead_ms = millis(session, AHEAD_CLOCK).await?.unwrap_or(0);
    Ok(NotedClock {
        seen: millis(session, &wall_clock(session)).await?.map(UnixMillis),
        trusted: millis(session, TRUSTED_CLOCK).await?.map(UnixMillis),
        ahead_for: Duration::from_millis(u64::try_from(ahead_ms).unwrap_or(0)),
    })
}

async fn millis(session: &Session, name: &str) -> Result<Option<i64>, StorageError> {
    let Some(bytes) = engine_state::get(&session.pool, name).await? else { return Ok(None) };
    // A damaged one must not keep the engine from starting.
    Ok(<[u8; 8]>::try_from(bytes.as_slice()).ok().map(i64::from_be_bytes))
}

/// Notes what the clock shows, how far it is trusted, and for how long it has been far ahead of that.
pub async fn note(
    session: &Session,
    now: UnixMillis,
    trusted: UnixMillis,
    ahead_for: Duration,
) -> Result<(), StorageError> {
    let ahead_ms = i64::try_from(ahead_for.as_millis()).unwrap_or(i64::MAX);
    engine_state::set(&session.pool, TRUSTED_CLOCK, &trusted.0.to_be_bytes()).await?;
    engine_state::set(&session.pool, AHEAD_CLOCK, &ahead_ms.to_be_bytes()).await?;
    engine_state::set(&session.pool, &wall_clock(session), &now.0.to_be_bytes()).await
}

/// Makes deliveries that wait for a time after `now` due `by` earlier, once for the same arguments.
pub async fn bring_forward(pool: &BoundedPool, now: UnixMillis, by: Duration) -> Result<(), StorageError> {
    let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    let step = format!("{}/{by_ms}", now.0).into_bytes();
    let mut transaction = pool.begin().await?;
    let nodes: i64 =
        sqlx::query_scalar("SELECT count(*) FROM nodes WHERE NOT ended").fetch_one(&mut *transaction).await?;
    if nodes > 1 || engine_state::get(&mut *transaction, CLOCK_STEP).await?.as_ref() == Some(&step) {
        return Ok(());
    }
    let sql = "UPDATE unfinished_deliveries SET due_at = greatest($1, due_at - $2) WHERE state <> 1 AND due_at > $1";
    sqlx::query(sql).bind(now.0).bind(by_ms).execute(&mut *transaction).await?;
    engine_state::set(&mut *transaction, CLOCK_STEP, &step).await?;
    transaction.commit().await?;
    Ok(())
}
