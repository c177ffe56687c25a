use futures_util::future::{join_all, poll_immediate};

use super::*;
use crate::domain::{DeliveryId, DeliveryState};
use crate::storage::Database as _;
use crate::storage::conformance::{LEASE_END, NOW, TENANT, World};
use crate::storage::sqlite::rowless::Selection;
use crate::storage::sqlite::{SqliteDatabase, SqliteOptions, open};

async fn open_new() -> (SqliteDatabase, World, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path(), SqliteOptions::default()).await.unwrap();
    let world = World::new(database.stores());
    (database, world, dir)
}

#[tokio::test]
async fn work_of_a_caller_that_goes_away_is_written() {
    let (_database, world, _dir) = open_new().await;
    let acceptance = world.event_for(HookId(1), Some(LEASE_END));
    let id = acceptance.deliveries[0].id;
    let mut call = world.storage.events.accept(vec![acceptance]);
    assert!(poll_immediate(&mut call).await.is_none());
    drop(call);
    // Committed after it, or together with it.
    world.store(world.event()).await;
    assert_eq!(world.delivery(id).await.state, DeliveryState::Delivering);
}

#[tokio::test]
async fn calls_beyond_the_queue_wait_and_are_all_answered() {
    let (database, world, _dir) = open_new().await;
    let writer = database.stores.writer().await;
    let call = || world.storage.events.accept(vec![world.event()]);
    let mut calls: Vec<_> = (0..2 * QUEUE).map(|_| call()).collect();
    for call in &mut calls {
        assert!(poll_immediate(call).await.is_none());
    }
    assert_eq!(database.stores.queue.capacity(), 0);
    drop(writer);
    assert!(join_all(calls).await.into_iter().all(|answer| answer.unwrap() == [Accepted::Stored]));
}

#[tokio::test]
async fn what_is_queued_at_the_close_is_committed_and_what_comes_later_is_refused() {
    let (database, world, dir) = open_new().await;
    let writer = database.stores.writer().await;
    let mut call = world.storage.events.accept(vec![world.event()]);
    assert!(poll_immediate(&mut call).await.is_none());
    let mut closing = database.close();
    assert!(poll_immediate(&mut closing).await.is_none());
    drop(writer);
    closing.await.unwrap();
    assert_eq!(call.await.unwrap(), [Accepted::Stored]);
    let late = world.storage.events.accept(vec![world.event()]).await;
    assert!(matches!(late, Err(StorageError::Closed)), "{late:?}");
    database.ended().await;
    assert!(open(dir.path(), SqliteOptions::default()).await.unwrap().greatest_id() > 0);
}

/// What is in memory must be what is on disk.
#[tokio::test]
async fn a_transaction_that_is_rolled_back_adds_no_delivery_to_memory() {
    let (database, world, _dir) = open_new().await;
    let first = world.event_for(HookId(1), Some(LEASE_END));
    world.store(first.clone()).await;
    let mut second = world.event_for(HookId(1), Some(LEASE_END));
    let lost = second.deliveries[0].id;
    // Its key is in use.
    Arc::make_mut(&mut second.event).key = first.event.key;
    let refused = world.storage.events.accept(vec![second]).await;
    assert!(matches!(refused, Err(StorageError::RolledBack(_))), "{refused:?}");
    assert!(database.stores.rowless.lock().get(lost).is_none());
    assert!(world.storage.deliveries.delivery(TENANT, lost).await.unwrap().is_none());
    assert!(database.stores.rowless.lock().get(first.deliveries[0].id).is_some());
}

/// A group is bounded: a long queue is committed in several transactions, and each claim sees those before.
#[tokio::test]
async fn requested_rows_records_and_claims_go_together() {
    let (database, world, _dir) = open_new().await;
    let hook = HookId(1);
    let events: Vec<_> = (0..300).map(|_| world.event_for(hook, Some(LEASE_END))).collect();
    let ids: Vec<DeliveryId> = events.iter().map(|one| one.deliveries[0].id).collect();
    world.storage.events.accept(events).await.unwrap();
    let records: Vec<_> =
        ids[..100].iter().map(|id| world.record_of(*id, DeliveryState::Succeeded)).collect();
    let retries = crate::storage::RetryPolicy::NONE;
    let (recorded, materialized, claimed) = tokio::join!(
        world.storage.deliveries.record(records, retries),
        database.stores.materialize(Selection::OfHook(hook)),
        world.claim(hook, LEASE_END, 1_000),
    );
    recorded.unwrap();
    materialized.unwrap();
    let claimed: Vec<_> = claimed.iter().map(|one| one.delivery.id).collect();
    assert_eq!(claimed, ids[100..], "those whose attempt is not recorded");
    assert!(database.stores.rowless.request(Selection::All, None).is_none());
    assert!(NOW < LEASE_END);
}
