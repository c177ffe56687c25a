//! What all stores on one SQLite database have in common.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex as StdMutex};

use sqlx::sqlite::SqlitePool;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};

use super::connection::WriteConnection;
use super::health::WriteHealth;
use super::known_names::SharedNames;
use super::messages::{Job, Message};
use super::rowless::SharedRowless;
use crate::domain::TenantId;
use crate::storage::{NodeReport, StorageError};
use crate::tenant_limiter::{TenantLimiter, TenantPermit};
use crate::vault::Vault;

/// How many reads of one tenant run or wait, at most.
const MAX_READS: usize = 256;

/// The stores: each trait of storage is implemented in a file of its own.
#[derive(Debug, Clone)]
pub struct SqliteStores {
    /// The queue of the writer task.
    pub queue: mpsc::Sender<Message>,
    pub writer: Arc<Mutex<WriteConnection>>,
    pub rowless: Arc<SharedRowless>,
    pub names: Arc<SharedNames>,
    /// For what clients ask.
    pub readers: SqlitePool,
    /// Limits how many of the readers one tenant uses.
    pub reads: Arc<TenantLimiter>,
    /// For claims, the backlog and health: lists that clients ask for must not delay deliveries.
    pub feeding: SqlitePool,
    pub vault: Arc<Vault>,
    pub health: Arc<WriteHealth>,
    /// What deletions free is overwritten with zeros.
    pub secure_delete: bool,
    /// The write-ahead log has content that was erased.
    pub log_has_erased: Arc<AtomicBool>,
    /// What the node last said of itself.
    pub last_report: Arc<StdMutex<Option<NodeReport>>>,
}

impl SqliteStores {
    /// Waits until another read of `tenant` may run. However many it sends, others find readers.
    ///
    /// # Errors
    /// [`StorageError::TooManyReads`] if too many of them wait already.
    pub async fn permit_read(&self, tenant: TenantId) -> Result<TenantPermit, StorageError> {
        self.reads.acquire_unless_full(tenant, MAX_READS).await.ok_or(StorageError::TooManyReads)
    }

    /// The write connection, in order of arrival, beside the writer task.
    pub async fn writer(&self) -> MutexGuard<'_, WriteConnection> {
        self.writer.lock().await
    }

    /// Submits `work` to the writer, and waits for its commit.
    ///
    /// # Errors
    /// [`StorageError::Closed`] if the writer has ended; else why the work could not be committed.
    pub async fn submit<Work, Answer>(
        &self,
        kind: fn(Job<Work, Answer>) -> Message,
        work: Work,
    ) -> Result<Answer, StorageError> {
        let (reply, answer) = oneshot::channel();
        let job = Job { work, reply, runtime: Handle::current() };
        self.queue.send(kind(job)).await.map_err(|_| StorageError::Closed)?;
        answer.await.map_err(|_| StorageError::Closed)?
    }
}
