//! Errors of sqlx as those of storage.

use sqlx::migrate::MigrateError;
use sqlx_postgres::PgDatabaseError;

use super::error::StorageError;
use super::postgres::meaning;

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolClosed) {
            return Self::Closed;
        }
        let postgres =
            error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        postgres.and_then(meaning).unwrap_or_else(|| Self::Database(Box::new(error)))
    }
}

impl From<MigrateError> for StorageError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Self::Newer(version),
            error => Self::Migrate(Box::new(error)),
        }
    }
}
