//! Encrypted rows, rotation of keys, and rows that cannot be decrypted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::*;
use crate::domain::{
    AuditEntry, Authorization, Hook, Login, Origin, Pipeline, SecretText, SigningSecret, Step, Surface,
};
use crate::storage::{Rekeyed, Revision};
use crate::vault::{Key, Keys};

const SECRETS: [&str; 7] = [
    "secret-in-path",
    "secret-in-query",
    "secret-in-header",
    "secret-in-settings",
    "secret-in-preflight",
    "secret-in-members",
    "secret-authorization",
];

fn key(digit: char) -> Key {
    Key::from_text(&STANDARD.encode([digit as u8; 32])).unwrap()
}

fn keys(current: char, previous: &[char]) -> Keys {
    Keys { current: Some(key(current)), previous: previous.iter().map(|digit| key(*digit)).collect() }
}

async fn open_with(dir: &Path, keys: Keys) -> Result<SqliteDatabase, StorageError> {
    open(dir, SqliteOptions { keys, ..SqliteOptions::default() }).await
}

/// A hook that has something secret wherever it can have.
fn full_hook(world: &World) -> Hook {
    let step = |settings: &str| Step {
        plugin: "field-map".parse().unwrap(),
        settings: format!("{{\"x\":\"{settings}\"}}").into(),
    };
    Hook {
        url: Hook::parse_url("https://example.com/secret-in-path?key=secret-in-query").unwrap(),
        headers: vec![("x-token".into(), "secret-in-header".into())],
        pipeline: Pipeline(vec![step("secret-in-settings")]),
        preflight: Pipeline(vec![step("secret-in-preflight")]),
        origin: Origin { surface: Surface::Webitel, members: "{\"y\":\"secret-in-members\"}".into() },
        authorization: Some(Authorization { value: SecretText::new("secret-authorization"), enabled: true }),
        secrets: vec![
            SigningSecret::from_bytes(vec![b'k'; 32]).unwrap(),
            SigningSecret::from_bytes(vec![b'o'; 24]).unwrap().expiring_at(NOW),
        ],
        ..world.hook()
    }
}

fn secrets_in_files(dir: &Path) -> Vec<String> {
    let mut texts: Vec<_> = SECRETS.map(str::to_owned).to_vec();
    texts.extend(["k".repeat(32), "o".repeat(24), "secret-rendered".to_owned()]);
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    // Some megabytes of nothing.
    files.retain(|path| !path.ends_with("hookwright.reserve"));
    let holds = |text: &String| {
        let in_file = |path: &std::path::PathBuf| {
            std::fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
        };
        files.iter().any(in_file)
    };
    texts.into_iter().filter(holds).collect()
}

async fn connect(dir: &Path) -> sqlx::sqlite::SqliteConnection {
    SqliteConnectOptions::new().filename(dir.join(DATABASE_FILE)).connect().await.unwrap()
}

/// A delivery of `hook` that waits for a retry, with a request that has secrets.
async fn waiting(world: &World, hook: HookId) {
    let acceptance = world.event_for(hook, Some(LEASE_END));
    let mut record = world.record_of(acceptance.deliveries[0].id, DeliveryState::Waiting);
    world.store(acceptance).await;
    let mut rendered = crate::storage::conformance::request("body");
    rendered.request.url = "https://example.com/secret-rendered".to_owned();
    rendered.request.headers = vec![("x-token".into(), "secret-in-header".into())];
    record.rendered = crate::storage::Rendered::Store(rendered);
    record.attempt = None;
    world.record(record).await;
}

async fn rendered_url(world: &World, hook: HookId) -> Option<String> {
    let mut claimed = world.claim(hook, UnixMillis(NOW.0 + 10_000), 1).await;
    claimed.remove(0).rendered.map(|rendered| rendered.request.url)
}

