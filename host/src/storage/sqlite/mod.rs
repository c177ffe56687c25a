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
mod clock_steps;
mod connection;
mod data_dir;
mod dedup;
mod deliveries;
mod delivery_rows;
mod engine_state;
mod events;
mod health;
mod hook_rows;
mod hooks;
mod listing;
mod plan;
mod plugins;
mod recent;
mod recording;
mod rendered_rows;
mod rows;
mod sealing;
mod spans;
mod statements;
mod tenants;
#[cfg(test)]
mod tests;
mod unwritten;
mod wal;
mod writer;

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};

use self::connection::WriteConnection;
use self::data_dir::DataDir;
use self::health::WriteHealth;
pub use self::sealing::Rekeyed;
use self::unwritten::SharedLedger;
use self::writer::Message;
use super::{Storage, StorageError};
use crate::domain::{EventKey, TenantId, UnixMillis};
use crate::turns::{TenantTurns, Turn};
use crate::vault::{Keys, Vault};

/// The database's file in the data directory.
pub const DATABASE_FILE: &str = "hookwright.db";
/// The file whose lock says that the data directory is in use.
pub const LOCK_FILE: &str = "hookwright.lock";

pub use claims::FURTHEST_AHEAD;

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
    /// What secrets are encrypted with; without one, a key in the data directory.
    pub keys: Keys,
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
    health: Arc<WriteHealth>,
}

/// Opens the database in `data_dir`, makes both where they are missing, and brings the schema up to date.
///
/// # Errors
/// [`StorageError::InUse`] where another process has the directory open; [`StorageError::Newer`] where the
/// database is that of a newer engine; else what the file system or the database said.
pub async fn open(data_dir: &Path, options: SqliteOptions) -> Result<SqliteStorage, StorageError> {
    let opened = match open_writer(data_dir, &options.keys).await {
        Err(error) if health::made_room(data_dir) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the start failed for want of space; trying again"
            );
            open_writer(data_dir, &options.keys).await?
        }
        opened => opened?,
    };
    let Opened { writer, vault, file, ledger, greatest_id, health } = opened;
    let (vault, ledger) = (Arc::new(vault), Arc::new(SharedLedger::new(ledger)));
    let readers = pool(file.clone(), READERS).await?;
    let feeding = pool(file, FEEDING_CONNECTIONS).await?;
    let writer = Arc::new(Mutex::new(writer));
    let queue = writer::spawn(Arc::clone(&writer), Arc::clone(&ledger), options.writer_runtime);
    let reads = Arc::new(TenantTurns::new(READERS_PER_TENANT));
    let shared = Shared { queue, writer, ledger, readers, reads, feeding, vault, health };
    tokio::spawn(watch_space(Arc::downgrade(&shared.health)));
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

struct Opened {
    writer: WriteConnection,
    vault: Vault,
    file: SqliteConnectOptions,
    ledger: unwritten::Ledger,
    greatest_id: i64,
    health: Arc<WriteHealth>,
}

/// The first half of [`open`], which writes.
async fn open_writer(data_dir: &Path, keys: &Keys) -> Result<Opened, StorageError> {
    let (dir, vault, file) = open_up_to_date(data_dir, keys).await?;
    let health = Arc::new(WriteHealth::of(data_dir));
    health.look();
    let mut writer = WriteConnection::new(file.clone(), dir, Arc::clone(&health));
    let connection = writer.connection().await?;
    let ledger = unwritten::recover(&mut *connection).await?;
    let greatest_id = rows::greatest_id(connection, i64::MAX).await?;
    Ok(Opened { writer, vault, file, ledger, greatest_id, health })
}

/// Looks at the free space as long as the database is open.
async fn watch_space(health: Weak<WriteHealth>) {
    loop {
        tokio::time::sleep(health::EVERY).await;
        let Some(health) = health.upgrade() else { return };
        health.look();
    }
}

/// Takes the directory, brings its database up to date, and sees to it that what is secret there is encrypted, under a key
/// that is known.
async fn open_up_to_date(
    data_dir: &Path,
    keys: &Keys,
) -> Result<(DataDir, Vault, SqliteConnectOptions), StorageError> {
    let mut dir = DataDir::take(data_dir)?;
    let file = SqliteConnectOptions::new().filename(dir.database()?);
    let mut connection = connection::migration_options(file.clone()).connect().await?;
    migrate(&mut connection).await?;
    dir.has_database()?;
    let vault = Vault::open(data_dir, keys)?;
    sealing::check_key(&mut connection, &vault).await?;
    // What is in plain can be read all the same, on a full disk for example; the next start goes on.
    if let Err(error) = sealing::seal_all(&mut connection, &vault).await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "cannot encrypt all that an earlier engine stored in plain"
        );
    }
    connection.close().await?;
    Ok((dir, vault, file))
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), StorageError> {
    let migrator = sqlx::migrate!("migrations/sqlite");
    let newest = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')";
    let mut version = 0;
    if sqlx::query_scalar(sql).fetch_one(&mut *connection).await? {
        let sql = "SELECT ifnull(max(version), 0) FROM _sqlx_migrations";
        version = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
    }
    let is_upgrade = version > 0 && version < newest;
    if is_upgrade {
        tracing::info!(
            from = version,
            to = newest,
            "bringing the database up to date; large ones take a while"
        );
    }
    let began = std::time::Instant::now();
    migrator.run(&mut *connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => StorageError::Newer(version),
        error => error.into(),
    })?;
    if is_upgrade {
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(took_ms, "the database is up to date");
    }
    Ok(())
}

/// Encrypts all secrets in the database in `data_dir` again, under the current one of `keys`. No engine may run on it.
///
/// # Errors
/// As [`open`]; [`StorageError::Missing`] if there is no database.
pub async fn rekey(data_dir: &Path, keys: &Keys) -> Result<Rekeyed, StorageError> {
    if !data_dir.join(DATABASE_FILE).exists() {
        return Err(StorageError::Missing(format!("there is no {DATABASE_FILE} in {}", data_dir.display())));
    }
    let (dir, vault, file) = open_up_to_date(data_dir, keys).await?;
    let mut connection = connection::migration_options(file).connect().await?;
    let done = sealing::rekey(&mut connection, &vault).await?;
    connection.close().await?;
    drop(dir);
    Ok(done)
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

    /// The greatest id that carries a time before `end`, 0 if there is none.
    ///
    /// # Errors
    /// What the database said.
    pub async fn greatest_id_before(&self, end: UnixMillis) -> Result<i64, StorageError> {
        let mut reader = self.shared.readers.acquire().await.map_err(rows::read_error)?;
        rows::greatest_id(&mut reader, EventKey::first_at(end).0).await
    }

    /// The greatest time that the wall clock showed to this database since it was last set back, if that is known.
    ///
    /// # Errors
    /// What the database said.
    pub async fn clock_last_seen(&self) -> Result<Option<UnixMillis>, StorageError> {
        let mut reader = self.shared.readers.acquire().await.map_err(rows::read_error)?;
        clock_steps::last_seen(&mut reader).await
    }

    /// Notes what the wall clock shows, so that the next start knows whether it was set back. To be told every minute or so.
    ///
    /// # Errors
    /// What the database said.
    pub async fn note_clock(&self, now: UnixMillis) -> Result<(), StorageError> {
        let mut writer = self.shared.writer().await;
        let noted = clock_steps::note(writer.begin().await?, now).await;
        writer.finish(noted).await
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
