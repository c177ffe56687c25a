//! The database as it is at one moment, for a command beside a running engine.
//!
//! A snapshot is a read transaction. As long as it is open, SQLite does not overwrite what it needs: the engine goes on, and
//! its write-ahead log grows by what it writes meanwhile. When the snapshot ends, somebody has to copy that log into the
//! database. The engine would do it in its next commit, which acceptance would wait for; so the command does it.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::data_dir::LOG_FILE;
use super::node_status::node_of;
use super::{connection, read_only};
use crate::storage::{NodeState, StorageError};

/// A log with at most so many pages is left to the engine: it copies as many after each of its commits.
const FEW_PAGES: i64 = 4_000;
/// How often the log is copied, at most: the engine writes on, but less each time.
const MAX_ROUNDS: usize = 16;

/// See the module's documentation.
#[derive(Debug)]
pub struct Snapshot {
    reader: SqliteConnection,
    /// Copies the log at the end; none if no engine runs.
    copier: Option<SqliteConnection>,
    data_dir: PathBuf,
}

impl Snapshot {
    /// Takes a snapshot of the database in `data_dir`: it has everything that was committed before.
    ///
    /// # Errors
    /// [`StorageError::Missing`] if there is no database; else the error of the database.
    pub async fn take(data_dir: &Path) -> Result<Self, StorageError> {
        let file = SqliteConnectOptions::new().filename(read_only::database_in(data_dir)?);
        // Before the snapshot, so that there is no delay after it.
        let is_running = node_of(data_dir, String::new()).is_ok_and(|node| node.state == NodeState::Alive);
        let copier = match is_running {
            true => Some(connection::migration_options(file).create_if_missing(false).connect().await?),
            false => None,
        };
        let mut reader = read_only::open(data_dir).await?;
        sqlx::query("BEGIN").execute(&mut reader).await?;
        // SQLite takes the snapshot with the first read.
        sqlx::query("SELECT count(*) FROM sqlite_schema").fetch_one(&mut reader).await?;
        Ok(Self { reader, copier, data_dir: data_dir.to_owned() })
    }

    /// A connection that sees the snapshot.
    pub fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.reader
    }

    /// Whether an engine ran on the database when the snapshot was taken.
    pub fn is_online(&self) -> bool {
        self.copier.is_some()
    }

    /// The size of the write-ahead log, in bytes.
    pub fn log_bytes(&self) -> u64 {
        self.data_dir.join(LOG_FILE).metadata().map_or(0, |about| about.len())
    }

    /// Ends the snapshot.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn end(mut self) -> Result<(), StorageError> {
        sqlx::query("COMMIT").execute(&mut self.reader).await?;
        if let Some(mut copier) = self.copier {
            for _ in 0..MAX_ROUNDS {
                let sql = "PRAGMA wal_checkpoint(PASSIVE)";
                let (busy, pages, copied): (i64, i64, i64) =
                    sqlx::query_as(sql).fetch_one(&mut copier).await?;
                if busy != 0 || pages - copied <= FEW_PAGES {
                    break;
                }
            }
            copier.close().await?;
        }
        Ok(self.reader.close().await?)
    }
}
