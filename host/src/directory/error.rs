//! Why the directory could not do what it was asked.

use crate::domain::{PipelinePlace, PluginRef};
use crate::storage::StorageError;

/// Why the directory could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A name or number is taken.
    #[error("{0}")]
    Taken(String),
    /// Something still uses it.
    #[error("{0}")]
    InUse(String),
    /// The tenant has no project with this number.
    #[error("there is no project {0}; make it first, by POST /api/v3/projects")]
    NoProject(i64),
    /// There is no such plugin, or there was one until just now.
    #[error("there is no plugin `{plugin}`")]
    NoPlugin {
        /// In which of the hook's pipelines.
        place: PipelinePlace,
        /// The place of the step that wants it.
        step: usize,
        /// What it is called there.
        plugin: PluginRef,
    },
    /// A limit is reached.
    #[error("{0}")]
    TooMany(String),
    /// Too many changes of the tenant run or wait.
    #[error("too many changes of the same tenant are under way")]
    TooManyChanges,
    /// The tenant has changed too much of late.
    #[error(
        "the tenant may make {limit} {what} in a day, and has made them; the next one is allowed in {wait_s} seconds"
    )]
    TooManyInADay {
        /// Of what.
        what: &'static str,
        /// How many it may make.
        limit: u64,
        /// How long to wait.
        wait_s: u64,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(StorageError),
}

impl From<StorageError> for DirectoryError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Taken { what } => Self::Taken(format!("{what} is taken")),
            other => Self::Storage(other),
        }
    }
}
