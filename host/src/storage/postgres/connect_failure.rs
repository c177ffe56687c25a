//! Why no connection to the database can be made.
//!
//! If the server refuses a connection, because it is down or has too many, the pool tries again for as long as the caller waits,
//! and then says only that this took too long. So after such a failure one connection is tried without the pool, and its
//! error is the cause. However many callers fail, this is done once at a time and not often.

use std::io;
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx_postgres::{PgConnectOptions, PgConnection};
use tokio::sync::Mutex;

use super::connect;
use crate::clock;

/// How long the result of a try holds.
const KEPT: Duration = Duration::from_secs(3);
/// How long a try may take: callers wait for it, who have waited for the pool already.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The last try: when it was, and why it failed, if it did.
#[derive(Debug, Default)]
pub struct ConnectFailure(Mutex<Option<(Instant, Option<String>)>>);

impl ConnectFailure {
    /// `error`, or the reason why no connection can be made, if it is an error of waiting and there is such a reason. What it
    /// says of the statement stays the same: not sent, or perhaps.
    pub async fn explain(&self, error: sqlx::Error, options: &PgConnectOptions) -> sqlx::Error {
        let kind = match &error {
            sqlx::Error::PoolTimedOut => io::ErrorKind::NotConnected,
            // The engine's own; the operating system's says enough.
            sqlx::Error::Io(error)
                if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() =>
            {
                io::ErrorKind::TimedOut
            }
            _ => return error,
        };
        // In a box: it is large, and rare beside all the statements whose futures hold it.
        match Box::pin(self.cause(options)).await {
            Some(cause) => io::Error::new(kind, format!("cannot connect: {cause}")).into(),
            None => error,
        }
    }

    async fn cause(&self, options: &PgConnectOptions) -> Option<String> {
        let mut last = self.0.lock().await;
        if let Some((at, cause)) = &*last
            && clock::elapsed(*at) < KEPT
        {
            return cause.clone();
        }
        let cause = match tokio::time::timeout(TIMEOUT, try_once(options)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(in_words(&error)),
            Err(_) => Some(format!("the database did not answer within {} s", TIMEOUT.as_secs())),
        };
        *last = Some((clock::monotonic(), cause.clone()));
        cause
    }
}

/// Connects as the pool does.
async fn try_once(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    connect::prepare(&mut connection).await?;
    connection.close().await
}

/// The error without the words that sqlx puts before it.
fn in_words(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Database(error) => format!("PostgreSQL says: {}", error.message()),
        error => error.to_string(),
    }
}
