//! What errors of PostgreSQL mean.

use crate::storage::StorageError;

/// [`StorageError::Taken`] if a value that must be unique exists already; `what` gets the constraint's name.
pub fn taken(error: sqlx::Error, what: impl FnOnce(&str) -> String) -> StorageError {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => {
            StorageError::Taken { what: what(database.constraint().unwrap_or_default()) }
        }
        _ => error.into(),
    }
}
