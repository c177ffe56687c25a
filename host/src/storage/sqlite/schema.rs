//! The schema: its migrations, and how a database compares with them.

use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use std::path::Path;

use super::read_only;
use crate::clock;
use crate::storage::{SchemaStatus, StorageError};

/// The migrations of this engine.
fn migrator() -> Migrator {
    sqlx::migrate!("migrations/sqlite")
}

/// The newest migration of this engine.
pub fn newest() -> i64 {
    migrator().iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The newest migration that a database has; 0 if it has none.
pub async fn version(connection: &mut SqliteConnection) -> Result<i64, StorageError> {
    Ok(applied(connection).await?.last().map_or(0, |(version, _)| *version))
}

/// The migrations that a database has, with their checksums, in order.
async fn applied(connection: &mut SqliteConnection) -> Result<Vec<(i64, Vec<u8>)>, StorageError> {
    if !has_table(connection, "_sqlx_migrations").await? {
        return Ok(Vec::new());
    }
    let sql = "SELECT version, checksum FROM _sqlx_migrations ORDER BY version";
    Ok(sqlx::query_as(sql).fetch_all(connection).await?)
}

/// Whether there is such a table.
pub async fn has_table(connection: &mut SqliteConnection, name: &str) -> Result<bool, StorageError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?)";
    Ok(sqlx::query_scalar(sql).bind(name).fetch_one(connection).await?)
}

/// How many rows a table has. `name` is that of a table of the schema.
pub async fn count(connection: &mut SqliteConnection, name: &str) -> Result<u64, StorageError> {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM \"{name}\""));
    let count: i64 = sqlx::query_scalar(sql).fetch_one(connection).await?;
    Ok(count.unsigned_abs())
}

/// How a database compares with this engine. The rows of pending migrations are not counted.
pub async fn status(connection: &mut SqliteConnection) -> Result<SchemaStatus, StorageError> {
    let (migrator, applied) = (migrator(), applied(connection).await?);
    let is_too_new = SchemaStatus::has_unknown(&migrator, &applied);
    Ok(SchemaStatus { is_too_new, ..SchemaStatus::compare(&migrator, &applied) })
}

/// How the database in `data_dir` compares with this engine. An engine may run on it; nothing is changed.
///
/// # Errors
/// [`StorageError::Missing`] if there is no database; else the error of the database.
pub async fn status_of(data_dir: &Path) -> Result<SchemaStatus, StorageError> {
    let mut connection = read_only::open(data_dir).await?;
    let mut status = status(&mut connection).await?;
    for migration in &mut status.pending {
        for table in &migration.tables {
            // It may be one that an earlier pending migration makes.
            if has_table(&mut connection, table).await? {
                migration.rows += count(&mut connection, table).await?;
            }
        }
    }
    connection.close().await?;
    Ok(status)
}

/// Brings the schema up to date, in one transaction for each migration.
///
/// # Errors
/// [`StorageError::Newer`] if a newer engine wrote the database; else the error of a migration.
pub async fn migrate(connection: &mut SqliteConnection) -> Result<(), StorageError> {
    let (migrator, newest) = (migrator(), newest());
    let version = version(connection).await?;
    let is_upgrade = version > 0 && version < newest;
    if is_upgrade {
        tracing::info!(from = version, to = newest, "migrating the database; a large one takes a while");
    }
    let began = clock::monotonic();
    migrator.run(&mut *connection).await?;
    if is_upgrade {
        let took_ms = u64::try_from(clock::elapsed(began).as_millis()).unwrap_or(u64::MAX);
        tracing::info!(took_ms, "the database is migrated");
    }
    Ok(())
}
