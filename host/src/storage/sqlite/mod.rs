//! Storage in one SQLite file, for one process at a time.
//!
//! Who does what:
//! - the [`writer`] task commits events, records, claims, and rows that somebody asks for: whatever has gathered, in
//!   one transaction;
//! - a delivery in memory is part of its event's row until there is more to say of it, see [`unwritten`];
//! - everything else that writes takes its turn on the same [`connection`], in order of arrival;
//! - the write-ahead log goes to its file in few large pieces, see [`wal`];
//! - queries read from a small pool of connections that can only read, and what deliveries need from
//!   another one, so that no list holds them up.
//!
//! The write-ahead log is flushed at every commit (`synchronous=FULL`): what was answered is on disk.

mod access;
mod attempt_rows;
mod batch;
mod claims;
mod connection;
mod dedup;
mod deliveries;
mod delivery_rows;
mod events;
mod hooks;
mod listing;
mod plan;
mod plugins;
mod recording;
mod rows;
mod spans;
mod statements;
mod tenants;
#[cfg(test)]
mod tests;
mod unwritten;
mod wal;
mod writer;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};

use self::connection::WriteConnection;
use self::unwritten::SharedLedger;
use self::writer::Message;
use super::{Storage, StorageError};
use crate::domain::TenantId;
use crate::private_file;
use crate::turns::{TenantTurns, Turn};
use crate::vault::{Key, Vault};

/// The database's file in the data directory.
pub const DATABASE_FILE: &str = "hookwright.db";
/// The file whose lock says that the data directory is in use.
pub const LOCK_FILE: &str = "hookwright.lock";

/// Connections for queries; each has a thread and up to 4 MiB of cache.
const READERS: u32 = 4;
/// Of these, what one tenant's requests use at the same time.
const READERS_PER_TENANT: usize = 2;
/// Reads of a tenant that are under way or wait.
const MAX_READS: usize = 256;
/// Connections for claims, the backlog and the engine's health, beside [`READERS`].
const FEEDING_CONNECTIONS: u32 = 2;

/// What may be chosen about a database.
#[derive(Debug, Clone, Default)]
pub struct SqliteOptions {
    /// What secrets are encrypted with; none: a key in the data directory.
    pub encryption_key: Option<Key>,
    /// The runtime on which the loop runs that commits; none: that of whoever opens the database.
    pub writer_runtime: Option<Handle>,
}

/// An open database.
#[derive(Debug)]
pub struct SqliteStorage {
    shared: Arc<Shared>,
    greatest_id: i64,
}

/// What all the stores have in common.
#[derive(Debug, Clone)]
struct Shared {
    queue: mpsc::Sender<Message>,
    writer: Arc<Mutex<WriteConnection>>,
    /// Deliveries that have no row of their own.
    ledger: Arc<SharedLedger>,
    readers: SqlitePool,
    /// Whose turn it is to use one of these.
    reads: Arc<TenantTurns>,
    /// For what deliveries need: lists that people ask for must not hold them up.
    feeding: SqlitePool,
    vault: Arc<Vault>,
}

/// Opens the database in `data_dir`, makes both where they are missing, and brings the schema up to date.
///
/// # Errors
/// [`StorageError::InUse`] where another process has the directory open; [`StorageError::Newer`] where the
/// database is that of a newer engine; else what the file system or the database said.
pub async fn open(data_dir: &Path, options: SqliteOptions) -> Result<SqliteStorage, StorageError> {
    private_file::create_dir(data_dir)?;
    let lock = take_lock(data_dir)?;
    let vault = Arc::new(Vault::open(data_dir, options.encryption_key.as_ref())?);
    let file = SqliteConnectOptions::new().filename(data_dir.join(DATABASE_FILE));
    let mut migrating = connection::migration_options(file.clone()).connect().await?;
    sqlx::migrate!("migrations/sqlite").run(&mut migrating).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => StorageError::Newer(version),
        error => error.into(),
    })?;
    migrating.close().await?;
    let mut writer = WriteConnection::new(file.clone(), lock);
    let connection = writer.connection().await?;
    let ledger = Arc::new(SharedLedger::new(unwritten::recover(&mut *connection).await?));
    let greatest_id = rows::greatest_id(connection).await?;
    let readers = pool(file.clone(), READERS).await?;
    let feeding = pool(file, FEEDING_CONNECTIONS).await?;
    let writer = Arc::new(Mutex::new(writer));
    let queue = writer::spawn(Arc::clone(&writer), Arc::clone(&ledger), options.writer_runtime);
    let reads = Arc::new(TenantTurns::new(READERS_PER_TENANT));
    let shared = Shared { queue, writer, ledger, readers, reads, feeding, vault };
    Ok(SqliteStorage { shared: Arc::new(shared), greatest_id })
}

async fn pool(file: SqliteConnectOptions, connections: u32) -> Result<SqlitePool, StorageError> {
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(connection::read_options(file));
    Ok(pool.await?)
}

fn take_lock(data_dir: &Path) -> Result<File, StorageError> {
    let lock = File::options().create(true).append(true).open(data_dir.join(LOCK_FILE))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            Err(StorageError::InUse(format!("the data directory {}", data_dir.display())))
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

impl SqliteStorage {
    /// The database as the rest of the engine takes it.
    #[must_use]
    pub fn stores(&self) -> Storage {
        Storage {
            tenants: Arc::clone(&self.shared) as _,
            access: Arc::clone(&self.shared) as _,
            hooks: Arc::clone(&self.shared) as _,
            plugins: Arc::clone(&self.shared) as _,
            events: Arc::clone(&self.shared) as _,
            deliveries: Arc::clone(&self.shared) as _,
        }
    }

    /// What secrets are encrypted with.
    #[must_use]
    pub fn vault(&self) -> Arc<Vault> {
        Arc::clone(&self.shared.vault)
    }

    /// The greatest id that was in the database when it was opened, 0 if there was none:
    /// ids made from now on must come after it.
    #[must_use]
    pub fn greatest_id(&self) -> i64 {
        self.greatest_id
    }

    /// Returns when nothing is written any more: after [`Self::close`], or if the writer has failed.
    pub async fn ended(&self) {
        self.shared.queue.closed().await;
    }

    /// Commits what is queued, empties the write-ahead log into the database, and gives the data directory free.
    /// What is asked of any store afterwards fails with [`StorageError::Closed`].
    ///
    /// # Errors
    /// What the database said; everything committed is safe all the same.
    pub async fn close(&self) -> Result<(), StorageError> {
        let (reply, drained) = oneshot::channel();
        if self.shared.queue.send(Message::Close(reply)).await.is_ok() {
            // An error means that the writer is gone, which is what is wanted.
            let _ = drained.await;
        }
        self.shared.readers.close().await;
        self.shared.feeding.close().await;
        self.shared.writer.lock().await.close().await
    }
}

impl Shared {
    /// The turn of a request of `tenant` to read, when those before it have read: however many it sends, others find readers.
    ///
    /// # Errors
    /// [`StorageError::TooManyReads`] if too many of them wait already.
    async fn turn_to_read(&self, tenant: TenantId) -> Result<Turn, StorageError> {
        self.reads.turn_unless_crowded(tenant, MAX_READS).await.ok_or(StorageError::TooManyReads)
    }

    /// The write connection, in order of arrival, beside the [`writer`] task.
    async fn writer(&self) -> MutexGuard<'_, WriteConnection> {
        self.writer.lock().await
    }
}

/// How long a statement waits for a lock: only other programs, such as a backup, can hold one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
