//! Deliveries in order whose transactions are committed in another order than they began.

use sqlx::AssertSqlSafe;

use super::*;
use crate::domain::{DeliveryId, HookId, UnixMillis};
use crate::storage::conformance::ordering::{event_in_order, record_of};

async fn accept(world: &World, hook: HookId) -> DeliveryId {
    let acceptance = event_in_order(world, hook, "a");
    let id = acceptance.deliveries[0].id;
    world.store(acceptance).await;
    id
}

async fn opened(database: &TestDatabase) -> (PostgresDatabase, World) {
    let opened = database.open("one").await;
    let world = World::of_node(opened.stores(), opened.node().await.unwrap());
    (opened, world)
}

async fn set(database: &PostgresDatabase, id: DeliveryId, columns: &str) {
    let sql = AssertSqlSafe(format!("UPDATE unfinished_deliveries SET {columns} WHERE id = {}", id.0));
    sqlx::query(sql).execute(database.stores.pool()).await.unwrap();
}

#[tokio::test]
async fn a_lesser_number_that_is_committed_late_is_sent_next_also_if_the_greater_one_fails() {
    let database = create!();
    let (one, world) = opened(&database).await;
    let hook = world.stored_hook().await;
    let greater = accept(&world, hook).await;
    let now = UnixMillis(NOW.0 + 1_000);
    let claimed = world.claim(hook, now, 10).await;
    let lesser = accept(&world, hook).await;
    set(&one, lesser, &format!("ordering_seq = 0, ordering_waits = false, due_at = {}", NOW.0)).await;
    assert_eq!(world.claim(hook, now, 10).await.len(), 0, "one of a key at a time");
    world.record(record_of(&world, &claimed[0], DeliveryState::Waiting, now)).await;
    let retry = UnixMillis(NOW.0 + 5_000);
    let next = world.claim(hook, retry, 10).await;
    assert_eq!(next.iter().map(|one| one.delivery.id).collect::<Vec<_>>(), [lesser]);
    world.record(record_of(&world, &next[0], DeliveryState::Succeeded, retry)).await;
    let last = world.claim(hook, retry, 10).await;
    assert_eq!(last.iter().map(|one| one.delivery.id).collect::<Vec<_>>(), [greater]);
}

#[tokio::test]
async fn a_first_delivery_that_waits_nevertheless_is_due_after_a_start_or_once_another_is_claimed() {
    let database = create!();
    let (one, world) = opened(&database).await;
    let hook = world.stored_hook().await;
    let (first, second) = (accept(&world, hook).await, accept(&world, hook).await);
    let later = UnixMillis(NOW.0 + 1_000);
    let claim = async || {
        let claimed = world.claim(hook, later, 10).await;
        claimed.iter().map(|one| one.delivery.id).collect::<Vec<_>>()
    };
    let waits = format!("ordering_waits = true, due_at = {}", NOW.0 + 86_400_000);
    set(&one, first, &waits).await;
    assert_eq!(claim().await, []);
    set(&one, second, &format!("ordering_waits = false, due_at = {}", NOW.0)).await;
    assert_eq!(claim().await, [], "the second waits again, and the first is due");
    assert_eq!(claim().await, [first]);
    world.storage.deliveries.recover(world.node, later).await.unwrap();
    set(&one, first, &waits).await;
    assert_eq!(claim().await, []);
    world.storage.deliveries.recover(world.node, later).await.unwrap();
    assert_eq!(claim().await, [first]);
}
