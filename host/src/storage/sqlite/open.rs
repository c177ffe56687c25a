//! Opens a database: locks its directory, migrates the schema, checks the encryption key, and starts the writer.

use std::path::Path;
use std::sync::{Arc, Weak};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::connection::{self, WriteConnection};
use super::data_dir::{DATABASE_FILE, DataDir, IfLost};
use super::database::SqliteDatabase;
use super::health::{self, WriteHealth};
use super::known_names::{self, KnownNames, SharedNames};
use super::rowless::{self, RowlessDeliveries, SharedRowless};
use super::sealing;
use super::stores::SqliteStores;
use super::write_plan::Memory;
use super::{rows, schema, writer};
use crate::storage::{Rekeyed, StorageError};
use crate::tenant_limiter::TenantLimiter;
use crate::vault::{Keys, Vault};

/// Connections for lists; each has a thread and up to 4 MiB of cache.
pub const READERS: u32 = 4;
/// How many of these one tenant uses at the same time.
const READERS_PER_TENANT: usize = 2;
/// Connections for claims, the backlog and health, beside [`READERS`].
const FEEDING_CONNECTIONS: u32 = 2;

/// A data directory that is locked, with a database whose schema is up to date. The encryption key is still to come: it may
/// be made only after the database, so that a crash does not look like the loss of a database.
#[derive(Debug)]
pub struct Prepared {
    dir: DataDir,
    file: SqliteConnectOptions,
    /// See [`known_names`].
    pub(super) names_in_generation: usize,
    /// Whether what deletions free is overwritten with zeros.
    pub secure_delete: bool,
}

/// Locks `data_dir`, creates it and the database if they are missing, and migrates the schema. `if_lost` says what happens if
/// other files show that there was a database.
///
/// # Errors
/// [`StorageError::InUse`] if another process has the directory open; [`StorageError::Missing`] if its database is gone;
/// [`StorageError::Newer`] if a newer engine wrote it; else the error of the file system or the database.
pub async fn prepare(data_dir: &Path, if_lost: IfLost) -> Result<Prepared, StorageError> {
    match prepare_once(data_dir, if_lost).await {
        Err(error) if has_made_room(data_dir, &error) => prepare_once(data_dir, if_lost).await,
        prepared => prepared,
    }
}

async fn prepare_once(data_dir: &Path, if_lost: IfLost) -> Result<Prepared, StorageError> {
    let mut dir = DataDir::take(data_dir, if_lost)?;
    let file = SqliteConnectOptions::new().filename(dir.database()?);
    let mut connection = connection::migration_options(file.clone()).connect().await?;
    schema::migrate(&mut connection).await?;
    connection.close().await?;
    dir.has_database()?;
    Ok(Prepared { dir, file, names_in_generation: known_names::GENERATION, secure_delete: false })
}

impl Prepared {
    /// Opens the database. The writer runs on `writer_runtime`, or on the caller's runtime if there is none.
    ///
    /// # Errors
    /// [`StorageError::WrongKey`] or [`StorageError::NewerKey`] if `vault` lacks a key; else the error of the database.
    pub async fn open(
        self,
        vault: Arc<Vault>,
        writer_runtime: Option<Handle>,
    ) -> Result<SqliteDatabase, StorageError> {
        let Self { dir, file, names_in_generation: generation, secure_delete } = self;
        let path = dir.path().to_owned();
        let health = Arc::new(WriteHealth::of(&path));
        let written = match secure_delete {
            true => file.clone().pragma("secure_delete", "on"),
            false => file.clone(),
        };
        let mut writer = WriteConnection::new(written, dir, Arc::clone(&health));
        let started = match start(&mut writer, &file, &vault, (&health, generation)).await {
            Err(error) if has_made_room(&path, &error) => {
                start(&mut writer, &file, &vault, (&health, generation)).await?
            }
            started => started?,
        };
        let Started { rowless, names, greatest_id } = started;
        let (rowless, names) = (Arc::new(SharedRowless::new(rowless)), Arc::new(SharedNames::new(names)));
        let readers = pool(file.clone(), READERS).await?;
        let feeding = pool(file, FEEDING_CONNECTIONS).await?;
        let writer = Arc::new(Mutex::new(writer));
        let memory = Memory { rowless: Arc::clone(&rowless), names: Arc::clone(&names) };
        let queue = writer::spawn(Arc::clone(&writer), memory, writer_runtime);
        let reads = Arc::new(TenantLimiter::new(READERS_PER_TENANT));
        tokio::spawn(watch_space(Arc::downgrade(&health)));
        tokio::spawn(load_filters(readers.clone(), Arc::clone(&names)));
        let stores = SqliteStores {
            queue,
            writer,
            rowless,
            names,
            readers,
            reads,
            feeding,
            vault,
            health,
            secure_delete,
            log_has_erased: Arc::default(),
            last_report: Arc::default(),
        };
        Ok(SqliteDatabase { stores: Arc::new(stores), greatest_id })
    }
}

