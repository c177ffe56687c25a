//! Days that are deleted as a whole.

use super::whole_days::{age_horizon, day_end, is_there, make_day};
use super::*;
use crate::domain::{DeliveryId, EventId, EventKey, UnixMillis};
use crate::storage::{Redelivered, Trim};

/// The day of [`NOW`], counted from 2020-01-01.
const DAY: i64 = 2_513;
/// The partitions of that day that are there.
const LEFT: &str =
    "SELECT count(*) FROM pg_class WHERE relname ~ '^(events|finished_deliveries|attempts)_20261118$'";

async fn event_of(world: &World, delivery: DeliveryId) -> EventKey {
    world.delivery(delivery).await.event
}

#[tokio::test]
async fn a_day_is_deleted_but_for_what_is_not_final() {
    let database = create!();
    let opened = database.open("one").await;
    let end = day_end(EventKey(make_day(&opened, DAY).await));
    let world = world(&opened).await;
    let (hook, store) = (world.stored_hook().await, &world.storage.retention);
    let done = world.delivery_in(hook, DeliveryState::Succeeded).await;
    let erased = world.delivery_in(hook, DeliveryState::Exhausted).await;
    let open = world.delivery_in(hook, DeliveryState::Waiting).await;
    let [done_event, erased_event, open_event] =
        [event_of(&world, done).await, event_of(&world, erased).await, event_of(&world, open).await];
    store.erase(TENANT, &EventId::of_key(erased_event), NOW).await.unwrap();
    assert_eq!(store.erased_since(NOW, 9).await.unwrap(), [(erased_event, NOW)]);
    assert_eq!(store.erased_since(UnixMillis(NOW.0 + 1), 9).await.unwrap(), []);
    let left = async || -> i64 { sqlx::query_scalar(LEFT).fetch_one(opened.stores.pool()).await.unwrap() };
    let nothing = (crate::storage::Deleted::default(), EventKey(0));

    assert_eq!(store.delete_days(EventKey(end.0 - 1)).await.unwrap(), nothing, "the day is not over");
    let made = |event| {
        let id = DeliveryId(world.id());
        world.storage.events.redeliver(TENANT, hook, event, id, NOW)
    };
    assert_eq!(store.delete_days(end).await.unwrap(), nothing, "first, nothing more is made of it");
    assert_ne!(made(done_event).await.unwrap(), Redelivered::TooMany);
    assert_eq!(world.storage.deliveries.retry(TENANT, done, NOW).await.unwrap(), None);
    assert_eq!(store.delete_days(end).await.unwrap(), nothing, "then it waits for what began before");
    assert_eq!(left().await, 3);
    age_horizon(&opened).await;
    let (_, singly) = store.delete_days(end).await.unwrap();
    assert_eq!((singly, left().await), (end, 0));

    for (event, is_left) in [(done_event, false), (erased_event, false), (open_event, true)] {
        assert_eq!(is_there(&world, event).await, is_left);
    }
    assert_eq!(world.storage.deliveries.delivery(TENANT, done).await.unwrap(), None);
    assert!(world.storage.deliveries.with_attempts(TENANT, done, None, 9).await.unwrap().is_none());
    assert_eq!(world.delivery(open).await.state, DeliveryState::Waiting);
    assert_eq!(world.attempts(open).await.len(), 1);
    assert_eq!(store.erased_at(TENANT, erased_event).await.unwrap(), None);
    let has =
        store.deliveries_between((TENANT, Trim::Attempts), DeliveryId(0), DeliveryId(i64::MAX), 9).await;
    assert_eq!(has.unwrap(), [(open, true)]);
    // What was left is deleted like others once it is final.
    world.storage.deliveries.cancel(TENANT, open).await.unwrap();
    assert_eq!(store.delete_events(&[open_event]).await.unwrap().deleted.events, 1);
}
