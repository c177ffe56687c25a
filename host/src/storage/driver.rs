//! Errors of sqlx as those of storage.

use sqlx::migrate::MigrateError;
use sqlx_postgres::PgDatabaseError;

use super::error::StorageError;
use super::{postgres, sqlite};

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolClosed) {
            return Self::Closed;
        }
        let postgres =
            error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        postgres.and_then(postgres::meaning).unwrap_or_else(|| Self::Database(Box::new(error)))
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

impl StorageError {
    /// Whether the database cannot be used, whatever it is asked: the same may succeed later.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::NoSpace | Self::CannotWrite(_) | Self::Fenced | Self::Io(_) => true,
            Self::RolledBack(error) => error.is_outage(),
            Self::Database(error) => error.downcast_ref().is_some_and(is_outage),
            _ => false,
        }
    }
}

fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => postgres::is_outage(error),
            None => error.code().is_some_and(|code| sqlite::is_outage(&code)),
        },
        _ => false,
    }
}