/// Whether a start failed because the disk is full, and space was freed for another try.
fn has_made_room(data_dir: &Path, error: &StorageError) -> bool {
    let has_room = health::made_room(data_dir);
    if has_room {
        let error = error as &dyn std::error::Error;
        tracing::warn!(error, "the start failed because the disk is full; trying again");
    }
    has_room
}

struct Started {
    rowless: RowlessDeliveries,
    names: KnownNames,
    greatest_id: i64,
}

/// The part of [`Prepared::open`] that writes.
async fn start(
    writer: &mut WriteConnection,
    file: &SqliteConnectOptions,
    vault: &Vault,
    (health, generation): (&WriteHealth, usize),
) -> Result<Started, StorageError> {
    let mut connection = connection::migration_options(file.clone()).connect().await?;
    seal(&mut connection, vault).await?;
    connection.close().await?;
    health.look();
    let connection = writer.connection().await?;
    let rowless = rowless::recover(&mut *connection).await?;
    let names = known_names::load(&mut *connection, generation).await?;
    let greatest_id = rows::greatest_id(connection, i64::MAX).await?;
    Ok(Started { rowless, names, greatest_id })
}

/// Checks that the keys open the database, and encrypts what an earlier engine stored as plain text.
async fn seal(connection: &mut SqliteConnection, vault: &Vault) -> Result<(), StorageError> {
    sealing::check_key(connection, vault).await?;
    // Plain rows can be read all the same, on a full disk for example; the next start goes on.
    if let Err(error) = sealing::seal_all(connection, vault).await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "cannot encrypt everything that an earlier engine stored as plain text; the next start tries again"
        );
    }
    Ok(())
}

async fn pool(file: SqliteConnectOptions, connections: u32) -> Result<SqlitePool, StorageError> {
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(|reader, _| Box::pin(connection::yield_during_reads(reader)))
        .connect_with(connection::read_options(file));
    Ok(pool.await?)
}

/// Until this is done, repetitions are looked for on disk.
async fn load_filters(readers: SqlitePool, names: Arc<SharedNames>) {
    if let Err(error) = known_names::load_filters(&readers, &names).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(
            error,
            "cannot read the names of events into memory; accepting events with ids is slower"
        );
    }
}

/// Checks the free space as long as the database is open.
async fn watch_space(health: Weak<WriteHealth>) {
    loop {
        tokio::time::sleep(health::EVERY).await;
        let Some(health) = health.upgrade() else { return };
        health.look();
    }
}

/// Encrypts all secrets in the database in `data_dir` again, with the current one of `keys`. No engine may use it.
///
/// # Errors
/// As [`prepare`] and [`Prepared::open`]; [`StorageError::Missing`] if there is no database.
pub async fn rekey(data_dir: &Path, keys: &Keys) -> Result<Rekeyed, StorageError> {
    if !data_dir.join(DATABASE_FILE).exists() {
        return Err(StorageError::Missing(format!("there is no {DATABASE_FILE} in {}", data_dir.display())));
    }
    let Prepared { dir, file, .. } = prepare(data_dir, IfLost::Refuse).await?;
    let vault = Vault::open(data_dir, keys)?;
    let mut connection = connection::migration_options(file).connect().await?;
    seal(&mut connection, &vault).await?;
    let done = sealing::rekey(&mut connection, &vault).await?;
    connection.close().await?;
    drop(dir);
    Ok(done)
}
