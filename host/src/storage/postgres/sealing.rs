//! Whether the encryption key is the one that the database's secrets are sealed with.

use sqlx_postgres::PgPool;

use super::engine_state;
use crate::storage::StorageError;
use crate::vault::Vault;

/// In `engine_state`: a known text, sealed. It tells a wrong key from a damaged row.
const KEY_CHECK: &str = "key-check";

/// Refuses a key that does not open what was sealed, before anything is sealed with it. Several nodes may start at once.
///
/// # Errors
/// [`StorageError::WrongKey`]; else the error of the database.
pub async fn check_key(pool: &PgPool, vault: &Vault) -> Result<(), StorageError> {
    let sql = "INSERT INTO engine_state (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    let check = vault.seal(KEY_CHECK, KEY_CHECK.as_bytes());
    sqlx::query(sql).bind(KEY_CHECK).bind(check).execute(pool).await?;
    let sealed = engine_state::get(pool, KEY_CHECK).await?.unwrap_or_default();
    vault.unseal(KEY_CHECK, &sealed).map(drop).map_err(|_| StorageError::WrongKey)
}
