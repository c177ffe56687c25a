//! The pool of connections, with a limit on the time that each statement may take.
//!
//! A server that fails without closing its connections answers nothing, and the operating system would wait for minutes.
//! So a statement that takes longer than [`STATEMENT_TIMEOUT`] fails, and all connections are replaced. They are replaced,
//! too, if the server ended one of them: it has restarted, or another server has its address.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::{Either, Execute, Executor, SqlStr};
use sqlx_core::describe::Describe;
use sqlx_postgres::{PgPool, PgQueryResult, PgRow, PgStatement, PgTransaction, PgTypeInfo, Postgres};

use super::connect_failure::ConnectFailure;
use super::errors::is_disconnected;
use crate::clock;

/// How long a statement may take, with the wait for a connection. A transaction of several statements that others wait for
/// may take as long.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The connections are replaced no more often than this: a server that refuses each statement is not asked to connect for
/// each.
const REPLACED_EVERY: Duration = Duration::from_secs(1);
/// Begins a transaction. The server ends it if this process is stopped or cut off in the middle of it: others wait for its
/// locks.
const BEGIN: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '5s'";
/// As [`BEGIN`], for reads that must fit together.
const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
    SET LOCAL idle_in_transaction_session_timeout = '5s'";
/// As [`BEGIN`], for a change that waits for others, which must not take long.
const BEGIN_CHANGE: &str =
    "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '5s'; SET LOCAL lock_timeout = '2s'";

/// The pool. Clones share it.
#[derive(Debug, Clone)]
pub struct BoundedPool(Arc<PoolState>);

#[derive(Debug)]
struct PoolState {
    current: RwLock<Current>,
    /// How many statements have succeeded.
    succeeded: AtomicU64,
    connect_failure: ConnectFailure,
}

#[derive(Debug)]
struct Current {
    pool: PgPool,
    /// How often the pool was replaced.
    generation: u64,
    /// When it was replaced last.
    replaced_at: Option<Instant>,
    is_closed: bool,
}

impl BoundedPool {
    /// A pool that begins with the connections of `pool`.
    pub fn new(pool: PgPool) -> Self {
        let current = RwLock::new(Current { pool, generation: 0, replaced_at: None, is_closed: false });
        let (succeeded, connect_failure) = (AtomicU64::new(0), ConnectFailure::default());
        Self(Arc::new(PoolState { current, succeeded, connect_failure }))
    }

