//! The open database, as the composition root uses it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::clock_steps;
use super::messages::Message;
use super::rows::{self, damaged};
use super::stores::SqliteStores;
use crate::domain::{EventKey, NodeNumber, UnixMillis};
use crate::storage::{Database, Membership, NotedClock, Storage, StorageError};

/// An open SQLite database.
#[derive(Debug)]
pub struct SqliteDatabase {
    pub(super) stores: Arc<SqliteStores>,
    pub(super) greatest_id: i64,
}

impl SqliteDatabase {
    /// The stores that the rest of the engine works with.
    #[must_use]
    pub fn stores(&self) -> Storage {
        Storage::of(&self.stores)
    }
}

#[async_trait]
impl Database for SqliteDatabase {
    fn stores(&self) -> Storage {
        self.stores()
    }

    /// Always the same node: one process at a time has the database open.
    async fn node(&self) -> Result<NodeNumber, StorageError> {
        let query = sqlx::query_scalar("SELECT number FROM nodes ORDER BY number LIMIT 1");
        let number: i64 = query.fetch_one(&self.stores.readers).await?;
        u16::try_from(number).map(NodeNumber).map_err(|error| damaged("node", error))
    }

    fn greatest_id(&self) -> i64 {
        self.greatest_id
    }

    async fn greatest_id_before(&self, end: UnixMillis) -> Result<i64, StorageError> {
        let mut reader = self.stores.readers.acquire().await?;
        rows::greatest_id(&mut reader, EventKey::first_at(end).0).await
    }

    async fn noted_clock(&self) -> Result<NotedClock, StorageError> {
        let mut reader = self.stores.readers.acquire().await?;
        clock_steps::noted(&mut reader).await
    }

    async fn note_clock(
        &self,
        now: UnixMillis,
        trusted: UnixMillis,
        ahead_for: Duration,
    ) -> Result<(), StorageError> {
        let mut writer = self.stores.writer().await;
        let noted = clock_steps::note(writer.begin().await?, now, trusted, ahead_for).await;
        writer.finish(noted).await
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn membership(&self) -> Arc<Membership> {
        Membership::alone(NodeNumber(0))
    }

    async fn became_due(&self) {
        std::future::pending::<()>().await;
    }

    async fn ended(&self) {
        self.stores.queue.closed().await;
    }

    /// Also copies the write-ahead log into the database, and releases the data directory.
    async fn close(&self) -> Result<(), StorageError> {
        let (reply, drained) = oneshot::channel();
        if self.stores.queue.send(Message::Close(reply)).await.is_ok() {
            // An error means that the writer has ended, which is the aim.
            let _ = drained.await;
        }
        self.stores.readers.close().await;
        self.stores.feeding.close().await;
        self.stores.writer.lock().await.close().await
    }
}
