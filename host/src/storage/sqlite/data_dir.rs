//! The data directory: one process at a time, readable by its owner alone, and never replaced by an empty one by mistake.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::private_file::{self, COMPILED_DIR, ENCRYPTION_KEY_FILE, OPERATOR_KEY_FILE};
use crate::storage::StorageError;

/// The database's file in the data directory.
pub const DATABASE_FILE: &str = "hookwright.db";
/// The file whose lock shows that the data directory is in use.
pub const LOCK_FILE: &str = "hookwright.lock";
/// Files that exist only after a database did. In a new directory the database is made first, so that a crash does not look
/// like a loss.
const SIGNS: [&str; 3] = [LOCK_FILE, ENCRYPTION_KEY_FILE, OPERATOR_KEY_FILE];
/// The database's write-ahead log.
pub const LOG_FILE: &str = "hookwright.db-wal";
/// The index of the log, which SQLite makes anew from it.
const LOG_INDEX_FILE: &str = "hookwright.db-shm";
/// What a log is renamed to whose database is gone.
const LOST_SUFFIX: &str = "lost";

/// What happens if a database is missing, although other files show that there was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfLost {
    /// [`StorageError::Missing`]: a new database would hide the loss.
    Refuse,
    /// A new database is made beside them, with the same keys. What is left of the old one is renamed.
    BeginAnew,
}

/// A data directory that this process uses until the value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The directory itself, and the lock file; the latter comes last.
    locks: Vec<File>,
}

impl DataDir {
    /// Locks the directory; creates it if it is missing.
    ///
    /// # Errors
    /// [`StorageError::InUse`] if another process has it; [`StorageError::Missing`] if its database is gone; else the error
    /// of the file system.
    pub fn take(path: &Path, if_lost: IfLost) -> Result<Self, StorageError> {
        private_file::create_dir(path)?;
        let mut dir = Self { path: path.to_owned(), locks: Vec::new() };
        // Not every file system locks directories; the lock file serves there.
        if let Ok(file) = File::open(path) {
            match file.try_lock() {
                Ok(()) => dir.locks.push(file),
                Err(TryLockError::WouldBlock) => return Err(dir.in_use()),
                Err(TryLockError::Error(error)) => {
                    tracing::debug!(%error, "the data directory itself cannot be locked");
                }
            }
        }
        if path.join(LOCK_FILE).exists() {
            dir.take_lock_file()?;
        }
        if let Some(left) = dir.left_of_lost() {
            match if_lost {
                IfLost::Refuse => return Err(dir.lost(&left)),
                IfLost::BeginAnew => dir.rename_log(&left)?,
            }
        }
        dir.tighten();
        Ok(dir)
    }

    /// Locks a directory with a database, and changes nothing in it.
    ///
    /// # Errors
    /// As [`Self::take`]; [`StorageError::Missing`] if it has no database.
    pub fn take_to_read(path: &Path) -> Result<Self, StorageError> {
        let mut dir = Self { path: path.to_owned(), locks: Vec::new() };
        if !path.join(DATABASE_FILE).metadata().is_ok_and(|about| about.len() > 0) {
            let what = format!("there is no {DATABASE_FILE} in {}", path.display());
            return Err(StorageError::Missing(what));
        }
        for file in [path, &path.join(LOCK_FILE)] {
            let Ok(file) = File::open(file) else { continue };
            match file.try_lock() {
                Ok(()) => dir.locks.push(file),
                Err(TryLockError::WouldBlock) => return Err(dir.in_use()),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        Ok(dir)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the write-ahead log holds anything.
    pub fn has_log(&self) -> bool {
        self.path.join(LOG_FILE).metadata().is_ok_and(|about| about.len() > 0)
    }

    /// The database's file; created for its owner alone if it is missing.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn database(&self) -> Result<PathBuf, StorageError> {
        let path = self.path.join(DATABASE_FILE);
        // SQLite gives its other files the same permissions as this one.
        private_file::append(&path)?;
        Ok(path)
    }

    /// Creates the lock file, which shows from now on that there is a database.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn has_database(&mut self) -> Result<(), StorageError> {
        if self.path.join(LOCK_FILE).exists() {
            return Ok(());
        }
        self.take_lock_file()
    }

    fn take_lock_file(&mut self) -> Result<(), StorageError> {
        let lock = private_file::append(&self.path.join(LOCK_FILE))?;
        match lock.try_lock() {
            Ok(()) => self.locks.push(lock),
            Err(TryLockError::WouldBlock) => return Err(self.in_use()),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(())
    }

    fn in_use(&self) -> StorageError {
        StorageError::InUse(format!("the data directory {}", self.path.display()))
    }

    /// The files that show that there was a database; none if it is there, or never was.
    fn left_of_lost(&self) -> Option<Vec<&'static str>> {
        let bytes = |name: &str| self.path.join(name).metadata().map_or(0, |about| about.len());
        if bytes(DATABASE_FILE) > 0 {
            return None;
        }
        let mut left = SIGNS.iter().copied().filter(|name| self.path.join(name).exists()).collect::<Vec<_>>();
        if bytes(LOG_FILE) > 0 {
            left.push(LOG_FILE);
        }
        Some(left).filter(|left| !left.is_empty())
    }

    /// A directory whose database is gone is not a new one: a new database would hide the loss.
    fn lost(&self, left: &[&str]) -> StorageError {
        let what = if self.path.join(DATABASE_FILE).exists() { "empty" } else { "missing" };
        StorageError::Missing(format!(
            "{DATABASE_FILE} is {what} in {}, but there was a database: {} is still there. Mount or put back what is missing, \
             or run `hookwright restore` into an empty directory; to begin with an empty database here, start once with \
             `serve --init`",
            self.path.display(),
            left.join(", ")
        ))
    }

    /// SQLite would delete a log, or apply it to a database that it does not belong to: events may be recovered from it.
    fn rename_log(&self, left: &[&str]) -> Result<(), StorageError> {
        for name in [LOG_FILE, LOG_INDEX_FILE] {
            let log = self.path.join(name);
            if !log.exists() {
                continue;
            }
            let names = (1..).map(|number| self.path.join(format!("{name}.{LOST_SUFFIX}-{number}")));
            if let Some(free) = names.into_iter().find(|path| !path.exists()) {
                std::fs::rename(&log, &free)?;
                tracing::warn!(file = %free.display(), "a log without its database was renamed");
            }
        }
        let left = left.join(", ");
        tracing::warn!(left, "the database is missing: beginning with an empty one, because of --init");
        Ok(())
    }

    /// Removes the permissions of others on files of an earlier engine, or of a restored copy.
    fn tighten(&self) {
        let Ok(entries) = self.path.read_dir() else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_ours = |name: &OsStr| {
                let text = name.to_string_lossy();
                text.starts_with("hookwright.") || SIGNS.contains(&text.as_ref())
            };
            if is_ours(&name) {
                private_file::tighten(&entry.path());
            } else if name == COMPILED_DIR {
                private_file::tighten(&entry.path());
                let inside = entry.path().read_dir().into_iter().flatten().flatten();
                inside.for_each(|file| private_file::tighten(&file.path()));
            }
        }
    }
}
