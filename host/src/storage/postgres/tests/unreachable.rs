//! Databases to which no connection can be made.

use std::io;
use std::net::TcpListener;

use sqlx_postgres::PgConnectOptions;

use super::*;
use crate::storage::postgres::connect_failure::ConnectFailure;
use crate::storage::postgres::errors::has_changed_nothing;

/// A listener that never answers, and the URL of a database there. Without the listener, connections are refused.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://nobody@{}/none", listener.local_addr().unwrap());
    (listener, url)
}

fn given_up() -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the database does not answer").into()
}

#[tokio::test]
async fn an_error_of_waiting_says_why_there_is_no_connection() {
    let (listener, url) = silent();
    let options: PgConnectOptions = url.parse().unwrap();
    let hanging = ConnectFailure::default().explain(sqlx::Error::PoolTimedOut, &options).await;
    let words = hanging.to_string();
    assert!(words.contains("cannot connect: the database did not answer within 1 s"), "{words}");
    drop(listener);
    let failure = ConnectFailure::default();
    for (error, explained, changed_nothing) in [
        (sqlx::Error::PoolTimedOut, true, true),
        (given_up(), true, false),
        (io::Error::from_raw_os_error(110).into(), false, false),
        (sqlx::Error::RowNotFound, false, false),
    ] {
        let what = error.to_string();
        let error = failure.explain(error, &options).await;
        let says_why = error.to_string().contains("cannot connect: Connection refused");
        assert_eq!((says_why, has_changed_nothing(&error)), (explained, changed_nothing), "{what}: {error}");
        assert!(!explained || StorageError::from(error).is_outage(), "{what}");
    }
}

#[tokio::test]
async fn a_start_says_why_there_is_no_connection() {
    let (listener, url) = silent();
    drop(listener);
    let error = TestDatabase::at(url).try_open("one", 7).await.unwrap_err();
    assert!(format!("{error:?}").contains("cannot connect: Connection refused"), "{error:?}");
}

#[tokio::test]
async fn a_database_that_can_be_reached_leaves_an_error_of_waiting_as_it_is() {
    let database = create!();
    let options: PgConnectOptions = database.url().parse().unwrap();
    let error = ConnectFailure::default().explain(sqlx::Error::PoolTimedOut, &options).await;
    assert!(matches!(error, sqlx::Error::PoolTimedOut), "{error}");
}
