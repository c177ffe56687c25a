//! A table that somebody locks for long, such as for an `ALTER TABLE` by hand.

use futures_util::future::join_all;

use super::*;
use crate::storage::postgres::errors::is_locked;

#[tokio::test]
async fn what_waits_for_a_lock_is_given_up_on_the_server() {
    let database = create!();
    let opened = database.open("one").await;
    let world = world(&opened).await;
    let hook = world.stored_hook().await;
    let mut other = PgConnection::connect(database.url()).await.unwrap();
    other.execute("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE").await.unwrap();
    // More than there are connections.
    let read = || async { opened.stores.pool().fetch_optional("SELECT key FROM events LIMIT 1").await };
    let ended = join_all((0..20).map(|_| read())).await;
    assert!(ended.iter().all(Result::is_err), "{ended:?}");
    let refused = ended.into_iter().filter_map(Result::err).filter(is_locked).count();
    assert!((1..=8).contains(&refused), "the server refused {refused}");
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waiting: i64 = sqlx::query_scalar(sql).fetch_one(&mut other).await.unwrap();
    assert_eq!(waiting, 0, "the connections are free");
    opened.stores().deliveries.check().await.unwrap();
    other.execute("ROLLBACK").await.unwrap();
    world.store(world.event_for(hook, Some(LEASE_END))).await;
}
