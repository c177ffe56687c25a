//! The schema: its migrations, and whether this engine can work with what newer engines made of it.
//!
//! Nodes are upgraded one after the other, so an engine works with the schema of the next version, too: a migration only
//! adds. What is no longer used is removed by a later migration, which notes in `engine_state` the migration that an engine
//! must know. An engine that does not know it refuses to start.

use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use sqlx_postgres::PgConnection;

use super::{connect, engine_state};
use crate::storage::columns::damaged;
use crate::storage::{SchemaStatus, StorageError};

/// In `engine_state`: the version of a migration, in decimal digits. An engine without it cannot use the database.
pub const REQUIRED_MIGRATION: &str = "required-migration";

/// Brings the schema up to date, in one transaction: no lock outlives it behind a pooler of connections.
///
/// # Errors
/// [`StorageError::Newer`] if the engine is too old for the schema; else the error of a migration.
pub async fn migrate(connection: &mut PgConnection) -> Result<(), StorageError> {
    let migrator = migrator();
    let mut transaction = connection.begin().await?;
    // Otherwise each start notices that the table of the migrations exists.
    sqlx::query("SET LOCAL client_min_messages = warning").execute(&mut *transaction).await?;
    // Several nodes may start at once, and one that migrates may take long.
    sqlx::query("SET LOCAL lock_timeout = 0").execute(&mut *transaction).await?;
    sqlx::query("SELECT pg_advisory_xact_lock(1213681235, 4)").execute(&mut *transaction).await?;
    refuse_if_too_old(&mut transaction, &migrator).await?;
    // Rather fail than wait for a table behind a long query: all other nodes would wait behind this one.
    sqlx::query("SET LOCAL lock_timeout = '10s'").execute(&mut *transaction).await?;
    // An index of a large table takes longer than the role's statements may.
    sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
    migrator.run_direct(None, &mut *transaction, false).await?;
    transaction.commit().await?;
    Ok(())
}

/// The newest migration of this engine.
pub fn newest() -> i64 {
    migrator().iter().map(|migration| migration.version).max().unwrap_or(0)
}

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("migrations/postgres");
    migrator.set_locking(false).set_ignore_missing(true);
    migrator
}

/// How a database compares with this engine. The rows of pending migrations are not counted.
pub async fn status(connection: &mut PgConnection) -> Result<SchemaStatus, StorageError> {
    let migrator = migrator();
    let known = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    let mut applied: Vec<(i64, Vec<u8>)> = Vec::new();
    if sqlx::query_scalar(known).fetch_one(&mut *connection).await? {
        let sql = "SELECT version, checksum FROM _sqlx_migrations ORDER BY version";
        applied = sqlx::query_as(sql).fetch_all(&mut *connection).await?;
    }
    let is_too_new = match refuse_if_too_old(connection, &migrator).await {
        Err(StorageError::Newer(_)) => true,
        checked => checked.map(|()| false)?,
    };
    Ok(SchemaStatus { is_too_new, ..SchemaStatus::compare(&migrator, &applied) })
}

/// How the database at `url` compares with this engine. Nodes may run on it; nothing is changed.
///
/// # Errors
/// The error of the database.
pub async fn status_of(url: &str) -> Result<SchemaStatus, StorageError> {
    let mut connection = connect::connect(url, "hookwright migrate --check").await?;
    let mut status = status(&mut connection).await?;
    for migration in &mut status.pending {
        for table in &migration.tables {
            // PostgreSQL's own estimate, with that of partitions; counting would read everything.
            let sql = "SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint FROM pg_class c WHERE c.oid IN \
                (SELECT to_regclass($1)::oid UNION SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass($1))";
            let rows: i64 = sqlx::query_scalar(sql).bind(table).fetch_one(&mut connection).await?;
            migration.rows += rows.unsigned_abs();
        }
    }
    connection.close().await?;
    Ok(status)
}

async fn refuse_if_too_old(connection: &mut PgConnection, migrator: &Migrator) -> Result<(), StorageError> {
    if !engine_state::exists(&mut *connection).await? {
        return Ok(());
    }
    let Some(value) = engine_state::get(&mut *connection, REQUIRED_MIGRATION).await? else { return Ok(()) };
    let required =
        String::from_utf8_lossy(&value).trim().parse().map_err(|error| damaged("schema", error))?;
    if migrator.version_exists(required) { Ok(()) } else { Err(StorageError::Newer(required)) }
}
