//! The conformance suite on PostgreSQL, and what is PostgreSQL's own.

use std::collections::HashSet;

use sqlx::{Connection as _, Executor as _};
use sqlx_postgres::PgConnection;

use super::testing::TestDatabase;
use super::*;
use crate::domain::{AuditEntry, DeliveryState, Tenant, TenantId, TenantOptions};
use crate::storage::conformance::{LEASE_END, NOW, TENANT, World};
use crate::storage::{
    Database as _, DeliveryQuery, NodeActivity, NodeReport, NodeState, RetryPolicy, Storage, StorageError,
};

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

#[tokio::test]
async fn a_node_that_has_left_commits_nothing() {
    let database = create!();
    let opened = database.open("one").await;
    let world = world(&opened).await;
    super::nodes::leave(&opened.stores.session).await.unwrap();
    assert!(world.storage.events.accept(vec![world.event()]).await.is_err());
}

/// Such as a backup. Accepting events would wait behind what makes a partition.
#[tokio::test]
async fn a_partition_is_not_waited_for_behind_a_reader() {
    let database = create!();
    database.open("one").await.close().await.unwrap();
    run(
        &database,
        "DO $$ BEGIN EXECUTE format('DROP TABLE %I', (SELECT max(relname) FROM pg_class WHERE relname ~ '^events_[0-9]{8}$')); END $$",
    )
    .await;
    let mut reader = PgConnection::connect(database.url()).await.unwrap();
    reader.execute("BEGIN; SELECT FROM events").await.unwrap();
    let mut maker = PgConnection::connect(database.url()).await.unwrap();
    let made = super::partitions::make(maker.begin().await.unwrap()).await.unwrap();
    assert_eq!((made.days, made.again), (6, true));
    // Closed, or it would make the partition at the same time as below.
    database.open("two").await.close().await.unwrap();
    reader.execute("ROLLBACK").await.unwrap();
    let made = super::partitions::make(maker.begin().await.unwrap()).await.unwrap();
    assert_eq!((made.days, made.again), (7, false));
}

mod days;
mod erased_days;
mod locked;
mod lost_leases;
mod members;
mod ordering;
mod retention;
mod unreachable;
mod whole_days;

async fn run(database: &TestDatabase, sql: &'static str) {
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    connection.execute(sql).await.unwrap();
    connection.close().await.unwrap();
}

/// A newer node has migrated the database, and one of before is started again.
#[tokio::test]
async fn an_engine_works_with_a_schema_that_a_newer_one_extended() {
    let database = create!();
    let running = database.open("running").await;
    run(
        &database,
        "ALTER TABLE events ADD COLUMN later text; ALTER TABLE nodes ADD COLUMN later bigint NOT NULL DEFAULT 1; \
        INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
            VALUES (9999, 'later', true, '', 0)",
    )
    .await;
    for opened in [running, database.open("started").await] {
        let world = world(&opened).await;
        let hook = world.stored_hook().await;
        let id = world.delivery_in(hook, DeliveryState::Delivering).await;
        let record = world.record_of(id, DeliveryState::Succeeded);
        opened.stores().deliveries.record(vec![record], RetryPolicy::NONE).await.unwrap();
        assert_eq!(world.delivery(id).await.state, DeliveryState::Succeeded);
    }
    run(&database, "INSERT INTO engine_state VALUES ('required-migration', '9999')").await;
    let refused = database.try_open("too old", 7).await;
    assert!(matches!(refused, Err(StorageError::Newer(9999))), "the old columns are gone: {refused:?}");
    run(&database, "UPDATE engine_state SET value = '1' WHERE name = 'required-migration'").await;
    database.open("new enough").await;
}

#[tokio::test]
async fn the_database_says_how_each_node_is() {
    let database = create!();
    assert!(matches!(nodes_of(database.url()).await, Err(StorageError::Missing(_))), "no engine has used it");
    let (one, two) = (database.open("one").await, database.open("two").await);
    drop(database.open("three").await);
    let activity = NodeActivity {
        deliveries_in_memory: 12,
        deliveries_in_flight: 3,
        owned_hooks: None,
        accepted_per_second: 811.4,
    };
    let report = NodeReport { address: "127.0.0.1:0".to_owned(), started_at: NOW, now: NOW, activity };
    one.stores().nodes.report(report.clone()).await.unwrap();
    two.stores().nodes.report(report).await.unwrap();
    two.close().await.unwrap();
    run(&database, "UPDATE nodes SET heartbeat_at = heartbeat_at - interval '6 seconds' WHERE number = 3")
        .await;
    let nodes = one.stores().nodes.nodes().await.unwrap();
    let states: Vec<_> = nodes.iter().map(|node| (node.node.0, node.state)).collect();
    assert_eq!(states, [(1, NodeState::Alive), (3, NodeState::Silent), (2, NodeState::Ended)]);
    assert_eq!(nodes[0].activity, Some(activity));
    assert_eq!(nodes[2].activity, None, "it does nothing any more");
    assert_eq!(nodes_of(database.url()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_text_that_cannot_be_stored_is_an_error_of_its_own() {
    let database = create!();
    let opened = database.open("one").await;
    let options = TenantOptions::default();
    let tenant =
        Tenant { id: TenantId(9), name: "a\0b".to_owned(), client_id: None, options, created_at: NOW };
    let refused = opened.stores().tenants.insert_tenant(&tenant, &AuditEntry::of_test()).await;
    assert!(matches!(refused, Err(StorageError::Unstorable)), "{refused:?}");
}

#[tokio::test]
async fn a_list_has_what_other_nodes_have_in_memory() {
    let database = create!();
    let (one, two) = (database.open("one").await, database.open("two").await);
    let (ours, others) = (world(&one).await, world(&two).await);
    let hook = ours.stored_hook().await;
    let ids = [
        ours.delivery_in(hook, DeliveryState::Delivering).await,
        others.delivery_in(hook, DeliveryState::Delivering).await,
        others.delivery_in(hook, DeliveryState::Pending).await,
    ];
    for (state, expected) in [
        (None, ids.as_slice()),
        (Some(DeliveryState::Delivering), &ids[..2]),
        (Some(DeliveryState::Pending), &ids[2..]),
    ] {
        let query = DeliveryQuery { hook: Some(hook), state, limit: 10, ..DeliveryQuery::default() };
        let listed = one.stores().deliveries.list(TENANT, &query).await.unwrap().deliveries;
        let listed: HashSet<_> = listed.iter().map(|delivery| delivery.id).collect();
        assert_eq!(listed, expected.iter().copied().collect(), "{state:?}");
    }
    let record = others.record_of(ids[1], DeliveryState::Succeeded);
    two.stores().deliveries.record(vec![record], RetryPolicy::NONE).await.unwrap();
    let query = DeliveryQuery { limit: 10, ..DeliveryQuery::default() };
    let listed = one.stores().deliveries.list(TENANT, &query).await.unwrap().deliveries;
    assert_eq!(listed.len(), 3, "each once");
    let recorded = listed.iter().find(|delivery| delivery.id == ids[1]).unwrap();
    assert_eq!(recorded.state, DeliveryState::Succeeded);
}

async fn world(database: &PostgresDatabase) -> World {
    World::of_node(database.stores(), database.node().await.unwrap())
}
