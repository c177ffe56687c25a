//! The conformance suite on SQLite, and what is SQLite's own.

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::poll_immediate;

use super::open::READERS;
use super::*;
use crate::domain::{
    AuditEntry, DeliveryId, DeliveryState, EventId, EventKey, HookId, NodeNumber, TenantId, UnixMillis,
};
use crate::storage::conformance::{LEASE_END, NOW, OTHER_TENANT, TENANT, World};
use crate::storage::{Accepted, Database as _, DeliveryQuery, NewDelivery, Revision, Storage, StorageError};

mod bench;
mod damage;
mod erasing;
mod locked;
mod restoring;
mod retention;
mod sealing;
mod searching;
mod upgrading;

async fn open_new() -> (Storage, (SqliteDatabase, tempfile::TempDir)) {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), SqliteOptions::default()).await.unwrap();
    (storage.stores(), (storage, dir))
}

/// One process at a time has the database open, so its nodes share the writer.
async fn open_many(nodes: usize) -> (Vec<Storage>, (SqliteDatabase, tempfile::TempDir)) {
    let (storage, guard) = open_new().await;
    (vec![storage; nodes], guard)
}

crate::storage_conformance!(open_new, open_many);

async fn reopen(dir: &Path) -> SqliteDatabase {
    open(dir, SqliteOptions::default()).await.unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn stored_data_is_there_after_reopening() {
    for closed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let hook = HookId(9);
        let id = runtime().block_on(async {
            let storage = reopen(dir.path()).await;
            assert_eq!(storage.greatest_id(), 0);
            let world = World::new(storage.stores());
            let id = world.delivery_in(hook, DeliveryState::Waiting).await;
            if closed {
                storage.close().await.unwrap();
                assert!(!dir.path().join("hookwright.db-wal").exists());
            }
            id
        });
        // The runtime dropped everything, as a crash would.
        runtime().block_on(async {
            let storage = reopen(dir.path()).await;
            assert!(storage.greatest_id() > id.0, "the attempt came after the delivery");
            let world = World::new(storage.stores());
            let claimed = world.claim(hook, UnixMillis(NOW.0 + 10_000), 10).await;
            assert_eq!(claimed[0].delivery.id, id);
            assert!(claimed[0].rendered.is_some());
        });
    }
}

#[test]
fn deliveries_that_only_memory_knew_are_recovered_after_a_crash() {
    for closed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let (hook, done_hook, leased, done) = runtime().block_on(async {
            let storage = reopen(dir.path()).await;
            let world = World::new(storage.stores());
            let (hook, done_hook) = (world.stored_hook().await, world.stored_hook().await);
            let mut leased = Vec::new();
            let mut done = Vec::new();
            // More than a second of ids lies between the first and the last, so that `written_until` moves; and the
            // events come in an order that is not that of their keys.
            for (round, step) in [(0, 3), (1, 1), (2, 0), (3, 2), (4, 5), (5, 4)] {
                let mut acceptance = world.event_for(hook, Some(LEASE_END));
                let event = Arc::make_mut(&mut acceptance.event);
                event.key = EventKey(event.key.0 + (step << 34));
                event.id = EventId::of_key(event.key);
                acceptance.deliveries[0].id = DeliveryId(event.key.0 + 1);
                acceptance.deliveries.push(NewDelivery {
                    id: DeliveryId(event.key.0 + 2),
                    hook: done_hook,
                    ..acceptance.deliveries[0].clone()
                });
                let ids: Vec<_> = acceptance.deliveries.iter().map(|new| new.id).collect();
                world.store(acceptance).await;
                world.record(world.record_of(ids[1], DeliveryState::Succeeded)).await;
                done.push(ids[1]);
                if round % 2 == 0 {
                    leased.push(ids[0]);
                } else {
                    world.record(world.record_of(ids[0], DeliveryState::Succeeded)).await;
                    done.push(ids[0]);
                }
            }
            if closed {
                storage.close().await.unwrap();
            }
            (hook, done_hook, leased, done)
        });
        runtime().block_on(async {
            let storage = reopen(dir.path()).await;
            assert!(storage.greatest_id() >= leased.iter().chain(&done).map(|id| id.0).max().unwrap());
            let world = World::new(storage.stores());
            assert_eq!(world.storage.deliveries.recover(world.node, NOW).await.unwrap(), leased.len() as u64);
            let mut claimed: Vec<_> =
                world.claim(hook, NOW, 10).await.iter().map(|one| one.delivery.id).collect();
            claimed.sort();
            let mut expected = leased.clone();
            expected.sort();
            assert_eq!(claimed, expected);
            let of_hook = DeliveryQuery { hook: Some(hook), limit: 10, ..DeliveryQuery::default() };
            let listed = world.storage.deliveries.list(TENANT, &of_hook).await.unwrap().deliveries;
            assert!(expected.iter().all(|id| listed.iter().any(|delivery| delivery.id == *id)), "{listed:?}");
            assert_eq!(world.claim(done_hook, NOW, 10).await.len(), 0);
            for id in done {
                assert_eq!(world.delivery(id).await.state, DeliveryState::Succeeded);
            }
        });
    }
}

