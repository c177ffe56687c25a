//! The wall clock as this database last saw it, and what happens after it was set back.
//!
//! Deliveries are due at times of the wall clock. After a step back they are due too late by as much, so they are brought
//! forward. Each small transaction also stores the progress: after a failed call or a crash the next call continues, and
//! moves no delivery twice.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnection;

use super::engine_state;
use super::rows::damaged;
use super::script::{is_among, json_keys};
use crate::domain::UnixMillis;
use crate::storage::{NotedClock, StorageError};

/// In `engine_state`: the greatest time that the wall clock showed, in milliseconds, eight bytes, the highest first.
/// Only a finished step lowers it.
const WALL_CLOCK: &str = "wall-clock";
/// In `engine_state`: as far as the wall clock is trusted, in the same form.
const TRUSTED_CLOCK: &str = "trusted-clock";
/// In `engine_state`: for how many milliseconds the wall clock has been far ahead of that, in the same form.
const AHEAD_CLOCK: &str = "ahead-clock";
/// In `engine_state`: the [`Step`] that is under way, or the last one.
const CLOCK_STEP: &str = "clock-step";

/// How many deliveries one transaction moves, and how many hooks it looks at.
const DELIVERIES_AT_ONCE: usize = 2_000;
const HOOKS_AT_ONCE: usize = 200;

/// A step back of the clock, and how far its deliveries are moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Step {
    now: i64,
    by_ms: i64,
    /// The hook whose deliveries were moved last; those of lesser ones are done.
    hook: i64,
    /// The last delivery of that hook that was moved: its time before the move, and its id. Deliveries move to earlier times,
    /// so the search does not find them again.
    due_at: i64,
    id: i64,
    done: bool,
}

impl Step {
    fn new(now: UnixMillis, by: Duration) -> Self {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self { now: now.0, by_ms, hook: i64::MIN, due_at: i64::MAX, id: i64::MAX, done: false }
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.now, self.by_ms) == (other.now, other.by_ms)
    }

    async fn load(connection: &mut SqliteConnection) -> Result<Option<Self>, StorageError> {
        let Some(json) = engine_state::get(connection, CLOCK_STEP).await? else { return Ok(None) };
        // A damaged one must not keep the engine from starting.
        Ok(serde_json::from_slice(&json).inspect_err(|error| warn_of_damage(CLOCK_STEP, error)).ok())
    }

    async fn store(&self, connection: &mut SqliteConnection) -> Result<(), StorageError> {
        let json = serde_json::to_vec(self).map_err(|error| damaged("clock step", error))?;
        engine_state::set(connection, CLOCK_STEP, &json).await
    }
}

/// What was noted of the wall clock.
pub async fn noted(connection: &mut SqliteConnection) -> Result<NotedClock, StorageError> {
    let ahead_ms = millis(connection, AHEAD_CLOCK).await?.unwrap_or(0);
    Ok(NotedClock {
        seen: last_seen(connection).await?,
        trusted: millis(connection, TRUSTED_CLOCK).await?.map(UnixMillis),
        ahead_for: Duration::from_millis(u64::try_from(ahead_ms).unwrap_or(0)),
    })
}

async fn last_seen(connection: &mut SqliteConnection) -> Result<Option<UnixMillis>, StorageError> {
    Ok(millis(connection, WALL_CLOCK).await?.map(UnixMillis))
}

async fn millis(connection: &mut SqliteConnection, name: &'static str) -> Result<Option<i64>, StorageError> {
    let Some(bytes) = engine_state::get(connection, name).await? else { return Ok(None) };
    let millis = <[u8; 8]>::try_from(bytes.as_slice());
    Ok(millis.inspect_err(|error| warn_of_damage(name, error)).ok().map(i64::from_be_bytes))
}

fn warn_of_damage(name: &str, error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(name, error, "ignoring damaged engine state in the database");
}

