//! The one connection that writes, and the options of all connections.
//!
//! Transactions begin and end with plain statements rather than sqlx's `Transaction`: if SQLite itself rolls back, on a full
//! disk for example, sqlx's count of open transactions would stay wrong. A caller's future may be dropped within a
//! transaction; the next caller finds it open and rolls it back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::data_dir::DataDir;
use super::errors::{is_broken, is_busy};
use super::health::WriteHealth;
use super::script::{BEGIN, COMMIT};
use super::wal;
use crate::domain::HookId;
use crate::storage::StorageError;

/// How long a statement waits for a lock: only other programs, such as a backup, can hold one. Until its first commit,
/// the writer waits as long each time: a start that fails is worse than one that waits.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a transaction of the writer waits for a lock: publishers wait with it.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// The same after one that waited in vain, until one gets the lock. Otherwise each of those in the queue would wait as long as
/// the first, one after the other.
const HELD_LOCK_TIMEOUT: Duration = Duration::from_millis(100);
/// How many deleted hooks are remembered; the next start finds deliveries of forgotten ones.
const MAX_DELETED_HOOKS: usize = 100_000;

/// The connection that writes.
#[derive(Debug)]
pub struct WriteConnection {
    connection: Option<SqliteConnection>,
    /// A transaction has begun and not ended.
    open: bool,
    options: Option<SqliteConnectOptions>,
    /// How long the connection waits for locks, if that is known.
    busy_timeout: Option<Duration>,
    /// How long the next transaction waits for its lock.
    lock_timeout: Duration,
    deleted_hooks: HashSet<HookId>,
    health: Arc<WriteHealth>,
    /// Held as long as anything can be written. The last field: it is dropped after the connection.
    lock: Option<DataDir>,
}

fn common_options(file: SqliteConnectOptions) -> SqliteConnectOptions {
    file.busy_timeout(BUSY_TIMEOUT).foreign_keys(false).disable_statement_logging()
}

/// The options of connections that read.
pub fn read_options(file: SqliteConnectOptions) -> SqliteConnectOptions {
    common_options(file)
        .read_only(true)
        .pragma("query_only", "on")
        .pragma("cache_size", "-4096")
        .thread_name(|number| format!("sqlite-read-{number}"))
}

/// After this many steps of SQLite's virtual machine, some tens of microseconds, a read yields.
const STEPS_BETWEEN_YIELDS: i32 = 1_000;

/// Makes the reads of a connection yield the processor regularly. A long read would otherwise delay the threads that receive
/// and send by a time slice of the system, some milliseconds.
pub async fn yield_during_reads(reader: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    reader.lock_handle().await?.set_progress_handler(STEPS_BETWEEN_YIELDS, || {
        std::thread::yield_now();
        true
    });
    Ok(())
}

/// A write-ahead log that is synced at every commit.
fn durable_options(file: SqliteConnectOptions) -> SqliteConnectOptions {
    common_options(file).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
}

/// The options of the connection that migrates the schema. It may rewrite whole tables, which need not fit into memory:
/// unlike the writer, it spills them into the log.
pub fn migration_options(file: SqliteConnectOptions) -> SqliteConnectOptions {
    // Only a new database takes this from here: so it can give space back while it is open.
    durable_options(file).create_if_missing(true).auto_vacuum(SqliteAutoVacuum::Incremental)
}

/// The options of the connection that writes.
pub fn write_options(file: SqliteConnectOptions) -> SqliteConnectOptions {
    wal::through_vfs(durable_options(file))
        // Writes go to the ends of tables and indexes: few pages. A larger cache would fill with uploaded plugins.
        .pragma("cache_size", "-8192")
        // The writer itself copies the log into the database: a task beside it would not keep up under load, and the log
        // would grow without bound.
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864")
        // Scripts of several statements with up to 256 rows each; few different ones occur.
        .statement_cache_capacity(64)
        .thread_name(|number| format!("sqlite-write-{number}"))
}

impl WriteConnection {
    /// A connection that is opened at its first use.
    pub fn new(file: SqliteConnectOptions, lock: DataDir, health: Arc<WriteHealth>) -> Self {
        Self {
            connection: None,
            open: false,
            options: Some(write_options(file)),
            busy_timeout: None,
            lock_timeout: BUSY_TIMEOUT,
            deleted_hooks: HashSet::new(),
            health,
            lock: Some(lock),
        }
    }

