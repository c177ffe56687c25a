//! A moved installation answers as before.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::domain::{AuditEntry, DeliveryState, DomainToken, Login, SecretText};
use crate::storage::conformance::ordering::{event_in_order, record_of};
use crate::storage::conformance::{LEASE_END, NOW, TENANT, World};
use crate::storage::postgres::TestDatabase;
use crate::storage::sqlite::{SqliteOptions, open};
use crate::storage::{Accepted, Database as _, Revision, StorageError};
use crate::vault::{Key, Keys, Vault};

/// The key that [`TestDatabase::open`] has.
fn keys() -> Keys {
    Keys { current: Key::from_text(&BASE64_STANDARD.encode([7; 32])), previous: Vec::new() }
}

async fn move_all(source: &mut Source, database: &TestDatabase) -> Result<Moved, StorageError> {
    let mut target = Target::connect(database.url()).await?;
    let moved = run(source, &mut target, NOW, &mut |_| {}).await;
    target.close().await?;
    moved
}

/// A data directory that a crashed engine left, and what it answered before.
struct Before {
    dir: tempfile::TempDir,
    hooks: Vec<crate::domain::Hook>,
    access: (Vec<Login>, Vec<DomainToken>),
    deliveries: Vec<crate::domain::Delivery>,
    attempts: Vec<Vec<crate::domain::Attempt>>,
    named: crate::storage::Acceptance,
}

async fn crashed() -> Before {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path(), SqliteOptions { keys: keys(), ..SqliteOptions::default() }).await.unwrap();
    let world = World::of_node(opened.stores(), opened.node().await.unwrap());
    let hook = world.stored_hook().await;
    let login = Login {
        name: "one".to_owned(),
        tenant: TENANT,
        secret: SecretText::new("a-login's-secret"),
        created_at: NOW,
    };
    world.storage.access.insert_login(&login, Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    let mut ids = Vec::new();
    for state in DeliveryState::ALL {
        ids.push(world.delivery_in(hook, state).await);
    }
    let mut named = world.event_for(hook, Some(LEASE_END));
    named.idempotency_key = Some("a\tb\\c".to_owned());
    named.content = [9; 32];
    let event = std::sync::Arc::make_mut(&mut named.event);
    event.data = "{\"text\": \"a\\\\b\\té\"}".into();
    event.id = crate::domain::EventId::from_path("its-own-id");
    world.store(named.clone()).await;
    ids.push(named.deliveries[0].id);
    let (mut deliveries, mut attempts) = (Vec::new(), Vec::new());
    for id in ids {
        deliveries.push(world.delivery(id).await);
        attempts.push(world.attempts(id).await);
    }
    let (hooks, access) =
        (world.storage.hooks.load().await.unwrap(), world.storage.access.load().await.unwrap());
    drop(world);
    opened.close().await.unwrap();
    Before { dir, hooks, access, deliveries, attempts, named }
}

#[tokio::test]
async fn a_moved_installation_is_the_same_and_what_waited_is_due() {
    let Some(database) = TestDatabase::create().await else { return };
    let before = crashed().await;
    let mut source = Source::open(before.dir.path()).await.unwrap();
    assert!(source.opens_with(&Vault::new(keys().current.unwrap())).await.unwrap());
    let moved = move_all(&mut source, &database).await.unwrap();
    assert!(moved.counts.iter().all(|count| count.source == count.target), "{:?}", moved.counts);

    let opened = database.open("one").await;
    let node = opened.node().await.unwrap();
    let world = World::of_node(opened.stores(), node);
    assert!(opened.greatest_id() > before.named.deliveries[0].id.0 - 1);
    world.storage.deliveries.recover(node, NOW).await.unwrap();
    assert_eq!(world.storage.hooks.load().await.unwrap(), before.hooks);
    assert_eq!(world.storage.access.load().await.unwrap(), before.access);
    for (old, attempts) in before.deliveries.iter().zip(&before.attempts) {
        let new = world.delivery(old.id).await;
        match old.state {
            DeliveryState::Delivering => {
                assert_eq!((new.state, new.due_at, new.lease), (DeliveryState::Pending, Some(NOW), None));
            }
            _ => assert_eq!(&new, old),
        }
        assert_eq!(format!("{:?}", world.attempts(old.id).await), format!("{attempts:?}"));
    }
    let id = before.named.event.id.clone();
    let found = world.storage.events.event(TENANT, &id).await.unwrap().unwrap();
    assert_eq!(format!("{found:?}"), format!("{:?}", before.named.event));
    let again = world.storage.events.accept(vec![before.named.clone()]).await.unwrap();
    assert_eq!(again, [Accepted::Duplicate { key: before.named.event.key, id, deliveries: 1 }]);
    let claimed = world.claim(before.hooks[0].id, LEASE_END, 100).await;
    let unfinished = before.deliveries.iter().filter(|delivery| !delivery.state.is_final()).count();
    assert_eq!(claimed.len(), unfinished);
    assert_eq!(claimed.iter().filter(|one| one.rendered.is_some()).count(), 1, "the waiting one");
}

