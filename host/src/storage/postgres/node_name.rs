//! The name by which a node finds its number again: it stays in the node's data directory.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::Path;

use crate::storage::StorageError;
use crate::{private_file, random};

/// The file in the data directory with the node's name.
const FILE: &str = "node-name";

/// The name of a node. As long as it exists, no other process has the same one.
#[derive(Debug)]
pub struct NodeName {
    name: String,
    /// The file, locked; `None` in tests.
    _lock: Option<File>,
}

impl NodeName {
    /// The name in `data_dir`, made up if there is none.
    ///
    /// # Errors
    /// [`StorageError::InUse`] if another process has it; else the error of the file system.
    pub fn take(data_dir: &Path) -> Result<Self, StorageError> {
        let path = data_dir.join(FILE);
        let mut file = private_file::append(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StorageError::InUse(format!("the data directory {}", data_dir.display())));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut name = String::new();
        File::open(&path)?.read_to_string(&mut name)?;
        let mut name = name.trim().to_owned();
        if name.is_empty() {
            name = hex::encode(random::secret_bytes::<16>());
            writeln!(file, "{name}")?;
            file.sync_all()?;
        }
        Ok(Self { name, _lock: Some(file) })
    }

    /// A name for a test.
    #[cfg(test)]
    pub fn of(name: &str) -> Self {
        Self { name: name.to_owned(), _lock: None }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}
