//! Leases whose deliveries nobody has in memory.

use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx_postgres::{PgExecutor, PgPool};

use super::super::errors::has_changed_nothing;
use super::super::lease_ending::end;
use super::*;
use crate::domain::{DeliveryId, UnixMillis};

/// When they are due.
const DUE: UnixMillis = UnixMillis(NOW.0 + 6_000);

/// Changes the schema. In a deadlock with what the node does for itself, either side may be ended.
async fn execute(database: &PostgresDatabase, sql: &'static str) {
    execute_on(database.stores.pool(), sql).await;
}

async fn execute_on(pool: impl PgExecutor<'_> + Copy, sql: &'static str) {
    let is_deadlock = |error: &sqlx::Error| {
        error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("40P01"))
    };
    loop {
        match sqlx::query(sql).execute(pool).await {
            Err(error) if is_deadlock(&error) => {}
            done => {
                done.unwrap();
                return;
            }
        }
    }
}

/// Ends lost leases, as heartbeats do, until the delivery is in `state`.
async fn end_until(database: &PostgresDatabase, world: &World, id: DeliveryId, state: DeliveryState) {
    let deliveries = &world.storage.deliveries;
    let is_so = async {
        while deliveries.delivery(TENANT, id).await.unwrap().is_none_or(|it| it.state != state) {
            end(&database.stores.session, DUE).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_so).await.expect("its lease has ended");
}

#[tokio::test]
async fn what_a_failed_claim_leased_is_due_again() {
    let database = create!();
    let opened = database.open("one").await;
    let world = World::of_node(opened.stores(), opened.node().await.unwrap());
    let hook = world.stored_hook().await;
    let id = world.delivery_in(hook, DeliveryState::Waiting).await;
    // It is leased, and then it cannot be loaded.
    execute(&opened, "ALTER TABLE rendered_requests RENAME COLUMN method TO gone").await;
    let due = UnixMillis(NOW.0 + 5_000);
    assert!(world.try_claim(hook, due, LEASE_END, (9, u64::MAX)).await.is_err());
    execute(&opened, "ALTER TABLE rendered_requests RENAME COLUMN gone TO method").await;
    end_until(&opened, &world, id, DeliveryState::Waiting).await;
    assert_eq!(world.delivery(id).await.attempts, 1);
}

#[tokio::test]
async fn what_is_stored_for_a_sender_that_has_gone_away_is_due() {
    let database = create!();
    let opened = database.open("one").await;
    let world = World::of_node(opened.stores(), opened.node().await.unwrap());
    let acceptance = world.event_for(world.stored_hook().await, Some(LEASE_END));
    let id = acceptance.deliveries[0].id;
    // It is handed in, and nobody waits for the answer.
    assert!(opened.stores.acceptor.accept(vec![acceptance]).now_or_never().is_none());
    end_until(&opened, &world, id, DeliveryState::Pending).await;
}

#[tokio::test]
async fn what_may_be_stored_after_its_connection_was_lost_is_due() {
    let database = create!();
    let opened = database.open("one").await;
    let world = World::of_node(opened.stores(), opened.node().await.unwrap());
    let acceptance = world.event_for(world.stored_hook().await, Some(LEASE_END));
    let id = acceptance.deliveries[0].id;
    execute(
        &opened,
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS \
            'BEGIN RAISE EXCEPTION USING ERRCODE = ''57P01'', MESSAGE = ''terminated''; END'",
    )
    .await;
    execute(&opened, "CREATE TRIGGER lose BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION lose()")
        .await;
    assert!(world.storage.events.accept(vec![acceptance.clone()]).await.is_err());
    execute(&opened, "DROP TRIGGER lose ON events").await;
    // The same as if the server had gone on with the transaction.
    world.store(acceptance).await;
    end_until(&opened, &world, id, DeliveryState::Pending).await;
}

#[tokio::test]
async fn an_error_of_the_server_rolls_back_unless_it_ends_the_connection() {
    let database = create!();
    let opened = database.open("one").await;
    for (code, changed_nothing) in
        [("23505", true), ("40001", true), ("HW001", true), ("57P01", false), ("08P01", false)]
    {
        let sql = format!("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$");
        let failed = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(opened.stores.pool()).await;
        assert_eq!(has_changed_nothing(&failed.unwrap_err()), changed_nothing, "{code}");
    }
}

#[tokio::test]
async fn a_record_waits_for_the_end_of_an_outage_and_for_nothing_else() {
    let database = create!();
    let opened = database.open("one").await;
    let world = world(&opened).await;
    let hook = world.stored_hook().await;
    // The node replaces its own connections after some of these failures.
    let pool = PgPool::connect(database.url()).await.unwrap();
    execute_on(&pool, "CREATE SEQUENCE tries").await;
    let tries = async || -> i64 {
        sqlx::query_scalar("SELECT last_value FROM tries").fetch_one(&pool).await.unwrap()
    };
    let [none, interval, long] = [0, 10, 600_000].map(Duration::from_millis);
    let outages = RetryPolicy { max_elapsed: none, max_outage: long, interval };
    for (code, is_outage) in [
        ("53100", true),
        ("53300", true),
        ("57P01", true),
        ("08006", true),
        ("25006", true),
        ("40001", true),
        ("HW001", true),
        ("23514", false),
        ("42P01", false),
        ("XX000", false),
    ] {
        let id = world.delivery_in(hook, DeliveryState::Delivering).await;
        let record = world.record_of(id, DeliveryState::Succeeded);
        let fail = format!(
            "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                PERFORM nextval('tries'); RAISE EXCEPTION USING ERRCODE = '{code}'; END $$"
        );
        sqlx::query(sqlx::AssertSqlSafe(fail)).execute(&pool).await.unwrap();
        execute_on(&pool, "CREATE TRIGGER fail BEFORE INSERT ON attempts EXECUTE FUNCTION fail()").await;
        let (deliveries, before) = (opened.stores().deliveries, tries().await);
        let mut recording = tokio::spawn(async move { deliveries.record(vec![record], outages).await });
        if is_outage {
            while tries().await < before + 2 {
                assert!((&mut recording).now_or_never().is_none(), "{code}");
            }
        } else {
            assert!((&mut recording).await.unwrap().is_err(), "{code}");
        }
        execute_on(&pool, "DROP TRIGGER fail ON attempts").await;
        if is_outage {
            recording.await.unwrap().unwrap();
            assert_eq!(world.delivery(id).await.state, DeliveryState::Succeeded, "{code}");
        }
    }
}