#[tokio::test]
async fn what_was_in_order_is_sent_before_what_is_accepted_after_the_move() {
    let Some(database) = TestDatabase::create().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path(), SqliteOptions { keys: keys(), ..SqliteOptions::default() }).await.unwrap();
    let world = World::of_node(opened.stores(), opened.node().await.unwrap());
    let hook = world.stored_hook().await;
    let mut expected = Vec::new();
    let accept = async |world: &World| {
        let acceptance = event_in_order(world, hook, "a");
        let id = acceptance.deliveries[0].id;
        world.store(acceptance).await;
        id
    };
    for _ in 0..2 {
        expected.push(accept(&world).await);
    }
    drop(world);
    opened.close().await.unwrap();
    move_all(&mut Source::open(dir.path()).await.unwrap(), &database).await.unwrap();

    let opened = database.open("one").await;
    let world = World::of_node(opened.stores(), opened.node().await.unwrap());
    expected.push(accept(&world).await);
    for expected in expected {
        let claimed = world.claim(hook, NOW, 10).await;
        assert_eq!(claimed.iter().map(|one| one.delivery.id).collect::<Vec<_>>(), [expected]);
        world.record(record_of(&world, &claimed[0], DeliveryState::Succeeded, NOW)).await;
    }
}

#[tokio::test]
async fn a_database_in_use_is_refused_and_an_interrupted_move_begins_anew() {
    let (Some(used), Some(database)) = (TestDatabase::create().await, TestDatabase::create().await) else {
        return;
    };
    let before = crashed().await;
    let mut source = Source::open(before.dir.path()).await.unwrap();
    used.open("one").await.close().await.unwrap();
    let refused = move_all(&mut source, &used).await.unwrap_err();
    assert!(refused.to_string().contains("not empty"), "{refused}");

    // As a crash in the middle leaves it.
    let mut target = Target::connect(database.url()).await.unwrap();
    target.begin().await.unwrap();
    let second = Target::connect(database.url()).await.unwrap_err();
    assert!(second.to_string().contains("another `hookwright migrate`"), "{second}");
    target.close().await.unwrap();
    assert!(matches!(database.try_open("one", 7).await, Err(StorageError::Moving)));
    let mut target = Target::connect(database.url()).await.unwrap();
    assert_eq!(target.look().await.unwrap(), Found::Interrupted);
    target.close().await.unwrap();
    move_all(&mut source, &database).await.unwrap();
    assert!(matches!(database.try_open("one", 8).await, Err(StorageError::WrongKey)));
    database.open("one").await;
}

#[tokio::test]
async fn a_source_that_is_in_use_or_older_is_refused_and_does_not_change() {
    let before = crashed().await;
    let path = before.dir.path();
    let files = || {
        let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = names.map(|name| (std::fs::read(&name).unwrap(), name)).collect();
        files.sort_by(|a, b| a.1.cmp(&b.1));
        files
    };
    let unchanged = files();
    let mut source = Source::open(path).await.unwrap();
    count(&mut source).await.unwrap();
    let options = || SqliteOptions { keys: keys(), ..SqliteOptions::default() };
    assert!(matches!(open(path, options()).await, Err(StorageError::InUse(_))));
    source.close().await.unwrap();
    assert!(files() == unchanged);
    let engine = open(path, options()).await.unwrap();
    assert!(matches!(Source::open(path).await, Err(StorageError::InUse(_))));
    engine.close().await.unwrap();
    drop(engine);
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Source::open(empty.path()).await, Err(StorageError::Missing(_))));
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);

    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path.join("hookwright.db"));
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    for (sql, is_newer) in [
        (
            "UPDATE _sqlx_migrations SET version = 900 WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
            true,
        ),
        ("DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)", false),
    ] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        match Source::open(path).await {
            Err(StorageError::Newer(900)) => assert!(is_newer),
            Err(StorageError::StartOnce(_)) => assert!(!is_newer),
            other => panic!("{other:?}"),
        }
    }
}
