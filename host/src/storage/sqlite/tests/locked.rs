//! Writing while another program holds the lock of the database, such as `sqlite3` in a transaction.

use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::*;
use crate::clock;
use crate::storage::RetryPolicy;

#[tokio::test]
async fn one_transaction_waits_for_a_lock_for_all_that_follow() {
    let (stores, (_storage, dir)) = open_new().await;
    let world = World::new(stores);
    let delivery = world.delivery_in(HookId(1), DeliveryState::Delivering).await;
    let file = SqliteConnectOptions::new().filename(dir.path().join(DATABASE_FILE));
    let mut other = file.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let (none, long) = (Duration::ZERO, Duration::from_secs(600));
    let retries = RetryPolicy { max_elapsed: none, max_outage: long, interval: none };
    let record = world.record_of(delivery, DeliveryState::Succeeded);
    let mut recording = world.storage.deliveries.record(vec![record], retries);
    let refused = async {
        let began = clock::monotonic();
        for _ in 0..5 {
            let error = world.storage.events.accept(vec![world.event()]).await.unwrap_err();
            assert!(error.is_outage(), "{error:?}");
        }
        clock::elapsed(began)
    };
    tokio::select! {
        recorded = &mut recording => panic!("it was recorded under a foreign lock: {recorded:?}"),
        took = refused => assert!(took < connection::LOCK_TIMEOUT * 2, "{took:?}"),
    }
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    recording.await.unwrap();
    assert_eq!(world.delivery(delivery).await.state, DeliveryState::Succeeded);
    world.store(world.event()).await;
}

/// How long the next transaction waits, in milliseconds.
async fn busy_timeout(storage: &SqliteDatabase) -> i64 {
    let mut writer = storage.stores.writer().await;
    let query = sqlx::query_scalar("PRAGMA busy_timeout");
    let timeout: Result<i64, sqlx::Error> = query.fetch_one(writer.begin().await.unwrap()).await;
    writer.finish(timeout.map_err(StorageError::from)).await.unwrap()
}

#[tokio::test]
async fn a_start_waits_longer_for_a_lock_until_its_first_commit() {
    let (_stores, (storage, dir)) = open_new().await;
    assert_eq!(busy_timeout(&storage).await, 10_000);
    assert_eq!(busy_timeout(&storage).await, 5_000);
    let file = SqliteConnectOptions::new().filename(dir.path().join(DATABASE_FILE));
    let mut other = file.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    assert!(storage.stores.writer().await.begin().await.is_err());
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(busy_timeout(&storage).await, 100);
    assert_eq!(busy_timeout(&storage).await, 5_000, "the lock was free");
}
