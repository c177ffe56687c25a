//! Deletes whole days: the partitions of events, finished deliveries and attempts.
//!
//! First, no further delivery of their events is made: see `retention_horizon`. Some time later, when all transactions that began
//! before are over, the events with deliveries that are not final are known for good. They move to the default partition, with
//! their deliveries and attempts, and the day is dropped.

use super::errors::is_locked;
use super::stores::PostgresStores;
use crate::domain::EventKey;
use crate::storage::{Deleted, StorageError};

/// How many days one call deletes, at most, and how many the horizon passes at once: after an upgrade there may be years of them, and each holds all writers up for a moment.
const DAYS: usize = 10;
/// If more events have deliveries that are not final, they are deleted one by one when they are done.
const MAX_UNFINISHED: i64 = 10_000;

/// Deletes days that end before `until`, and a day ago at least. Returns what, and up to which event to delete one by one.
pub(super) async fn delete(
    stores: &PostgresStores,
    until: EventKey,
) -> Result<(Deleted, EventKey), StorageError> {
    let sql = "WITH days AS (SELECT DISTINCT right(c.relname, 8) AS day FROM pg_inherits i \
            JOIN pg_class c ON c.oid = i.inhrelid \
            WHERE i.inhparent IN ('events'::regclass, 'finished_deliveries'::regclass, 'attempts'::regclass) \
            AND c.relname ~ '_[0-9]{8}$'), \
        ends AS (SELECT day, ((to_date(day, 'YYYYMMDD') - date '2020-01-01' + 1) * 86400000::bigint) << 22 AS key \
            FROM days WHERE to_date(day, 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - 1) \
        SELECT day, key FROM ends WHERE key <= $1 ORDER BY key";
    let days: Vec<(String, i64)> = sqlx::query_as(sql).bind(until.0).fetch_all(stores.pool()).await?;
    let mut deleted = Deleted::default();
    let sql = "SELECT key, clock_timestamp() - set_at > interval '60 seconds' FROM retention_horizon";
    let (horizon, is_old): (i64, bool) = sqlx::query_as(sql).fetch_one(stores.pool()).await?;
    // Once for some of them: each wait would be that of one day. Not for all: a retention that was too short by mistake can be
    // mended for those that the horizon has not passed.
    let Some((_, last)) = days.iter().take(DAYS).next_back() else { return Ok((deleted, EventKey(horizon))) };
    if horizon < *last {
        let sql = "UPDATE retention_horizon SET key = $1, set_at = clock_timestamp() WHERE key < $1";
        sqlx::query(sql).bind(last).execute(stores.pool()).await?;
        return Ok((deleted, EventKey(0)));
    }
    if !is_old {
        return Ok((deleted, EventKey(0)));
    }
    for (day, end) in days.iter().take(DAYS) {
        match delete_day(stores, day, *end, &mut deleted).await? {
            DayEnd::Deleted => {}
            DayEnd::Locked => return Ok((deleted, EventKey(0))),
            DayEnd::Unfinished => return Ok((deleted, EventKey(i64::MAX))),
        }
    }
    Ok((deleted, EventKey(if days.len() <= DAYS { horizon } else { 0 })))
}

/// What came of a day.
enum DayEnd {
    Deleted,
    /// Somebody reads a table, such as a backup.
    Locked,
    /// Too many events have deliveries that are not final.
    Unfinished,
}

async fn delete_day(
    stores: &PostgresStores,
    day: &str,
    end: i64,
    deleted: &mut Deleted,
) -> Result<DayEnd, StorageError> {
    let sql = "SELECT DISTINCT event_key FROM unfinished_deliveries WHERE event_key < $1 LIMIT $2";
    let query = sqlx::query_scalar(sql).bind(end).bind(MAX_UNFINISHED + 1);
    let events: Vec<i64> = query.fetch_all(stores.pool()).await?;
    if i64::try_from(events.len()).is_ok_and(|count| count > MAX_UNFINISHED) {
        return Ok(DayEnd::Unfinished);
    }
    let sql = "SELECT DISTINCT d.id FROM events e CROSS JOIN LATERAL unnest(e.delivery_ids) d (id) WHERE e.key = ANY ($1)";
    let deliveries: Vec<i64> = sqlx::query_scalar(sql).bind(&events).fetch_all(stores.pool()).await?;
    for table in ["attempts", "finished_deliveries", "events"] {
        let query = sqlx::query_scalar("SELECT drop_day($1, $2, $3, $4)").bind(table).bind(day);
        let dropped: Result<i64, _> = query.bind(&events).bind(&deliveries).fetch_one(stores.pool()).await;
        let count = match dropped {
            Ok(count) => u64::try_from(count).unwrap_or(0),
            Err(error) if is_locked(&error) => return Ok(DayEnd::Locked),
            Err(error) => return Err(error.into()),
        };
        match table {
            "attempts" => deleted.attempts += count,
            "events" => deleted.events += count,
            _ => deleted.deliveries += count,
        }
    }
    let sql = "DELETE FROM erased_events WHERE event_key < $1 AND event_key <> ALL ($2)";
    sqlx::query(sql).bind(end).bind(&events).execute(stores.pool()).await?;
    let sql = "DELETE FROM delivery_notes WHERE delivery_id < $1 AND delivery_id <> ALL ($2)";
    sqlx::query(sql).bind(end).bind(&deliveries).execute(stores.pool()).await?;
    Ok(DayEnd::Deleted)
}