#[tokio::test]
async fn nothing_secret_of_a_hook_is_readable_in_any_file() {
    let dir = tempfile::tempdir().unwrap();
    let storage = reopen(dir.path()).await;
    let world = World::new(storage.stores());
    let hook = full_hook(&world);
    world.storage.hooks.insert(&hook, Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    assert!(
        world
            .storage
            .hooks
            .update(&hook, hook.updated_at, Revision::ANY, &AuditEntry::of_test())
            .await
            .unwrap()
            .is_done()
    );
    waiting(&world, hook.id).await;
    assert_eq!(secrets_in_files(dir.path()), [""; 0]);
    storage.close().await.unwrap();
    assert_eq!(secrets_in_files(dir.path()), [""; 0]);
    let world = World::new(reopen(dir.path()).await.stores());
    assert_eq!(world.storage.hooks.load().await.unwrap(), std::slice::from_ref(&hook));
    assert_eq!(rendered_url(&world, hook.id).await.as_deref(), Some("https://example.com/secret-rendered"));
}

/// As an engine before migration 6 stored it.
async fn make_plain(dir: &Path) {
    let mut connection = connect(dir).await;
    let sql = r#"UPDATE hooks SET sealed = NULL, url = 'https://example.com/secret-in-path?key=secret-in-query',
            headers = '[["x-token","secret-in-header"]]', surface_members = '{"y":"secret-in-members"}',
            pipeline = '[{"plugin":"field-map","settings":"{\"x\":\"secret-in-settings\"}"}]',
            preflight = '[{"plugin":"field-map","settings":"{\"x\":\"secret-in-preflight\"}"}]';
        INSERT INTO hook_secrets SELECT id, 0, CAST(printf('%.32c', 'k') AS BLOB), NULL FROM hooks;
        INSERT INTO hook_secrets SELECT id, 1, CAST(printf('%.24c', 'o') AS BLOB), 1795000000000 FROM hooks;
        UPDATE rendered_requests SET sealed = NULL, url = 'https://example.com/secret-rendered',
            headers = '[["x-token","secret-in-header"]]';
        DELETE FROM engine_state;"#;
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn rows_of_an_earlier_engine_are_sealed_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let storage = reopen(dir.path()).await;
    let world = World::new(storage.stores());
    // More than are sealed in one transaction.
    let hooks: Vec<_> = (0..250).map(|_| full_hook(&world)).collect();
    for hook in &hooks {
        world.storage.hooks.insert(hook, Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    }
    waiting(&world, hooks[0].id).await;
    storage.close().await.unwrap();
    make_plain(dir.path()).await;
    // All but the authorization, which was always sealed.
    assert_eq!(secrets_in_files(dir.path()).len(), SECRETS.len() + 2);
    let storage = reopen(dir.path()).await;
    let world = World::new(storage.stores());
    assert_eq!(world.storage.hooks.load().await.unwrap(), hooks);
    assert_eq!(
        rendered_url(&world, hooks[0].id).await.as_deref(),
        Some("https://example.com/secret-rendered")
    );
    assert_eq!(secrets_in_files(dir.path()), [""; 0]);
}

#[tokio::test]
async fn a_hook_with_a_damaged_signing_secret_is_not_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let storage = reopen(dir.path()).await;
    let world = World::new(storage.stores());
    let (damaged, whole) = (full_hook(&world), full_hook(&world));
    for hook in [&damaged, &whole] {
        world.storage.hooks.insert(hook, Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    }
    storage.close().await.unwrap();
    make_plain(dir.path()).await;
    let mut connection = connect(dir.path()).await;
    let sql =
        format!("UPDATE hook_secrets SET secret = x'0102' WHERE position = 0 AND hook_id = {}", damaged.id.0);
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let storage = reopen(dir.path()).await;
    let loaded = storage.stores().hooks.load().await.unwrap();
    assert_eq!(loaded[1], whole);
    assert_eq!(loaded[0].secrets, damaged.secrets[1..], "the other one signs");
    storage.close().await.unwrap();
    let mut connection = connect(dir.path()).await;
    let sql = "SELECT hook_id, (SELECT sealed IS NULL FROM hooks WHERE id = hook_id) FROM hook_secrets";
    let left: Vec<(i64, bool)> = sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap();
    assert_eq!(left, [(damaged.id.0, true), (damaged.id.0, true)]);
}

#[tokio::test]
async fn remains_of_plain_text_are_removed_after_an_interrupted_start() {
    let dir = tempfile::tempdir().unwrap();
    reopen(dir.path()).await.close().await.unwrap();
    // What a crash between sealing and rewriting leaves: a text in unused parts of the file.
    let mut connection = connect(dir.path()).await;
    let sql = "PRAGMA secure_delete = off; CREATE TABLE gone (text TEXT); INSERT INTO gone VALUES ('secret-in-path');
        DROP TABLE gone; INSERT INTO engine_state VALUES ('plain-text-to-forget', x'31');
        PRAGMA wal_checkpoint(TRUNCATE);";
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(secrets_in_files(dir.path()), ["secret-in-path"]);
    reopen(dir.path()).await.close().await.unwrap();
    assert_eq!(secrets_in_files(dir.path()), [""; 0]);
    let mut connection = connect(dir.path()).await;
    let sql = "SELECT count(*) FROM engine_state WHERE name = 'plain-text-to-forget'";
    let left: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn keys_rotate() {
    let dir = tempfile::tempdir().unwrap();
    let login = |name: &str| Login {
        name: name.to_owned(),
        tenant: TENANT,
        secret: SecretText::new("a-login's-secret"),
        created_at: NOW,
    };
    let storage = open_with(dir.path(), keys('A', &[])).await.unwrap();
    let world = World::new(storage.stores());
    let hook = full_hook(&world);
    world.storage.hooks.insert(&hook, Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    world.storage.access.insert_login(&login("one"), Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    waiting(&world, hook.id).await;
    let signs = storage.stores.vault.derive(crate::vault::DOMAIN_TOKENS);
    storage.close().await.unwrap();

    // The wrong key is refused before anything is written under it.
    let refused = open_with(dir.path(), keys('B', &[])).await.unwrap_err();
    assert!(matches!(refused, StorageError::WrongKey), "{refused:?}");
    let storage = open_with(dir.path(), keys('B', &['C', 'A'])).await.unwrap();
    storage.stores().access.insert_login(&login("two"), Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    let running = rekey(dir.path(), &keys('B', &['A'])).await;
    assert!(matches!(running, Err(StorageError::InUse(_))), "{running:?}");
    storage.close().await.unwrap();
    let early = open_with(dir.path(), keys('B', &[])).await.unwrap_err();
    assert!(matches!(early, StorageError::WrongKey), "{early:?}");

    let reverted = open_with(dir.path(), keys('A', &[])).await.unwrap_err();
    assert!(matches!(reverted, StorageError::NewerKey), "{reverted:?}");
    // With another key still, before all is under one.
    for (current, previous) in [('A', vec!['B']), ('D', vec!['A', 'B'])] {
        open_with(dir.path(), keys(current, &previous)).await.unwrap().close().await.unwrap();
    }
    for (current, previous) in [('A', vec!['B']), ('A', vec!['D']), ('D', vec!['A'])] {
        let refused = open_with(dir.path(), keys(current, &previous)).await.unwrap_err();
        assert!(matches!(refused, StorageError::NewerKey), "{refused:?}");
    }

    for expected in [Rekeyed { hooks: 1, logins: 1, requests: 1, jobs: 0, unreadable: 0 }, Rekeyed::default()]
    {
        assert_eq!(rekey(dir.path(), &keys('B', &['A', 'D'])).await.unwrap(), expected);
    }
    let storage = open_with(dir.path(), keys('B', &[])).await.unwrap();
    let world = World::new(storage.stores());
    assert_eq!(world.storage.hooks.load().await.unwrap(), std::slice::from_ref(&hook));
    assert_eq!(world.storage.access.load().await.unwrap().0, [login("one"), login("two")]);
    assert_eq!(rendered_url(&world, hook.id).await.as_deref(), Some("https://example.com/secret-rendered"));
    assert!(storage.stores.vault.derived(crate::vault::DOMAIN_TOKENS).contains(&signs), "tokens hold on");
}

#[tokio::test]
async fn an_unreadable_row_stops_nothing_and_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let storage = reopen(dir.path()).await;
    let world = World::new(storage.stores());
    let (broken, damaged, whole) = (full_hook(&world), full_hook(&world), full_hook(&world));
    for hook in [&broken, &damaged, &whole] {
        world.storage.hooks.insert(hook, Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    }
    let login = Login {
        name: "one".to_owned(),
        tenant: TENANT,
        secret: SecretText::new("12345678"),
        created_at: NOW,
    };
    world.storage.access.insert_login(&login, Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    waiting(&world, broken.id).await;
    storage.close().await.unwrap();
    let mut connection = connect(dir.path()).await;
    for sql in [
        format!("UPDATE hooks SET sealed = x'0102' WHERE id = {}", broken.id.0),
        format!("UPDATE hooks SET retry_ms = 'nonsense' WHERE id = {}", damaged.id.0),
        "UPDATE logins SET secret = x'01'".to_owned(),
        "UPDATE rendered_requests SET sealed = x'01'".to_owned(),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();

    let world = World::new(reopen(dir.path()).await.stores());
    let loaded = world.storage.hooks.load().await.unwrap();
    assert_eq!(loaded.iter().map(|hook| hook.id).collect::<Vec<_>>(), [broken.id, whole.id]);
    assert_eq!(loaded[1], whole);
    let left = &loaded[0];
    assert!(left.unreadable && left.enabled && left.secrets.is_empty() && left.headers.is_empty());
    assert_eq!(left.url.as_str(), "https://example.com/", "its origin is known");
    assert_eq!(left.pipeline.0[0].plugin, broken.pipeline.0[0].plugin);
    assert!(world.storage.access.load().await.unwrap().0[0].is_unreadable());
    assert_eq!(rendered_url(&world, broken.id).await, None, "it is rendered again");
    // Made anew, it is as any other.
    assert!(
        world
            .storage
            .hooks
            .update(&broken, broken.updated_at, Revision::ANY, &AuditEntry::of_test())
            .await
            .unwrap()
            .is_done()
    );
    assert_eq!(world.storage.hooks.load().await.unwrap()[0], broken);
}

#[tokio::test]
async fn a_database_without_a_key_check_gets_checks_of_the_keys_that_open_it() {
    let login = |name: &str| Login {
        name: name.to_owned(),
        tenant: TENANT,
        secret: SecretText::new("a-login's-secret"),
        created_at: NOW,
    };
    for previous in [&['A'][..], &['C', 'A']] {
        let dir = tempfile::tempdir().unwrap();
        for (key, name) in previous.iter().zip(["one", "two"]) {
            let storage = open_with(dir.path(), keys(*key, previous)).await.unwrap();
            storage
                .stores()
                .access
                .insert_login(&login(name), Revision::ANY, &AuditEntry::of_test())
                .await
                .unwrap();
            storage.close().await.unwrap();
        }
        // As an engine left it that had no key checks.
        let mut connection = connect(dir.path()).await;
        sqlx::raw_sql("DELETE FROM engine_state").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let refused = open_with(dir.path(), keys('B', &[])).await.unwrap_err();
        assert!(matches!(refused, StorageError::WrongKey), "{refused:?}");
        open_with(dir.path(), keys('B', previous)).await.unwrap().close().await.unwrap();
        // Without one of the keys, rows could not be opened, and nobody would know until they were asked for.
        for missing in previous {
            let left: Vec<_> = previous.iter().copied().filter(|key| key != missing).collect();
            let refused = open_with(dir.path(), keys('B', &left)).await.unwrap_err();
            assert!(matches!(refused, StorageError::WrongKey | StorageError::NewerKey), "{refused:?}");
        }
        let reverted = open_with(dir.path(), keys('A', &[])).await;
        assert!(reverted.is_err(), "B may have sealed something since");
        rekey(dir.path(), &keys('B', previous)).await.unwrap();
        let storage = open_with(dir.path(), keys('B', &[])).await.unwrap();
        assert!(storage.stores().access.load().await.unwrap().0.iter().all(|login| !login.is_unreadable()));
    }
}
