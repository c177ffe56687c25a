//! Databases for tests.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::data_dir::IfLost;
use super::database::SqliteDatabase;
use super::open::prepare;
use crate::storage::StorageError;
use crate::vault::{Keys, Vault};

/// How a test opens a database.
#[derive(Debug, Clone, Default)]
pub struct SqliteOptions {
    /// The operator's encryption keys; without one, a key in the data directory.
    pub keys: Keys,
    /// The runtime of the writer, if it is not the caller's.
    pub writer_runtime: Option<Handle>,
    /// How many names a generation of [`known_names`](super::known_names) has, if not as many as usual.
    pub names_in_generation: Option<usize>,
}

/// Opens the database in `data_dir` as the composition root does.
///
/// # Errors
/// As [`prepare`] and [`Prepared::open`](super::Prepared::open).
pub async fn open(data_dir: &Path, options: SqliteOptions) -> Result<SqliteDatabase, StorageError> {
    let mut prepared = prepare(data_dir, IfLost::Refuse).await?;
    prepared.names_in_generation = options.names_in_generation.unwrap_or(prepared.names_in_generation);
    let vault = Arc::new(Vault::open(data_dir, &options.keys)?);
    prepared.open(vault, options.writer_runtime).await
}
