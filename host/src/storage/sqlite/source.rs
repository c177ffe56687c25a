//! A database that is read to move it into another one. Nothing in its directory changes.

use std::path::Path;

use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::connection;
use super::data_dir::{DATABASE_FILE, DataDir};
use super::{schema, sealing};
use crate::storage::StorageError;
use crate::vault::Vault;

/// How many rows are read ahead: each may have megabytes.
const ROWS_AHEAD: usize = 8;

/// A locked data directory, and a connection that only reads.
#[derive(Debug)]
pub struct Source {
    connection: SqliteConnection,
    /// Dropped after the connection.
    _dir: DataDir,
}

impl Source {
    /// Locks `data_dir` and opens its database.
    ///
    /// # Errors
    /// [`StorageError::InUse`] if an engine runs on it; [`StorageError::Missing`] if there is no database;
    /// [`StorageError::StartOnce`] if an earlier engine left it, [`StorageError::Newer`] if a newer one did; else the error of
    /// the file system or the database.
    pub async fn open(data_dir: &Path) -> Result<Self, StorageError> {
        let dir = DataDir::take_to_read(data_dir)?;
        let file = SqliteConnectOptions::new().filename(data_dir.join(DATABASE_FILE));
        // Without a log, SQLite needs no other file. With one, which a crash leaves, it makes an index of it beside it.
        let options = connection::read_options(file).immutable(!dir.has_log()).row_buffer_size(ROWS_AHEAD);
        let mut connection = options.connect().await?;
        check_version(&mut connection).await?;
        if !sealing::is_complete(&mut connection).await? {
            return Err(StorageError::StartOnce(
                "the data directory holds secrets that are not encrypted yet",
            ));
        }
        if !super::clock_steps::is_complete(&mut connection).await? {
            return Err(StorageError::StartOnce(
                "deliveries are being brought forward after a step of the clock",
            ));
        }
        Ok(Self { connection, _dir: dir })
    }

    /// Whether `vault` opens what each of the keys sealed.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn opens_with(&mut self, vault: &Vault) -> Result<bool, StorageError> {
        sealing::opens(&mut self.connection, vault).await
    }

    /// The names of the tables.
    ///
    /// # Errors
    /// The error of the database.
    #[cfg(test)]
    pub async fn tables(&mut self) -> Result<Vec<String>, StorageError> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
        Ok(sqlx::query_scalar(sql).fetch_all(&mut self.connection).await?)
    }

    /// The names of the columns of a table.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn columns(&mut self, table: &str) -> Result<Vec<String>, StorageError> {
        let query = sqlx::query_scalar("SELECT name FROM pragma_table_xinfo(?)").bind(table);
        Ok(query.fetch_all(&mut self.connection).await?)
    }

    /// How many rows `from` has, which is what follows `FROM` in a statement.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn count(&mut self, from: &str) -> Result<u64, StorageError> {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {from}"));
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?;
        Ok(count.unsigned_abs())
    }

    /// The rows of a statement, one after the other.
    pub fn rows(
        &mut self,
        sql: String,
    ) -> impl futures_util::Stream<Item = Result<SqliteRow, StorageError>> + Unpin + '_ {
        sqlx::query(AssertSqlSafe(sql)).fetch(&mut self.connection).map_err(StorageError::from)
    }

    /// Releases the directory.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn close(self) -> Result<(), StorageError> {
        Ok(self.connection.close().await?)
    }
}

async fn check_version(connection: &mut SqliteConnection) -> Result<(), StorageError> {
    let version = schema::version(connection).await?;
    match version.cmp(&schema::newest()) {
        std::cmp::Ordering::Less => Err(StorageError::StartOnce("an earlier engine wrote the database")),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(StorageError::Newer(version)),
    }
}
