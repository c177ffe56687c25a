//! The one connection that writes, and how connections are set up.
//!
//! Transactions are begun and ended by plain statements rather than by sqlx's `Transaction`: where SQLite
//! itself has rolled back (a full disk), sqlx's count of open transactions would be off for good.
//! A caller may vanish in the middle of a transaction; the next one finds it open and rolls it back.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use super::BUSY_TIMEOUT;
use super::batch::{BEGIN, COMMIT};
use super::data_dir::DataDir;
use super::health::WriteHealth;
use super::wal;
use crate::domain::HookId;
use crate::storage::StorageError;

/// A cap on remembered hooks; [`super::claims::orphaned_hooks`] finds at the next start what was forgotten.
const MAX_DELETED_HOOKS: usize = 100_000;

/// The connection that writes.
#[derive(Debug)]
pub struct WriteConnection {
    connection: Option<SqliteConnection>,
    /// A transaction was begun and not ended.
    open: bool,
    options: Option<SqliteConnectOptions>,
    deleted_hooks: HashSet<HookId>,
    health: Arc<WriteHealth>,
    /// Held as long as anything can be written. The last field: it goes after the connection.
    lock: Option<DataDir>,
}

fn common_options(file: SqliteConnectOptions) -> SqliteConnectOptions {
    file.busy_timeout(BUSY_TIMEOUT).foreign_keys(false).disable_statement_logging()
}

/// What reading connections are opened with.
pub fn read_options(file: SqliteConnectOptions) -> SqliteConnectOptions {
    common_options(file)
        .read_only(true)
        .pragma("query_only", "on")
        .pragma("cache_size", "-4096")
        .thread_name(|number| format!("sqlite-read-{number}"))
}

/// With a write-ahead log, in which every commit is on disk.
fn durable_options(file: SqliteConnectOptions) -> SqliteConnectOptions {
    common_options(file).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
}

/// What the connection that brings the schema up to date is opened with. It may write whole tables anew, which need not
/// fit into memory: unlike the writer, it spills them into the log.
pub fn migration_options(file: SqliteConnectOptions) -> SqliteConnectOptions {
    durable_options(file).create_if_missing(true)
}

/// What the connection that writes is opened with, and [`wal`]'s tests.
pub fn write_options(file: SqliteConnectOptions) -> SqliteConnectOptions {
    wal::through_vfs(durable_options(file))
        // What is written lies at the ends of tables and indexes: few pages. More would fill with uploaded plugins.
        .pragma("cache_size", "-8192")
        // The writer itself moves the log into the database: a helper beside it would never catch up
        // under load, and the log would grow without bound.
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864")
        // Scripts of several statements with up to 256 rows each, of which few different ones occur.
        .statement_cache_capacity(64)
        .thread_name(|number| format!("sqlite-write-{number}"))
}

impl WriteConnection {
    /// A connection that is opened when it is first asked for.
    pub fn new(file: SqliteConnectOptions, lock: DataDir, health: Arc<WriteHealth>) -> Self {
        let options = Some(write_options(file));
        let (deleted_hooks, lock) = (HashSet::new(), Some(lock));
        Self { connection: None, open: false, options, deleted_hooks, health, lock }
    }

    /// The connection, outside of any transaction.
    pub async fn connection(&mut self) -> Result<&mut SqliteConnection, StorageError> {
        if self.open {
            self.rollback().await;
        }
        let options = self.options.as_ref().ok_or(StorageError::Closed)?;
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => options.connect().await?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Begins a transaction. Whatever comes of it must be handed to [`Self::finish`].
    pub async fn begin(&mut self) -> Result<&mut SqliteConnection, StorageError> {
        let health = Arc::clone(&self.health);
        let connection = self.about_to_begin().await?;
        let begun = sqlx::query(BEGIN).execute(&mut *connection).await.map_err(StorageError::from);
        begun.inspect_err(|error| health.failed(error))?;
        Ok(connection)
    }

    /// The connection, for a script that begins a transaction. Whatever comes of it must be handed to
    /// [`Self::finish`], or, where the script also commits, to [`Self::finish_committed`].
    pub async fn about_to_begin(&mut self) -> Result<&mut SqliteConnection, StorageError> {
        self.connection().await?;
        // Before the statement, since this future may be dropped while it runs.
        self.open = true;
        self.connection.as_mut().ok_or(StorageError::Closed)
    }

    /// Commits if `result` is a success, and rolls back if it is not, or if the commit fails.
    pub async fn finish<T>(&mut self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        let committed = match result {
            Ok(value) => self.execute(COMMIT).await.map(|()| value).map_err(StorageError::from),
            Err(error) => Err(error),
        };
        self.finish_committed(committed).await
    }

    /// After a commit: rolls back what is open if it, or anything before it, failed.
    pub async fn finish_committed<T>(&mut self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        let error = match result {
            Ok(value) => {
                self.open = false;
                self.health.committed();
                return Ok(value);
            }
            Err(error) => error,
        };
        self.rollback().await;
        self.health.failed(&error);
        if is_broken(&error) {
            self.connection = None;
        }
        Err(error)
    }

    async fn rollback(&mut self) {
        if let Err(error) = self.execute("ROLLBACK").await {
            // SQLite rolls back by itself on some errors, and then says that there is nothing to roll back.
            let already =
                matches!(&error, sqlx::Error::Database(error) if error.code().as_deref() == Some("1"));
            if !already {
                tracing::warn!(%error, "SQLite's write connection is opened anew, since it did not roll back");
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

    /// Remembers that a hook is gone, so that an event which was matched before, and is stored after, does
    /// not leave it a delivery.
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

    /// Empties the write-ahead log, closes, and gives the data directory free.
    pub async fn close(&mut self) -> Result<(), StorageError> {
        if self.open {
            self.rollback().await;
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

/// Whether the connection should not be trusted after this error.
fn is_broken(error: &StorageError) -> bool {
    match error {
        StorageError::Database(sqlx::Error::Database(error)) => {
            // SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_CANTOPEN, SQLITE_NOTADB, without their extended parts.
            let code = error.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or(0);
            matches!(code & 0xff, 10 | 11 | 14 | 26)
        }
        StorageError::Database(sqlx::Error::WorkerCrashed | sqlx::Error::Io(_)) => true,
        _ => false,
    }
}
