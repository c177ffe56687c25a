//! What errors of PostgreSQL mean. Codes are SQLSTATEs; the first two characters are their class.

use std::io;

use sqlx_postgres::PgDatabaseError;

use crate::storage::StorageError;

/// The SQLSTATE of a statement that waited too long for a lock.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// [`StorageError::Taken`] if a value that must be unique exists already; `what` gets the constraint's name.
pub fn taken(error: sqlx::Error, what: impl FnOnce(&str) -> String) -> StorageError {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => {
            StorageError::Taken { what: what(database.constraint().unwrap_or_default()) }
        }
        _ => error.into(),
    }
}

/// What an error means for who asked, if it is not only "later".
pub fn meaning(error: &PgDatabaseError) -> Option<StorageError> {
    let said = || format!("PostgreSQL says: {}", error.message());
    match error.code() {
        // disk_full
        "53100" => Some(StorageError::NoSpace),
        // io_error, data_corrupted, index_corrupted; read_only_sql_transaction: after a failover, a standby answered.
        "58030" | "XX001" | "XX002" | "25006" => Some(StorageError::CannotWrite(said())),
        // character_not_in_repertoire, untranslatable_character: a text has the character U+0000.
        "22021" | "22P05" => Some(StorageError::Unstorable),
        // duplicate_prepared_statement, invalid_sql_statement_name
        "42P05" | "26000" => Some(StorageError::Pooler),
        _ => None,
    }
}

/// Whether the server can do nothing at the moment, or nothing for this node.
pub fn is_outage(error: &PgDatabaseError) -> bool {
    // Classes: 08 is a broken connection, 40 a transaction that others made fail, 53 a lack of resources, 57 an operator's
    // intervention, 58 a failure of the system, HW a node that has yet to join again.
    let code = error.code();
    code == LOCK_NOT_AVAILABLE
        || ["08", "40", "53", "57", "58", "HW"].iter().any(|class| code.starts_with(class))
}

/// Whether a statement waited too long for a lock.
pub fn is_locked(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some(LOCK_NOT_AVAILABLE)
}

/// How often a transaction is tried that the database gave up because of others.
const MAX_TRIES: usize = 3;

/// Runs a transaction, and again if the database gave it up because of others.
pub async fn repeat_on_conflict<T, F: Future<Output = Result<T, StorageError>>>(
    transaction: impl Fn() -> F,
) -> Result<T, StorageError> {
    let mut done = transaction().await;
    for _ in 1..MAX_TRIES {
        if done.as_ref().is_err_and(is_conflict) {
            done = transaction().await;
        }
    }
    done
}

/// Whether the transaction may succeed if it is simply repeated: `serialization_failure` and `deadlock_detected`.
fn is_conflict(error: &StorageError) -> bool {
    matches!(code(error).as_deref(), Some("40001" | "40P01"))
}

/// Whether the database refused what was written, which it will refuse again.
pub fn is_refused(error: &StorageError) -> bool {
    // Classes: 22 is data that does not fit, 23 a constraint.
    matches!(error, StorageError::Unstorable)
        || error.is_damaged()
        || code(error).is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// Whether the server ended the connection, or cannot be reached: other connections are no better.
pub fn is_disconnected(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // Class 08 is a broken connection. admin_shutdown, crash_shutdown, cannot_connect_now. A standby that was the
        // primary a moment ago is read-only: the name of the server may lead to another one now.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            code.starts_with("08") || matches!(&*code, "57P01" | "57P02" | "57P03" | "25006")
        }),
        _ => false,
    }
}

/// Whether a statement that is a transaction of its own has changed nothing for sure: it was refused, or never sent.
pub fn has_changed_nothing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
        sqlx::Error::Io(error) => {
            matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotConnected)
        }
        // A pooler sends such an error, too, if it loses the server in the middle of a commit.
        sqlx::Error::Database(_) => !is_disconnected(error),
        _ => false,
    }
}

fn code(error: &StorageError) -> Option<String> {
    let StorageError::Database(error) = error else { return None };
    let error = error.downcast_ref::<sqlx::Error>()?.as_database_error()?;
    error.code().map(|code| code.into_owned())
}
