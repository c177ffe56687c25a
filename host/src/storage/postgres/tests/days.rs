//! Whole days are deleted beside others who accept, record and read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::whole_days::{age_horizon, day_end, is_there, make_day};
use super::*;
use crate::domain::{AttemptId, DeliveryId, EventId, EventKey, HookId, UnixMillis};
use crate::storage::{Acceptance, Redelivered};

const EVENTS_A_DAY: i64 = 30;
/// Who accept and record meanwhile.
const WRITERS: usize = 4;
const WAITS: UnixMillis = UnixMillis(NOW.0 + 5_000);

/// Makes the partitions of the day so many days before the database's, and returns the first id of it.
async fn day_before(database: &PostgresDatabase, days: i64) -> i64 {
    let sql = "SELECT ((now() AT TIME ZONE 'UTC')::date - date '2020-01-01')::bigint";
    let today: i64 = sqlx::query_scalar(sql).fetch_one(database.stores.pool()).await.unwrap();
    make_day(database, today - days).await
}

/// An event of a day, the one with this number, and its delivery.
fn event_of_day(world: &World, hook: HookId, day: i64, number: i64) -> Acceptance {
    let mut acceptance = world.event_for(hook, Some(LEASE_END));
    let id = day | (number + 1) << 22 | i64::from(world.node.0) << 12;
    let event = Arc::make_mut(&mut acceptance.event);
    (event.key, event.id) = (EventKey(id), EventId::of_key(EventKey(id)));
    acceptance.deliveries[0].id = DeliveryId(id + 1);
    acceptance
}

/// Stores it, and the record of a first attempt.
async fn attempted(world: &World, acceptance: Acceptance, state: DeliveryState) -> (EventKey, DeliveryId) {
    let (event, id) = (acceptance.event.key, acceptance.deliveries[0].id);
    world.store(acceptance).await;
    let mut record = world.record_of(id, state);
    // As workers name it.
    record.attempt.as_mut().unwrap().id = AttemptId(id.0);
    world.record(record).await;
    (event, id)
}

/// How many days before yesterday have a table of events.
async fn old_days(database: &PostgresDatabase) -> i64 {
    let sql = "SELECT count(*) FROM pg_class WHERE relname ~ '^events_[0-9]{8}$' \
        AND to_date(right(relname, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - 1";
    sqlx::query_scalar(sql).fetch_one(database.stores.pool()).await.unwrap()
}

/// Accepts and records until `stop`, and returns what was recorded.
async fn write(world: Arc<World>, hook: HookId, stop: Arc<AtomicBool>) -> Vec<DeliveryId> {
    let mut made = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let acceptance = world.event_for(hook, Some(LEASE_END));
        made.push(attempted(&world, acceptance, DeliveryState::Succeeded).await.1);
    }
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_are_deleted_beside_writers_and_what_is_unfinished_stays() {
    let database = create!();
    let opened = database.open("one").await;
    let world = Arc::new(world(&opened).await);
    let hook = world.stored_hook().await;
    let days = [day_before(&opened, 4).await, day_before(&opened, 3).await];
    let until = day_end(EventKey(days[1]));
    let (mut gone, mut waiting) = (Vec::new(), Vec::new());
    for day in days {
        for number in 0..EVENTS_A_DAY {
            let acceptance = event_of_day(&world, hook, day, number);
            match number {
                3 => waiting.push(attempted(&world, acceptance, DeliveryState::Waiting).await),
                _ => gone.push(attempted(&world, acceptance, DeliveryState::Succeeded).await),
            }
        }
    }
    let stop = Arc::<AtomicBool>::default();
    let writers: Vec<_> =
        (0..WRITERS).map(|_| tokio::spawn(write(Arc::clone(&world), hook, Arc::clone(&stop)))).collect();

    let store = &world.storage.retention;
    assert_eq!(old_days(&opened).await, 2);
    assert_eq!(store.delete_days(until).await.unwrap().1, EventKey(0), "only the horizon is set");
    assert_eq!(store.delete_days(until).await.unwrap().1, EventKey(0), "it is too new");
    let again = DeliveryId(world.id());
    let redelivered = world.storage.events.redeliver(TENANT, hook, gone[0].0, again, NOW).await.unwrap();
    assert!(!matches!(redelivered, Redelivered::Made(_)), "{redelivered:?}");
    assert_eq!(world.storage.deliveries.retry(TENANT, gone[0].1, NOW).await.unwrap(), None);
    assert_eq!(old_days(&opened).await, 2);
    let began = crate::clock::monotonic();
    while old_days(&opened).await > 0 {
        age_horizon(&opened).await;
        store.delete_days(until).await.unwrap();
        assert!(crate::clock::elapsed(began) < Duration::from_secs(60), "others hold the tables up");
    }
    assert_eq!(store.delete_days(until).await.unwrap().1, until, "what is later is deleted one by one");

    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        let made = writer.await.unwrap();
        assert!(!made.is_empty());
        for id in made {
            assert_eq!(world.delivery(id).await.state, DeliveryState::Succeeded);
        }
    }
    for (event, id) in gone {
        assert!(!is_there(&world, event).await, "{event}");
        assert_eq!(world.storage.deliveries.delivery(TENANT, id).await.unwrap(), None);
    }
    assert_eq!(world.claim(hook, WAITS, 10).await.len(), 2, "they are sent again");
    for (event, id) in waiting {
        assert!(is_there(&world, event).await);
        assert_eq!(world.attempts(id).await.len(), 1);
    }
}

