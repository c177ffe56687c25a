//! Databases of earlier engines.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::*;

/// As it was before deliveries were written once: every delivery has a row, and an index finds those of an event.
async fn database_of_version_2(dir: &Path) {
    let file = SqliteConnectOptions::new().filename(dir.join(DATABASE_FILE)).create_if_missing(true);
    let mut connection = file.connect().await.unwrap();
    let mut migrator = sqlx::migrate!("migrations/sqlite");
    migrator.migrations.to_mut().retain(|migration| migration.version <= 2);
    migrator.run(&mut connection).await.unwrap();
    let rows = "INSERT INTO hooks (id, tenant_id, url, subscription, enabled, description, headers, pipeline, timeout_ms, \
          retry_ms, signing, created_at, updated_at) \
          VALUES (7, 41, 'https://example.com/', '[\"*\"]', 1, '', '[]', '[]', 20000, '[5000]', 'standard', 0, 0); \
        INSERT INTO events (key, tenant_id, event_type, occurred_at, delivery_count, data) \
          VALUES (100, 41, 'a.b', 0, 3, '1'), (200, 41, 'a.b', 0, 0, '2'), (300, 42, 'a.b', 0, 1, '3'); \
        INSERT INTO deliveries (id, tenant_id, hook_id, event_key, event_type, made_by, state, attempts, failures, due_at) \
          VALUES (101, 41, 7, 100, 'a.b', 0, 1, 0, 0, 5000), (102, 41, 7, 100, 'a.b', 0, 3, 1, 0, NULL), \
          (205, 41, 7, 100, 'a.b', 0, 2, 1, 1, 9000), (301, 42, 8, 300, 'a.b', 0, 4, 9, 9, NULL); \
        INSERT INTO attempts (id, delivery_id, number, started_at, duration_ns, outcome, detail) \
          VALUES (103, 102, 1, 0, 0, 'dropped', '{\"step\":0}');";
    sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn deliveries_of_an_earlier_engine_are_all_there() {
    let dir = tempfile::tempdir().unwrap();
    database_of_version_2(dir.path()).await;
    let storage = reopen(dir.path()).await;
    assert_eq!(storage.greatest_id(), 301);
    let world = World::new(storage.stores());
    let deliveries = &world.storage.deliveries;
    let of_event = async |tenant, key| {
        let found = deliveries.of_event(tenant, EventKey(key)).await.unwrap();
        found.iter().map(|one| (one.id.0, one.state, one.attempts)).collect::<Vec<_>>()
    };
    use DeliveryState::{Delivering, Exhausted, Succeeded, Waiting};
    let of_first = [(101, Delivering, 0), (102, Succeeded, 1), (205, Waiting, 1)];
    assert_eq!(of_event(TENANT, 100).await, of_first);
    assert_eq!(of_event(TENANT, 200).await, []);
    assert_eq!(of_event(OTHER_TENANT, 300).await, [(301, Exhausted, 9)]);
    assert_eq!(of_event(OTHER_TENANT, 100).await, []);
    let of_hook = DeliveryQuery { hook: Some(HookId(7)), limit: 10, ..DeliveryQuery::default() };
    let of_hook = deliveries.list(TENANT, &of_hook).await.unwrap().deliveries;
    assert_eq!(of_hook.iter().map(|one| one.id.0).collect::<Vec<_>>(), [205, 102, 101]);
    assert_eq!(world.attempts(DeliveryId(102)).await[0].id.0, 103);
    assert_eq!(deliveries.recover(NodeNumber(0), NOW).await.unwrap(), 1);
    let mut claimed: Vec<_> =
        world.claim(HookId(7), NOW, 10).await.iter().map(|one| one.delivery.id.0).collect();
    claimed.sort_unstable();
    assert_eq!(claimed, [101, 205]);
}

#[tokio::test]
async fn a_directory_whose_database_is_gone_gets_no_new_one() {
    for (what, change) in [
        ("missing", (|path| std::fs::remove_file(path).unwrap()) as fn(&Path)),
        ("empty", |path| std::fs::write(path, "").unwrap()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        reopen(dir.path()).await.close().await.unwrap();
        let database = dir.path().join(DATABASE_FILE);
        let whole = std::fs::read(&database).unwrap();
        change(&database);
        for left in [&["encryption.key", "hookwright.lock"] as &[&str], &["hookwright.lock"]] {
            let error = open(dir.path(), SqliteOptions::default()).await.unwrap_err();
            assert!(matches!(error, StorageError::Missing(_)), "{error:?}");
            let words = error.to_string();
            assert!(words.starts_with(&format!("hookwright.db is {what} in ")), "{words}");
            assert!(left.iter().all(|name| words.contains(name)), "{words}");
            let _ = std::fs::rename(dir.path().join("encryption.key"), dir.path().join("moved"));
        }
        std::fs::rename(dir.path().join("moved"), dir.path().join("encryption.key")).unwrap();
        std::fs::write(&database, whole).unwrap();
        reopen(dir.path()).await;
    }
    // What a crash before the first database leaves is begun anew.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(DATABASE_FILE), "").unwrap();
    reopen(dir.path()).await;
}

#[tokio::test]
async fn files_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let storage = reopen(dir.path()).await;
    let world = World::new(storage.stores());
    world.store(world.event()).await;
    let modes = || {
        let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap());
        let mode = |file: std::fs::DirEntry| {
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            (file.file_name().into_string().unwrap(), mode)
        };
        files.map(mode).collect::<std::collections::BTreeMap<_, _>>()
    };
    let made = modes();
    assert!(made.len() >= 5 && made.values().all(|mode| *mode == 0o600), "{made:?}");
    drop(world);
    storage.close().await.unwrap();
    for name in modes().keys() {
        std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(0o666)).unwrap();
    }
    let _storage = reopen(dir.path()).await;
    assert!(modes().values().all(|mode| *mode == 0o600), "{:?}", modes());
}

