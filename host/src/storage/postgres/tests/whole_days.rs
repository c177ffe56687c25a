//! What tests of days that are deleted as a whole share.

use sqlx::AssertSqlSafe;

use super::*;
use crate::domain::{EventId, EventKey};

const DAY_MS: i64 = 86_400_000;

/// The first id of a day, which is counted from 2020-01-01.
fn first_of(day: i64) -> i64 {
    (day * DAY_MS) << 22
}

/// Makes the partitions of the day, and returns the first id of it.
pub(super) async fn make_day(database: &PostgresDatabase, day: i64) -> i64 {
    let (from, to) = (first_of(day), first_of(day + 1));
    for table in ["events", "finished_deliveries", "attempts"] {
        let sql = format!(
            "DO $$ BEGIN EXECUTE format('CREATE TABLE %I PARTITION OF {table} FOR VALUES FROM ({from}) TO ({to})', \
             '{table}_' || to_char(date '2020-01-01' + {day}, 'YYYYMMDD')); END $$"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(database.stores.pool()).await.unwrap();
    }
    from
}

/// The first event after the day of this one.
pub(super) fn day_end(event: EventKey) -> EventKey {
    EventKey(first_of((event.0 >> 22) / DAY_MS + 1))
}

/// As if the horizon had been set long ago: all transactions of before are over.
pub(super) async fn age_horizon(database: &PostgresDatabase) {
    let sql = "UPDATE retention_horizon SET set_at = set_at - interval '2 minutes'";
    sqlx::query(sql).execute(database.stores.pool()).await.unwrap();
}

/// Whether the event is still there.
pub(super) async fn is_there(world: &World, event: EventKey) -> bool {
    world.storage.events.event(TENANT, &EventId::of_key(event)).await.unwrap().is_some()
}