#[tokio::test]
async fn a_delivery_that_finishes_at_once_is_written_once() {
    let (stores, (storage, _dir)) = open_new().await;
    let world = World::new(stores);
    let rows = async || -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM deliveries");
        count.fetch_one(&storage.stores.readers).await.unwrap()
    };
    let acceptance = world.event_for(HookId(1), Some(LEASE_END));
    let id = acceptance.deliveries[0].id;
    world.store(acceptance).await;
    assert_eq!(rows().await, 0, "it is on disk in its event's row");
    world.record(world.record_of(id, DeliveryState::Succeeded)).await;
    assert_eq!(rows().await, 1);
    // One that is listed, and one of another tenant, which is not.
    let acceptance = world.event_for(HookId(1), Some(LEASE_END));
    let asked_for = acceptance.deliveries[0].id;
    world.store(acceptance).await;
    assert_eq!(world.delivery(asked_for).await.state, DeliveryState::Delivering);
    assert_eq!(rows().await, 1, "one alone is told without being written");
    let mut others = world.event_for(HookId(2), Some(LEASE_END));
    Arc::make_mut(&mut others.event).tenant = OTHER_TENANT;
    world.store(others).await;
    let query = DeliveryQuery { limit: 10, ..DeliveryQuery::default() };
    let listed = world.storage.deliveries.list(TENANT, &query).await.unwrap().deliveries;
    assert_eq!(listed.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [asked_for, id]);
    assert_eq!(rows().await, 2);
}

#[tokio::test]
async fn a_data_directory_serves_one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a/b");
    let first = reopen(&data).await;
    let mode = std::os::unix::fs::PermissionsExt::mode(&data.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    let error = open(&data, SqliteOptions::default()).await.unwrap_err();
    let expected = format!("the data directory {} is in use by another process", data.display());
    assert_eq!(error.to_string(), expected);
    first.close().await.unwrap();
    let second = reopen(&data).await;
    let world = World::new(first.stores());
    let hooks = world.storage.hooks.load().await;
    let failures = [
        world.storage.events.accept(vec![world.event()]).await.map(drop),
        world.storage.hooks.insert(&world.hook(), Revision::ANY, &AuditEntry::of_test()).await.map(drop),
        hooks.map(drop),
        first.close().await.map_err(|_| StorageError::Closed).and(Err(StorageError::Closed)),
    ];
    for failure in failures {
        assert!(matches!(failure, Err(StorageError::Closed)), "{failure:?}");
    }
    second.close().await.unwrap();
}

