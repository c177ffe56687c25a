//! Whether the encryption keys are those that the database's secrets are sealed with.

use sqlx::Connection as _;
use sqlx_postgres::PgConnection;

use super::engine_state;
use crate::storage::StorageError;
use crate::storage::sealing::{self, KEY_CHECK, KEY_CHECK_CURRENT, RETAINED_KEYS};
use crate::vault::Vault;

/// Refuses keys that do not open what was sealed, before anything is sealed with them. Loads the retained signing keys.
/// Several nodes may start at once.
///
/// # Errors
/// [`StorageError::WrongKey`], [`StorageError::NewerKey`], [`StorageError::Moving`]; else the error of the database.
pub async fn check_key(connection: &mut PgConnection, vault: &Vault) -> Result<(), StorageError> {
    let mut transaction = connection.begin().await?;
    lock(&mut transaction).await?;
    let sql = "INSERT INTO engine_state (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    let query = sqlx::query(sql).bind(KEY_CHECK).bind(sealing::key_check(vault));
    query.execute(&mut *transaction).await?;
    let (first, others) = checks(&mut transaction).await?;
    if let Some((name, sealed)) = sealing::check(&first, &others, vault)? {
        engine_state::set(&mut *transaction, &name, &sealed).await?;
    }
    if let Some(sealed) = engine_state::get(&mut *transaction, RETAINED_KEYS).await? {
        sealing::retain(&sealed, vault)?;
    }
    transaction.commit().await?;
    Ok(())
}

/// The key checks, for [`sealing::check`].
pub async fn checks(connection: &mut PgConnection) -> Result<(Vec<u8>, Vec<Vec<u8>>), StorageError> {
    let first = engine_state::get(&mut *connection, KEY_CHECK).await?.unwrap_or_default();
    let query = sqlx::query_scalar("SELECT value FROM engine_state WHERE starts_with(name, $1)");
    let others = query.bind(KEY_CHECK_CURRENT).fetch_all(connection).await?;
    Ok((first, others))
}

/// Everything is sealed with the current key: no other is needed any more.
///
/// # Errors
/// The error of the database.
pub async fn replace_checks(connection: &mut PgConnection, vault: &Vault) -> Result<(), StorageError> {
    let mut transaction = connection.begin().await?;
    lock(&mut transaction).await?;
    engine_state::set(&mut *transaction, KEY_CHECK, &sealing::key_check(vault)).await?;
    let query = sqlx::query("DELETE FROM engine_state WHERE starts_with(name, $1)").bind(KEY_CHECK_CURRENT);
    query.execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// Excludes other changes of key checks until the transaction ends.
async fn lock(connection: &mut PgConnection) -> Result<(), StorageError> {
    sqlx::query("SELECT pg_advisory_xact_lock(1213681235, 3)").execute(connection).await?;
    Ok(())
}
