//! The open database, as the composition root uses it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::node_name::NodeName;
use super::stores::PostgresStores;
use super::{clock_steps, nodes, rows};
use crate::domain::{EventKey, NodeNumber, UnixMillis};
use crate::storage::{Database, Membership, NotedClock, Storage, StorageError};

/// How long closing the connections may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// An open PostgreSQL database.
#[derive(Debug)]
pub struct PostgresDatabase {
    pub(super) stores: Arc<PostgresStores>,
    pub(super) greatest_id: i64,
    /// No other process has it meanwhile.
    pub(super) _name: NodeName,
}

#[async_trait]
impl Database for PostgresDatabase {
    fn stores(&self) -> Storage {
        Storage::of(&self.stores)
    }

    async fn node(&self) -> Result<NodeNumber, StorageError> {
        Ok(self.stores.session.node)
    }

    fn greatest_id(&self) -> i64 {
        self.greatest_id
    }

    async fn greatest_id_before(&self, end: UnixMillis) -> Result<i64, StorageError> {
        rows::greatest_id(self.stores.pool(), EventKey::first_at(end).0).await
    }

    async fn noted_clock(&self) -> Result<NotedClock, StorageError> {
        clock_steps::noted(&self.stores.session).await
    }

    async fn note_clock(
        &self,
        now: UnixMillis,
        trusted: UnixMillis,
        ahead_for: Duration,
    ) -> Result<(), StorageError> {
        clock_steps::note(&self.stores.session, now, trusted, ahead_for).await
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn membership(&self) -> Arc<Membership> {
        Arc::clone(&self.stores.session.membership)
    }

    async fn became_due(&self) {
        self.stores.session.due.notified().await;
    }

    async fn ended(&self) {
        self.stores.session.over.cancelled().await;
    }

    /// What this node has in memory is due for other nodes at once.
    async fn close(&self) -> Result<(), StorageError> {
        let left = nodes::leave(&self.stores.session).await;
        self.stores.session.over.cancel();
        self.stores.session.kept.end();
        let closing = async {
            self.stores.pool().close().await;
            self.stores.session.heartbeat_pool.close().await;
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            tracing::warn!("the database does not answer; its connections were not closed properly");
        }
        left
    }
}