/// Lets the database grow no further than it is.
async fn set_full(storage: &SqliteDatabase, full: bool) {
    let mut writer = storage.stores.writer().await;
    let connection = writer.connection().await.unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *connection).await.unwrap();
    let limit = if full { pages } else { 1_000_000 };
    let pragma = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {limit}"));
    sqlx::query(pragma).fetch_all(connection).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_fails_writes_and_nothing_after_them() {
    let (stores, (storage, _dir)) = open_new().await;
    let world = World::new(stores);
    set_full(&storage, true).await;
    let mut big = world.event_for(HookId(1), None);
    Arc::make_mut(&mut big.event).data = "7".repeat(100_000).into();
    let calls = [vec![world.event()], vec![big.clone()]].map(|call| world.storage.events.accept(call));
    for answer in futures_util::future::join_all(calls).await {
        let error = answer.unwrap_err();
        assert!(format!("{error:?}").contains("full"), "{error:?}");
    }
    let mut hook = world.hook();
    hook.description = "d".repeat(100_000);
    assert!(world.storage.hooks.insert(&hook, Revision::ANY, &AuditEntry::of_test()).await.is_err());
    let query = DeliveryQuery { limit: 10, ..DeliveryQuery::default() };
    assert_eq!(world.storage.deliveries.list(TENANT, &query).await.unwrap().deliveries, []);
    set_full(&storage, false).await;
    world.store(big).await;
    world.storage.hooks.insert(&hook, Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    assert_eq!(world.storage.deliveries.list(TENANT, &query).await.unwrap().deliveries.len(), 1);
}

#[tokio::test]
async fn a_dropped_call_leaves_no_transaction_open() {
    let (stores, (storage, _dir)) = open_new().await;
    let world = World::new(stores);
    {
        let mut writer = storage.stores.writer().await;
        let connection = writer.begin().await.unwrap();
        sqlx::query("DELETE FROM events").execute(connection).await.unwrap();
    }
    world.store(world.event()).await;
    // Dropped after this many steps: the next call is served, whether or not it was committed.
    for steps in 0..40 {
        let mut hook = world.hook();
        hook.secrets = vec![hook.secrets[0].clone(); 3];
        let mut accept = Box::pin(world.storage.events.accept(vec![world.event()]).fuse());
        let entry = AuditEntry::of_test();
        let mut insert = Box::pin(world.storage.hooks.insert(&hook, Revision::ANY, &entry).fuse());
        for _ in 0..steps {
            let _ = poll_immediate(&mut accept).await;
            let _ = poll_immediate(&mut insert).await;
            // Lets the connection's thread come to its next step as well.
            let _ = world.storage.deliveries.backlog().await.unwrap();
        }
        drop((accept, insert));
        world.store(world.event()).await;
    }
    let hooks = world.storage.hooks.load().await.unwrap();
    assert!(hooks.iter().all(|hook| hook.secrets.len() == 3), "whole or not at all");
    assert!((1..40).contains(&hooks.len()), "{} of 40 were in time", hooks.len());
}

#[tokio::test]
async fn an_orphans_deliveries_are_cancelled_at_the_next_start() {
    let (stores, (storage, _dir)) = open_new().await;
    let world = World::new(stores);
    let hook = world.stored_hook().await;
    let ids = [
        world.delivery_in(hook, DeliveryState::Waiting).await,
        world.delivery_in(hook, DeliveryState::Delivering).await,
    ];
    let mut writer = storage.stores.writer().await;
    let connection = writer.connection().await.unwrap();
    sqlx::query("DELETE FROM hooks").execute(connection).await.unwrap();
    drop(writer);
    assert_eq!(world.storage.deliveries.recover(world.node, NOW).await.unwrap(), 0);
    for id in ids {
        assert_eq!(world.delivery(id).await.state, DeliveryState::Cancelled);
    }
}

#[tokio::test]
async fn lists_do_not_delay_deliveries() {
    let (stores, (storage, _dir)) = open_new().await;
    let world = World::new(stores);
    let id = world.delivery_in(HookId(1), DeliveryState::Pending).await;
    let mut busy = Vec::new();
    for _ in 0..READERS {
        busy.push(storage.stores.readers.acquire().await.unwrap());
    }
    assert_eq!(world.storage.deliveries.backlog().await.unwrap().len(), 1);
    assert_eq!(world.claim(HookId(1), NOW, 10).await.len(), 1);
    assert_eq!(world.delivery(id).await.state, DeliveryState::Delivering);
}

#[tokio::test]
async fn leases_are_released_if_their_deliveries_cannot_be_read() {
    let (stores, (storage, _dir)) = open_new().await;
    let world = World::new(stores);
    let hook = HookId(1);
    let mut ids = Vec::new();
    for state in [DeliveryState::Pending, DeliveryState::Waiting, DeliveryState::Delivering] {
        ids.push(world.delivery_in(hook, state).await);
    }
    let before = world.delivery(ids[2]).await;
    let now = UnixMillis(NOW.0 + 5_000);
    storage.stores.feeding.close().await;
    // A lease that ends when that of the other one does: only what was claimed is given back.
    let claim = world.try_claim(hook, now, before.lease.unwrap().until, (10, u64::MAX)).await;
    assert!(matches!(claim, Err(StorageError::Closed)), "{claim:?}");
    let query = DeliveryQuery { limit: 10, ..DeliveryQuery::default() };
    let mut found = world.storage.deliveries.list(TENANT, &query).await.unwrap().deliveries;
    found.sort_by_key(|delivery| delivery.id);
    let found: Vec<_> = found.iter().map(|one| (one.id, one.state, one.due_at)).collect();
    let expected = [
        (ids[0], DeliveryState::Pending, Some(now)),
        (ids[1], DeliveryState::Waiting, Some(now)),
        (ids[2], DeliveryState::Delivering, None),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_damaged_delivery_stays_leased() {
    let (stores, (storage, _dir)) = open_new().await;
    let world = World::new(stores);
    let id = world.delivery_in(HookId(1), DeliveryState::Pending).await;
    let mut writer = storage.stores.writer().await;
    sqlx::query("DELETE FROM events").execute(writer.connection().await.unwrap()).await.unwrap();
    drop(writer);
    let claim = world.try_claim(HookId(1), NOW, UnixMillis(NOW.0 + 1), (10, u64::MAX)).await;
    assert!(matches!(claim, Err(StorageError::Damaged { .. })), "{claim:?}");
    assert_eq!(world.delivery(id).await.state, DeliveryState::Delivering);
}

#[tokio::test]
async fn a_duplicate_is_answered_with_the_senders_id() {
    let (stores, _guard) = open_new().await;
    let world = World::new(stores);
    let mut acceptance = world.event();
    Arc::make_mut(&mut acceptance.event).id = EventId::from_path("mine");
    world.store(acceptance.clone()).await;
    let answers = world.storage.events.accept(vec![acceptance]).await.unwrap();
    assert!(matches!(&answers[0], Accepted::Duplicate { id, .. } if id.as_str() == "mine"));
}

#[tokio::test]
async fn reads_of_one_tenant_leave_readers_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), SqliteOptions::default()).await.unwrap();
    let deliveries = storage.stores().deliveries;
    let query = DeliveryQuery { limit: 1, ..DeliveryQuery::default() };
    let (one, other) = (TenantId(1), TenantId(2));
    let held =
        (storage.stores.permit_read(one).await.unwrap(), storage.stores.permit_read(one).await.unwrap());
    let mut waiting = deliveries.list(one, &query);
    for _ in 0..20 {
        deliveries.list(other, &query).await.unwrap();
        let done = poll_immediate(&mut waiting).await;
        assert!(done.is_none(), "it has a reader beside two of the same tenant");
    }
    drop(held);
    waiting.await.unwrap();
}
