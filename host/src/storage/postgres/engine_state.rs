//! What the engine must know of its own past: values by name in the table `engine_state`.

use sqlx_postgres::PgExecutor;

use crate::storage::StorageError;

/// Whether the table is there: an engine has used the database.
pub async fn exists(executor: impl PgExecutor<'_>) -> Result<bool, StorageError> {
    let sql = "SELECT to_regclass('engine_state') IS NOT NULL";
    Ok(sqlx::query_scalar(sql).fetch_one(executor).await?)
}

/// The value of `name`, if there is one.
pub async fn get(executor: impl PgExecutor<'_>, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
    let query = sqlx::query_scalar("SELECT value FROM engine_state WHERE name = $1").bind(name);
    Ok(query.fetch_optional(executor).await?)
}

/// Sets the value of `name`.
pub async fn set(executor: impl PgExecutor<'_>, name: &str, value: &[u8]) -> Result<(), StorageError> {
    let sql = "INSERT INTO engine_state (name, value) VALUES ($1, $2) \
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    sqlx::query(sql).bind(name).bind(value).execute(executor).await?;
    Ok(())
}