    /// Begins a transaction. Its statements have no limit of their own: see [`Self::bounded`].
    pub async fn begin(&self) -> Result<PgTransaction<'static>, sqlx::Error> {
        self.begin_with(BEGIN).await
    }

    /// Begins a transaction that only reads, all of it as of one moment.
    pub async fn begin_snapshot(&self) -> Result<PgTransaction<'static>, sqlx::Error> {
        self.begin_with(BEGIN_SNAPSHOT).await
    }

    /// Begins a transaction that fails if others hold a lock for long.
    pub async fn begin_change(&self) -> Result<PgTransaction<'static>, sqlx::Error> {
        self.begin_with(BEGIN_CHANGE).await
    }

    async fn begin_with(&self, begin: &'static str) -> Result<PgTransaction<'static>, sqlx::Error> {
        match self.try_with_pool(|pool| async move { pool.begin_with(begin).await }).await {
            // The connection had been idle since before the server's restart.
            Err(error) if is_disconnected(&error) => {
                self.with_pool(|pool| async move { pool.begin_with(begin).await }).await
            }
            Err(error) => Err(self.explain(error).await),
            begun => begun,
        }
    }

    /// Limits the time of work with several statements.
    ///
    /// # Errors
    /// That of `work`, or the error that it took too long.
    pub async fn bounded<T, E: From<sqlx::Error>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.bounded_by(STATEMENT_TIMEOUT, work).await
    }

    /// As [`Self::bounded`], for work that must not take that long.
    ///
    /// # Errors
    /// See [`Self::bounded`].
    pub async fn bounded_by<T, E: From<sqlx::Error>>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let ((_, generation), succeeded) = (self.current(), self.succeeded());
        if let Ok(done) = tokio::time::timeout(limit, work).await {
            return done;
        }
        // Otherwise it may only have waited for connections that others use.
        if self.succeeded() == succeeded {
            self.replace(generation);
        }
        Err(timed_out().into())
    }

    /// Closes all connections for good.
    pub async fn close(&self) {
        let pool = {
            let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
            current.is_closed = true;
            current.pool.clone()
        };
        pool.close().await;
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// Its error, or that it took too long.
    pub async fn with_pool<T, F: Future<Output = Result<T, sqlx::Error>>>(
        &self,
        work: impl FnOnce(PgPool) -> F,
    ) -> Result<T, sqlx::Error> {
        match self.try_with_pool(work).await {
            Err(error) => Err(self.explain(error).await),
            done => done,
        }
    }

    async fn try_with_pool<T, F: Future<Output = Result<T, sqlx::Error>>>(
        &self,
        work: impl FnOnce(PgPool) -> F,
    ) -> Result<T, sqlx::Error> {
        let (pool, generation) = self.current();
        // The wait for a connection has a limit of its own, which is much less.
        let done = tokio::time::timeout(STATEMENT_TIMEOUT, work(pool)).await;
        let done = match done {
            Ok(Err(sqlx::Error::PoolClosed)) if !self.is_closed() => Err(replaced()),
            done => done.unwrap_or_else(|_| Err(timed_out())),
        };
        match &done {
            Ok(_) => {
                self.0.succeeded.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if is_disconnected(error) => self.replace(generation),
            Err(_) => {}
        }
        done
    }

    /// The error with the reason why no connection can be made, if there is one.
    async fn explain(&self, error: sqlx::Error) -> sqlx::Error {
        let options = self.current().0.connect_options();
        self.0.connect_failure.explain(error, &options).await
    }

    fn current(&self) -> (PgPool, u64) {
        let current = self.0.current.read().unwrap_or_else(PoisonError::into_inner);
        (current.pool.clone(), current.generation)
    }

    fn is_closed(&self) -> bool {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).is_closed
    }

    fn succeeded(&self) -> u64 {
        self.0.succeeded.load(Ordering::Relaxed)
    }

    /// Makes new connections from now on, unless that was done since `generation`. The old ones are closed when they are
    /// given back.
    fn replace(&self, generation: u64) {
        let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
        let now = clock::monotonic();
        let is_new = current.replaced_at.is_some_and(|at| now.saturating_duration_since(at) < REPLACED_EVERY);
        if current.generation != generation || is_new || current.is_closed {
            return;
        }
        let options = (*current.pool.connect_options()).clone();
        let new = current.pool.options().clone().connect_lazy_with(options);
        let old = std::mem::replace(&mut current.pool, new);
        (current.generation, current.replaced_at) = (generation + 1, Some(now));
        tokio::spawn(async move { old.close().await });
    }
}

/// It waited for one of the connections that were replaced.
fn replaced() -> sqlx::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connections to the database are being replaced").into()
}

fn timed_out() -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the database does not answer").into()
}

impl<'p> Executor<'p> for &'_ BoundedPool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        let all = async move {
            let run = |pool: PgPool| async move { pool.fetch_many(query).try_collect::<Vec<_>>().await };
            pool.with_pool(run).await.map(|rows| stream::iter(rows).map(Ok))
        };
        Box::pin(stream::once(all).try_flatten())
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move { pool.with_pool(|pool| async move { pool.fetch_optional(query).await }).await })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        let (pool, _) = self.current();
        Box::pin(async move { pool.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>> {
        let (pool, _) = self.current();
        Box::pin(async move { pool.describe(sql).await })
    }
}

#[cfg(test)]
mod tests {
    use sqlx_postgres::PgPoolOptions;

    use super::*;
    use crate::storage::StorageError;

    #[tokio::test]
    async fn storage_is_not_closed_while_connections_are_replaced() {
        let pool =
            BoundedPool::new(PgPoolOptions::new().connect_lazy("postgres://nobody@127.0.0.1:1").unwrap());
        let wait = || pool.with_pool(|_| async { Err::<(), _>(sqlx::Error::PoolClosed) });
        assert!(matches!(StorageError::from(wait().await.unwrap_err()), StorageError::Database(_)));
        pool.close().await;
        assert!(matches!(StorageError::from(wait().await.unwrap_err()), StorageError::Closed));
    }
}
