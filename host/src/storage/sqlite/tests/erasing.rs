//! Erasing beside others that read the database.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::*;
use crate::clock;

/// Such as a backup. The log is emptied later; writers do not wait for that.
#[tokio::test]
async fn a_reader_keeps_the_log_and_nobody_from_writing() {
    let (stores, (_storage, dir)) = open_new().await;
    let world = World::new(stores);
    let acceptance = world.event_for(HookId(1), None);
    let event = acceptance.event.key;
    world.store(acceptance).await;
    let file = SqliteConnectOptions::new().filename(dir.path().join(DATABASE_FILE)).read_only(true);
    let mut reader = file.connect().await.unwrap();
    sqlx::query("BEGIN").execute(&mut reader).await.unwrap();
    sqlx::query("SELECT count(*) FROM events").fetch_one(&mut reader).await.unwrap();
    let store = &world.storage.retention;
    store.erase(TENANT, &EventId::of_key(event), NOW).await.unwrap();
    let log = || dir.path().join("hookwright.db-wal").metadata().unwrap().len();
    let began = clock::monotonic();
    store.erase_late(NOW).await.unwrap();
    world.store(world.event()).await;
    assert!(clock::elapsed(began) < connection::LOCK_TIMEOUT / 2, "{:?}", clock::elapsed(began));
    assert!(log() > 0);
    sqlx::query("COMMIT").execute(&mut reader).await.unwrap();
    reader.close().await.unwrap();
    store.erase_late(NOW).await.unwrap();
    assert_eq!(log(), 0);
}