/// Such as a backup. Writers would wait behind what drops a table.
#[tokio::test]
async fn a_day_is_not_waited_for_behind_a_reader() {
    let database = create!();
    let opened = database.open("one").await;
    let world = world(&opened).await;
    let hook = world.stored_hook().await;
    let day = day_before(&opened, 3).await;
    let until = day_end(EventKey(day));
    let acceptance = event_of_day(&world, hook, day, 0);
    let (event, _) = attempted(&world, acceptance, DeliveryState::Succeeded).await;
    let store = &world.storage.retention;
    store.delete_days(until).await.unwrap();
    age_horizon(&opened).await;
    let mut reader = PgConnection::connect(database.url()).await.unwrap();
    reader
        .execute("BEGIN; SELECT FROM events; SELECT FROM finished_deliveries; SELECT FROM attempts")
        .await
        .unwrap();
    assert_eq!(store.delete_days(until).await.unwrap().1, EventKey(0));
    assert!(is_there(&world, event).await);
    world.store(world.event_for(hook, Some(LEASE_END))).await;
    reader.execute("ROLLBACK").await.unwrap();
    assert_eq!(store.delete_days(until).await.unwrap().1, until);
    assert!(!is_there(&world, event).await);
    assert_eq!(old_days(&opened).await, 0);
}

/// As after a month without retention, or with one that is too short by mistake: days that are not due yet can be saved.
#[tokio::test]
async fn many_days_are_deleted_ten_after_each_wait() {
    let database = create!();
    let opened = database.open("one").await;
    let world = world(&opened).await;
    let hook = world.stored_hook().await;
    let mut events = Vec::new();
    for days in 3..17 {
        let day = day_before(&opened, days).await;
        let acceptance = event_of_day(&world, hook, day, 0);
        events.push(attempted(&world, acceptance, DeliveryState::Succeeded).await.0);
    }
    let until = day_end(events[0]);
    let store = &world.storage.retention;
    // Each row: how many days are left after the wait, and up to which event others are deleted one by one.
    for (left, singly) in [(4, EventKey(0)), (0, until)] {
        for what in ["only the horizon is set", "it is too new"] {
            let before = old_days(&opened).await;
            assert_eq!(store.delete_days(until).await.unwrap().1, EventKey(0), "{what}");
            assert_eq!(old_days(&opened).await, before, "{what}");
        }
        age_horizon(&opened).await;
        assert_eq!(store.delete_days(until).await.unwrap().1, singly);
        assert_eq!(old_days(&opened).await, left);
    }
    for event in events {
        assert!(!is_there(&world, event).await, "{event}");
    }
}