    /// The connection, outside any transaction.
    pub async fn connection(&mut self) -> Result<&mut SqliteConnection, StorageError> {
        if self.open {
            self.rollback().await;
        }
        let options = self.options.as_ref().ok_or(StorageError::Closed)?;
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                self.busy_timeout = Some(BUSY_TIMEOUT);
                options.connect().await?
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Sets how long statements outside transactions wait for locks, until the next transaction.
    pub async fn set_busy_timeout(&mut self, timeout: Duration) -> Result<(), StorageError> {
        self.connection().await?;
        // This future may be dropped while the statement runs.
        if self.busy_timeout.take() != Some(timeout) {
            let sql = AssertSqlSafe(format!("PRAGMA busy_timeout = {}", timeout.as_millis()));
            sqlx::query(sql).fetch_all(self.connection().await?).await?;
        }
        self.busy_timeout = Some(timeout);
        Ok(())
    }

    /// Begins a transaction. Its result must be given to [`Self::finish`].
    pub async fn begin(&mut self) -> Result<&mut SqliteConnection, StorageError> {
        let begun = sqlx::query(BEGIN).execute(self.about_to_begin().await?).await;
        begun.map_err(StorageError::from).inspect_err(|error| self.failed(error))?;
        self.connection.as_mut().ok_or(StorageError::Closed)
    }

    /// The connection, for a script that begins a transaction. Its result must be given to [`Self::finish`], or to
    /// [`Self::finish_committed`] if the script also commits.
    pub async fn about_to_begin(&mut self) -> Result<&mut SqliteConnection, StorageError> {
        self.set_busy_timeout(self.lock_timeout).await?;
        // Set before the statement, since this future may be dropped while it runs.
        self.open = true;
        self.connection.as_mut().ok_or(StorageError::Closed)
    }

    /// Commits if `result` is a success. Rolls back if it is an error, or if the commit fails.
    pub async fn finish<T>(&mut self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        let committed = match result {
            Ok(value) => self.execute(COMMIT).await.map(|()| value).map_err(StorageError::from),
            Err(error) => Err(error),
        };
        self.finish_committed(committed).await
    }

    /// After a script that commits: rolls back if it failed.
    pub async fn finish_committed<T>(&mut self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        let error = match result {
            Ok(value) => {
                self.open = false;
                self.lock_timeout = LOCK_TIMEOUT;
                self.health.committed();
                return Ok(value);
            }
            Err(error) => error,
        };
        self.rollback().await;
        self.failed(&error);
        if is_broken(&error) {
            self.connection = None;
        }
        Err(error)
    }

    fn failed(&mut self, error: &StorageError) {
        self.health.failed(error);
        // Until the first commit, all wait for long.
        if self.lock_timeout < BUSY_TIMEOUT {
            self.lock_timeout = if is_busy(error) { HELD_LOCK_TIMEOUT } else { LOCK_TIMEOUT };
        }
    }

    async fn rollback(&mut self) {
        if let Err(error) = self.execute("ROLLBACK").await {
            // SQLite rolls back by itself on some errors, and then reports that there is nothing to roll back.
            let already =
                matches!(&error, sqlx::Error::Database(error) if error.code().as_deref() == Some("1"));
            if !already {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a rollback failed; SQLite's write connection is opened again"
                );
                self.connection = None;
            }
        }
        self.open = false;
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        match &mut self.connection {
            Some(connection) => sqlx::query(sql).execute(connection).await.map(drop),
            None => Err(sqlx::Error::WorkerCrashed),
        }
    }

    /// Remembers that a hook was deleted, so that an event which was matched before and is stored after makes no delivery
    /// for it.
    pub fn forget_hook(&mut self, hook: HookId) {
        if self.deleted_hooks.len() >= MAX_DELETED_HOOKS {
            self.deleted_hooks.clear();
        }
        self.deleted_hooks.insert(hook);
    }

    /// The hooks that were deleted since the database was opened.
    pub fn deleted_hooks(&self) -> &HashSet<HookId> {
        &self.deleted_hooks
    }

    /// The open transaction's connection, with the hooks that were deleted since the database was opened.
    pub fn parts(&mut self) -> Result<(&mut SqliteConnection, &HashSet<HookId>), StorageError> {
        Ok((self.connection.as_mut().ok_or(StorageError::Closed)?, &self.deleted_hooks))
    }

    /// Copies the write-ahead log into the database, closes, and releases the data directory.
    pub async fn close(&mut self) -> Result<(), StorageError> {
        if self.open {
            self.rollback().await;
        }
        if self.connection.is_some() {
            // If it fails, the checkpoint fails as well.
            _ = self.set_busy_timeout(BUSY_TIMEOUT).await;
        }
        self.options = None;
        let closed = match self.connection.take() {
            Some(mut connection) => {
                let emptied =
                    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.map(drop);
                connection.close().await.and(emptied)
            }
            None => Ok(()),
        };
        self.lock = None;
        Ok(closed?)
    }
}
