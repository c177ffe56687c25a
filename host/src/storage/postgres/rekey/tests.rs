//! Rotation of keys while nodes run.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::domain::{AuditEntry, Authorization, DeliveryState, Login, SecretText};
use crate::storage::conformance::{NOW, TENANT, World};
use crate::storage::postgres::{NodeName, PostgresDatabase, PostgresOptions, TestDatabase, open};
use crate::storage::{Database as _, Revision};
use crate::vault::{DOMAIN_TOKENS, Key, Keys};

fn vault(current: u8, previous: &[u8]) -> Arc<Vault> {
    let key = |byte: &u8| Key::from_text(&BASE64_STANDARD.encode([*byte; 32])).unwrap();
    let keys = Keys { current: Some(key(&current)), previous: previous.iter().map(key).collect() };
    let dir = tempfile::tempdir().unwrap();
    Arc::new(Vault::open(dir.path(), &keys).unwrap())
}

async fn try_open(
    database: &TestDatabase,
    name: &str,
    vault: Arc<Vault>,
) -> Result<PostgresDatabase, StorageError> {
    let options = PostgresOptions {
        url: database.url().to_owned(),
        connections: 4,
        node_name: NodeName::of(name),
        address: "127.0.0.1:0".to_owned(),
    };
    open(options, vault).await
}

fn login(name: &str) -> Login {
    Login { name: name.to_owned(), tenant: TENANT, secret: SecretText::new("its-secret"), created_at: NOW }
}

#[tokio::test]
async fn keys_rotate_while_nodes_have_both() {
    let Some(database) = TestDatabase::create().await else { return };
    let first = vault(1, &[]);
    let opened = try_open(&database, "one", Arc::clone(&first)).await.unwrap();
    let world = World::of_node(opened.stores(), opened.node().await.unwrap());
    let authorization = Some(Authorization { value: SecretText::new("Basic abc"), enabled: true });
    let hook = crate::domain::Hook { authorization, ..world.hook() };
    world.storage.hooks.insert(&hook, Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    world.storage.access.insert_login(&login("one"), Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    world.delivery_in(hook.id, DeliveryState::Waiting).await;
    opened.close().await.unwrap();

    assert!(matches!(try_open(&database, "one", vault(2, &[])).await, Err(StorageError::WrongKey)));
    assert!(matches!(rekey(database.url(), &vault(2, &[])).await, Err(StorageError::WrongKey)));
    let node = try_open(&database, "one", vault(2, &[1])).await.unwrap();
    node.stores().access.insert_login(&login("two"), Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    // Some of it is sealed with the newer key.
    assert!(matches!(try_open(&database, "two", vault(1, &[])).await, Err(StorageError::NewerKey)));
    for expected in [Rekeyed { hooks: 1, logins: 1, requests: 1, jobs: 0, unreadable: 0 }, Rekeyed::default()]
    {
        assert_eq!(rekey(database.url(), &vault(2, &[1])).await.unwrap(), expected);
    }
    assert_eq!(running_nodes(database.url()).await.unwrap().len(), 1);
    node.close().await.unwrap();
    assert_eq!(running_nodes(database.url()).await.unwrap(), []);

    let second = vault(2, &[]);
    let opened = try_open(&database, "one", Arc::clone(&second)).await.unwrap();
    let world = World::of_node(opened.stores(), opened.node().await.unwrap());
    assert_eq!(world.storage.hooks.load().await.unwrap(), std::slice::from_ref(&hook));
    assert_eq!(world.storage.access.load().await.unwrap().0, [login("one"), login("two")]);
    let claimed = world.claim(hook.id, crate::domain::UnixMillis(NOW.0 + 600_000), 10).await;
    assert!(claimed[0].rendered.is_some(), "it opens");
    assert!(second.derived(DOMAIN_TOKENS).contains(&first.derive(DOMAIN_TOKENS)), "tokens hold on");
}

#[tokio::test]
async fn a_database_without_an_engine_is_refused() {
    let Some(database) = TestDatabase::create().await else { return };
    assert!(matches!(rekey(database.url(), &vault(1, &[])).await, Err(StorageError::Missing(_))));
}
