//! Why storage could not do what it was asked.

use std::fmt::Display;
use std::sync::Arc;

use super::membership::FENCE_AFTER;

/// The error of a database driver, of whatever type it is.
pub type DriverError = Box<dyn std::error::Error + Send + Sync>;

/// Why storage could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Something with this name or number exists already.
    #[error("{what} is taken")]
    Taken {
        /// What is taken, in words: `the name "demo"`.
        what: String,
    },
    /// A row cannot be read back.
    #[error("stored {what} is damaged: {detail}")]
    Damaged {
        /// The kind of row.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// Another process uses the data directory or the database.
    #[error("{0} is in use by another process")]
    InUse(String),
    /// The database failed.
    #[error("database")]
    Database(#[source] DriverError),
    /// A newer engine migrated the database.
    #[error(
        "the database was written by a newer engine (schema version {0}): start that engine, or one that is newer still"
    )]
    Newer(i64),
    /// The database is encrypted with another key.
    #[error(
        "the encryption key is not the one that the database is encrypted with: set encryption_key to that key again; if \
         the key was changed, give the old one in encryption_key_previous"
    )]
    WrongKey,
    /// Some of the database is encrypted with a key that came after the given one.
    #[error(
        "some of the database is encrypted with a newer key than the one that is given: set encryption_key to the newer \
         key again and give the old one in encryption_key_previous, or the other way round; `hookwright rekey` with both \
         encrypts everything with the one in encryption_key, after which the other is not needed"
    )]
    NewerKey,
    /// `hookwright migrate` is moving an installation into the database, or was interrupted.
    #[error(
        "`hookwright migrate` is moving an installation into this database, or was interrupted: wait for it, or run it \
         again to its end"
    )]
    Moving,
    /// What must be moved into another database is not as this engine leaves it.
    #[error(
        "{0}: start this version of the engine on the data directory once, stop it, and run the command again"
    )]
    StartOnce(&'static str),
    /// Nothing was moved into this database, for this reason.
    #[error("{0}")]
    CannotMove(String),
    /// While the database was encrypted again, something went on to use an older key.
    #[error(
        "a node still encrypts with a former key: give each node the new encryption_key, and the old one in \
         encryption_key_previous; then run the command again"
    )]
    OldKeyInUse,
    /// The database is missing or empty, although other files show that there was one.
    #[error("{0}")]
    Missing(String),
    /// A text contains a character that the database cannot store.
    #[error("the character U+0000 cannot be stored")]
    Unstorable,
    /// A pooler of connections has given statements of one connection to another.
    #[error(
        "the pooler in front of PostgreSQL does not keep prepared statements: use PgBouncer 1.21 or newer with \
         max_prepared_statements = 200, pooling by session, or connections without a pooler"
    )]
    Pooler,
    /// The disk has too little space for new data.
    #[error("the disk is full")]
    NoSpace,
    /// The last commit failed because of the disk.
    #[error("the database cannot be written: {0}")]
    CannotWrite(String),
    /// A migration failed.
    #[error("migration")]
    Migrate(#[source] DriverError),
    /// The file system failed.
    #[error("file system")]
    Io(#[from] std::io::Error),
    /// The transaction that held this call and others failed; nothing of the call is stored.
    #[error("the transaction was rolled back")]
    RolledBack(#[source] Arc<StorageError>),
    /// Too many reads of one tenant run or wait.
    #[error("too many reads of the same tenant are under way")]
    TooManyReads,
    /// The node cannot show the others that it is alive.
    #[error(
        "this node has not reached the database for {} seconds: it accepts nothing until it does, because other nodes take \
         its work over",
        FENCE_AFTER.as_secs()
    )]
    Fenced,
    /// The engine is shutting down.
    #[error("storage is closed")]
    Closed,
}

impl StorageError {
    /// This error for each of `count` parts of one call.
    #[must_use]
    pub fn for_each(self, count: usize) -> Vec<Self> {
        if count == 1 {
            return vec![self];
        }
        let error = Arc::new(self);
        (0..count).map(|_| Self::RolledBack(Arc::clone(&error))).collect()
    }

    /// The same, which also names the row if it is damaged: `id` as the API shows it, `number` as the database has it.
    pub(super) fn in_row(self, table: &'static str, id: impl Display, number: i64) -> Self {
        match self {
            Self::Damaged { what, detail } => {
                Self::Damaged { what, detail: format!("{detail}; row {id} ({number}) of {table}") }
            }
            other => other,
        }
    }

    /// Whether a row is damaged: of this call, or of one that was to be committed with it.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::RolledBack(error) => error.is_damaged(),
            _ => false,
        }
    }
}
