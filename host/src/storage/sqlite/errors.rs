//! What errors of SQLite mean.

use sqlx::error::{DatabaseError, ErrorKind};

use crate::storage::error::StorageError;

/// SQLite's code for a full disk.
pub const FULL: u32 = 13;

fn sqlx_error(error: &StorageError) -> Option<&sqlx::Error> {
    let StorageError::Database(error) = error else { return None };
    error.downcast_ref()
}

fn database_error(error: &StorageError) -> Option<&dyn DatabaseError> {
    sqlx_error(error)?.as_database_error()
}

/// SQLite's code without its extended part.
fn primary_code(error: &StorageError) -> Option<u32> {
    Some(database_error(error)?.code()?.parse::<u32>().ok()? & 0xff)
}

/// Whether a row broke a constraint of its table.
pub fn is_constraint(error: &StorageError) -> bool {
    let kind = database_error(error).map(DatabaseError::kind);
    matches!(kind, Some(ErrorKind::UniqueViolation | ErrorKind::NotNullViolation | ErrorKind::CheckViolation))
}

/// Whether another program holds the lock of the database: `BUSY`.
pub fn is_busy(error: &StorageError) -> bool {
    primary_code(error) == Some(5)
}

/// The code of a failure that lies with the disk: `READONLY`, `IOERR`, `CORRUPT`, `FULL`, `CANTOPEN`, `NOTADB`.
pub fn disk_failure(error: &StorageError) -> Option<u32> {
    primary_code(error).filter(|code| matches!(*code, 8 | 10 | 11 | FULL | 14 | 26))
}

/// Whether the error of this code is one of the disk or of memory: `BUSY`, `LOCKED`, `NOMEM`, `READONLY`, `IOERR`, `FULL`,
/// `CANTOPEN`.
pub fn is_outage(code: &str) -> bool {
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 7 | 8 | 10 | FULL | 14))
}

/// Whether the connection cannot be trusted after this error: `IOERR`, `CORRUPT`, `CANTOPEN`, `NOTADB`, or its thread ended.
pub fn is_broken(error: &StorageError) -> bool {
    matches!(primary_code(error), Some(10 | 11 | 14 | 26))
        || matches!(sqlx_error(error), Some(sqlx::Error::WorkerCrashed | sqlx::Error::Io(_)))
}

/// [`StorageError::Taken`] if a value that must be unique exists already; `what` gets the column, as `table.column`.
pub fn taken(error: sqlx::Error, what: impl FnOnce(&str) -> String) -> StorageError {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => {
            // SQLite tells it only in this text: "UNIQUE constraint failed: tenants.name".
            let column = database.message().rsplit(": ").next().unwrap_or_default();
            StorageError::Taken { what: what(column) }
        }
        _ => error.into(),
    }
}
