//! Connections of commands that read a data directory. An engine may run on it.

use std::path::{Path, PathBuf};

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::connection;
use super::data_dir::DATABASE_FILE;
use crate::storage::StorageError;
use crate::storage::backup::MANIFEST_FILE;

/// The database's file in `data_dir`.
///
/// # Errors
/// [`StorageError::Missing`] if it is missing or empty.
pub fn database_in(data_dir: &Path) -> Result<PathBuf, StorageError> {
    let path = data_dir.join(DATABASE_FILE);
    match path.metadata() {
        Ok(about) if about.len() > 0 => Ok(path),
        _ => Err(StorageError::Missing(format!(
            "there is no {DATABASE_FILE} in {}: name the engine's data directory with --data-dir",
            data_dir.display()
        ))),
    }
}

/// Opens the database in `data_dir`, which may be a backup.
///
/// # Errors
/// [`StorageError::Missing`] if there is none; else the error of the database.
pub async fn open(data_dir: &Path) -> Result<SqliteConnection, StorageError> {
    let file = SqliteConnectOptions::new().filename(database_in(data_dir)?);
    // SQLite would put files of its own beside a backup, which nothing else writes and which may be on a read-only disk.
    let is_backup = data_dir.join(MANIFEST_FILE).exists();
    Ok(connection::read_options(file).immutable(is_backup).connect().await?)
}
