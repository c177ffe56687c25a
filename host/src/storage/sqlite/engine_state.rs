//! What the engine must know of its own past: values by name in the table `engine_state`.

use sqlx::sqlite::SqliteConnection;

use crate::storage::StorageError;

/// The value of `name`, if there is one.
pub async fn get(connection: &mut SqliteConnection, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
    let query = sqlx::query_scalar("SELECT value FROM engine_state WHERE name = ?").bind(name);
    Ok(query.fetch_optional(connection).await?)
}

/// Sets the value of `name`.
pub async fn set(connection: &mut SqliteConnection, name: &str, value: &[u8]) -> Result<(), StorageError> {
    let sql = "INSERT INTO engine_state (name, value) VALUES (?, ?) \
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    sqlx::query(sql).bind(name).bind(value).execute(connection).await?;
    Ok(())
}

/// Removes the value of `name`, if there is one.
pub async fn remove(connection: &mut SqliteConnection, name: &str) -> Result<(), StorageError> {
    sqlx::query("DELETE FROM engine_state WHERE name = ?").bind(name).execute(connection).await?;
    Ok(())
}
