//! Figures of the database as a whole, for monitoring.

use async_trait::async_trait;

use super::error::StorageError;

/// See the module's head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StorageFigures {
    /// Deliveries with a row that wait for their first attempt.
    pub pending: u64,
    /// Deliveries that wait for a retry.
    pub waiting: u64,
    /// Jobs that make progress.
    pub running_jobs: u64,
    /// Jobs that wait until they are resumed.
    pub paused_jobs: u64,
    /// The size of the database in bytes, without its log.
    pub database_bytes: u64,
    /// The size of its write-ahead log in bytes, if that is a file of this node.
    pub log_bytes: Option<u64>,
}

/// Reads figures.
#[async_trait]
pub trait FigureStore: Send + Sync {
    /// The figures now. Counts unfinished deliveries one by one, so ask for it now and then.
    async fn figures(&self) -> Result<StorageFigures, StorageError>;

    /// The newest migration of this engine.
    fn schema(&self) -> i64;
}