/// Notes that the wall clock shows `now`, unless it has shown more, is trusted as far as `trusted`, and has been far ahead of that
/// for so long.
pub async fn note(
    connection: &mut SqliteConnection,
    now: UnixMillis,
    trusted: UnixMillis,
    ahead_for: Duration,
) -> Result<(), StorageError> {
    let ahead_ms = i64::try_from(ahead_for.as_millis()).unwrap_or(i64::MAX);
    engine_state::set(connection, TRUSTED_CLOCK, &trusted.0.to_be_bytes()).await?;
    engine_state::set(connection, AHEAD_CLOCK, &ahead_ms.to_be_bytes()).await?;
    match last_seen(connection).await? {
        Some(seen) if seen >= now => Ok(()),
        _ => engine_state::set(connection, WALL_CLOCK, &now.0.to_be_bytes()).await,
    }
}

/// What a transaction made of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do.
    More,
    /// All that waits has been moved.
    Done,
}

/// Moves some deliveries that wait: of a step that is under way, or else of this one.
pub async fn bring_some_forward(
    connection: &mut SqliteConnection,
    now: UnixMillis,
    by: Duration,
) -> Result<Progress, StorageError> {
    let wanted = Step::new(now, by);
    let step = match Step::load(connection).await? {
        Some(step) if step.is_same(&wanted) && step.done => return Ok(Progress::Done),
        Some(step) if !step.done => step,
        _ => wanted.clone(),
    };
    let is_wanted = step.is_same(&wanted);
    let step = move_some(connection, step).await?;
    Ok(if step.done && is_wanted { Progress::Done } else { Progress::More })
}

/// Whether no step is under way.
pub async fn is_complete(connection: &mut SqliteConnection) -> Result<bool, StorageError> {
    Ok(Step::load(connection).await?.is_none_or(|step| step.done))
}

/// Goes on with a step that an earlier process did not finish, if there is one.
pub async fn resume_some(connection: &mut SqliteConnection) -> Result<Progress, StorageError> {
    match Step::load(connection).await? {
        Some(step) if !step.done => {
            let step = move_some(connection, step).await?;
            Ok(if step.done { Progress::Done } else { Progress::More })
        }
        _ => Ok(Progress::Done),
    }
}

async fn move_some(connection: &mut SqliteConnection, mut step: Step) -> Result<Step, StorageError> {
    let mut room = DELIVERIES_AT_ONCE;
    for _ in 0..HOOKS_AT_ONCE {
        let moved = move_of_hook(connection, &mut step, room).await?;
        room -= moved;
        if room == 0 {
            break;
        }
        let sql = "SELECT hook_id FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 AND hook_id > ? \
            ORDER BY hook_id LIMIT 1";
        let next: Option<i64> =
            sqlx::query_scalar(sql).bind(step.hook).fetch_optional(&mut *connection).await?;
        let Some(next) = next else {
            step.done = true;
            break;
        };
        (step.hook, step.due_at, step.id) = (next, step.now, i64::MAX);
    }
    if step.done {
        engine_state::set(connection, WALL_CLOCK, &step.now.to_be_bytes()).await?;
    }
    step.store(connection).await?;
    Ok(step)
}

/// Moves up to `limit` deliveries of the step's hook. Those under a lease stay.
async fn move_of_hook(
    connection: &mut SqliteConnection,
    step: &mut Step,
    limit: usize,
) -> Result<usize, StorageError> {
    let sql = "SELECT tenant_id, id, ready_at FROM deliveries INDEXED BY deliveries_unfinished \
        WHERE hook_id = ?1 AND state < 3 AND state <> 1 AND (ready_at, id) > (?2, ?3) ORDER BY ready_at, id LIMIT ?4";
    let query = sqlx::query_as(sql).bind(step.hook).bind(step.due_at).bind(step.id);
    let query = query.bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let found: Vec<(i64, i64, i64)> = query.fetch_all(&mut *connection).await?;
    let Some((_, last_id, last_due_at)) = found.last() else { return Ok(0) };
    (step.due_at, step.id) = (*last_due_at, *last_id);
    let sql = concat!("UPDATE deliveries SET due_at = max(?, due_at - ?) WHERE ", is_among!());
    let keys = json_keys(found.iter().map(|(tenant, id, _)| (*tenant, *id)));
    sqlx::query(sql).bind(step.now).bind(step.by_ms).bind(keys).execute(connection).await?;
    Ok(found.len())
}
