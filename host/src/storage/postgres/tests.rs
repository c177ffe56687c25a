//! The conformance suite on PostgreSQL, and what is PostgreSQL's own.

use super::testing::TestDatabase;
use super::*;
use crate::storage::conformance::{LEASE_END, NOW, TENANT, World};
use crate::storage::{Database as _, Storage, StorageError};

async fn open_new() -> Option<(Storage, (PostgresDatabase, TestDatabase))> {
    let database = TestDatabase::create().await?;
    let opened = database.open("one").await;
    Some((opened.stores(), (opened, database)))
}

/// Each node has its own connections and its own memory.
async fn open_many(nodes: usize) -> Option<(Vec<Storage>, (Vec<PostgresDatabase>, TestDatabase))> {
    let database = TestDatabase::create().await?;
    let mut opened = Vec::with_capacity(nodes);
    for number in 0..nodes {
        opened.push(database.open(&format!("node {number}")).await);
    }
    Some((opened.iter().map(PostgresDatabase::stores).collect(), (opened, database)))
}

crate::storage_conformance!(open_new, open_many);

/// Returns from the test if there is no PostgreSQL.
macro_rules! create {
    () => {
        match TestDatabase::create().await {
            Some(database) => database,
            None => return,
        }
    };
}

#[tokio::test]
async fn nodes_have_numbers_of_their_own_and_find_them_again() {
    let database = create!();
    let (one, two) = (database.open("one").await, database.open("two").await);
    let number = async |opened: &PostgresDatabase| opened.node().await.unwrap().0;
    assert_eq!((number(&one).await, number(&two).await), (1, 2));
    one.close().await.unwrap();
    assert_eq!(number(&database.open("one").await).await, 1);
}

#[tokio::test]
async fn another_key_is_refused() {
    let database = create!();
    database.open("one").await.close().await.unwrap();
    assert!(matches!(database.try_open("one", 8).await, Err(StorageError::WrongKey)));
}

#[tokio::test]
async fn a_node_whose_number_another_process_has_commits_nothing() {
    let database = create!();
    let first = database.open("one").await;
    let world = World::of_node(first.stores(), first.node().await.unwrap());
    let hook = world.stored_hook().await;
    let id = world.delivery_in(hook, crate::domain::DeliveryState::Delivering).await;
    let second = database.open("one").await;
    let recovered = second.stores().deliveries.recover(second.node().await.unwrap(), NOW).await.unwrap();
    assert_eq!(recovered, 1, "what the first had in memory");
    assert!(world.storage.events.accept(vec![world.event()]).await.is_err());
    let record = world.record_of(id, crate::domain::DeliveryState::Succeeded);
    assert!(first.stores().deliveries.record(vec![record], crate::storage::RetryPolicy::NONE).await.is_err());
    first.ended().await;
    let delivery = second.stores().deliveries.delivery(TENANT, id).await.unwrap().unwrap();
    assert_eq!((delivery.state, delivery.due_at), (crate::domain::DeliveryState::Pending, Some(NOW)));
    assert!(NOW < LEASE_END);
}

mod members;