#[tokio::test]
async fn an_interrupted_bring_forward_continues_and_moves_nothing_twice() {
    const COUNT: usize = 3_000;
    let day = std::time::Duration::from_secs(86_400);
    let now = UnixMillis(NOW.0 - 86_400_000);
    for restarted in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut storage = reopen(dir.path()).await;
        let world = World::new(storage.stores());
        let (many, few) = (world.stored_hook().await, world.stored_hook().await);
        for (hook, count) in [(many, COUNT), (few, 3)] {
            let events = (0..count).map(|_| world.event_for(hook, None)).collect();
            world.storage.events.accept(events).await.unwrap();
        }
        // The first transaction is committed, and then something fails.
        let mut writer = storage.stores.writer().await;
        let progress = clock_steps::bring_some_forward(writer.begin().await.unwrap(), now, day).await;
        assert_eq!(writer.finish(progress).await.unwrap(), clock_steps::Progress::More);
        drop((writer, world));
        if restarted {
            storage.close().await.unwrap();
            storage = reopen(dir.path()).await;
            storage.stores().deliveries.recover(NodeNumber(1), now).await.unwrap();
        } else {
            // Each repeats the call, and so would one whose answer got lost.
            for _ in 0..2 {
                storage.stores().deliveries.bring_forward(now, day).await.unwrap();
            }
        }
        let sql = "SELECT due_at, count(*) FROM deliveries GROUP BY due_at";
        let due: Vec<(i64, i64)> = sqlx::query_as(sql).fetch_all(&storage.stores.readers).await.unwrap();
        assert_eq!(due, [(now.0, COUNT as i64 + 3)], "restarted: {restarted}");
        assert_eq!(storage.noted_clock().await.unwrap().seen, Some(now));
    }
}

#[tokio::test]
async fn a_database_of_a_newer_engine_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    reopen(dir.path()).await.close().await.unwrap();
    let mut connection =
        SqliteConnectOptions::new().filename(dir.path().join(DATABASE_FILE)).connect().await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (9000, 'later', 1, x'00', 0)";
    sqlx::raw_sql(newer).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let error = open(dir.path(), SqliteOptions::default()).await.unwrap_err();
    assert!(matches!(error, StorageError::Newer(9000)), "{error:?}");
}
