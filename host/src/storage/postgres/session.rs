//! What everything on one PostgreSQL database has in common: the pool, and who this node is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use sqlx::query::Query;
use sqlx_postgres::{PgArguments, PgRow, Postgres};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::claim_bounds::ClaimBounds;
use super::kept_connections::KeptConnections;
use super::lost_leases::LostLeases;
use super::partitions::Partitions;
use super::pool::BoundedPool;
use super::rowless::SharedRowless;
use crate::clock;
use crate::domain::{DeliveryId, EventKey, NodeNumber};
use crate::metrics;
use crate::storage::{Membership, StorageError};
use crate::vault::Vault;

/// The SQLSTATE with which `check_epoch` refuses a node whose work was taken over.
const EPOCH_OVER: &str = "HW001";

/// A node's connections.
#[derive(Debug)]
pub struct Pools {
    pub pool: BoundedPool,
    pub heartbeat_pool: BoundedPool,
    pub kept: KeptConnections,
}

/// A node that has just got its number.
#[derive(Debug, Clone, Copy)]
pub struct Registered {
    pub node: NodeNumber,
    /// A random number, by which the node shows that its number is still its own.
    pub process: i64,
    pub epoch: i64,
    /// Of its events up to this key, each delivery has a row.
    pub mark: EventKey,
}

/// A node's connection to the database.
#[derive(Debug)]
pub struct Session {
    pub pool: BoundedPool,
    pub kept: KeptConnections,
    /// For the heartbeat, and for looking for changes of configuration: they must not wait for what clients ask.
    pub heartbeat_pool: BoundedPool,
    pub node: NodeNumber,
    /// See [`Registered::process`].
    pub process: i64,
    epoch: AtomicI64,
    pub rowless: SharedRowless,
    pub lost_leases: LostLeases,
    pub partitions: Partitions,
    pub claim_bounds: ClaimBounds,
    pub vault: Arc<Vault>,
    /// What it knows of the other nodes.
    pub membership: Arc<Membership>,
    /// Another process has the node's number, or it was closed: it accepts and delivers nothing any more.
    pub over: CancellationToken,
    /// Deliveries may have become due that this node does not know of.
    pub due: Notify,
}

impl Session {
    /// That of a node that has just registered.
    pub fn new(
        Pools { pool, heartbeat_pool, kept }: Pools,
        partitions: Partitions,
        registered: &Registered,
        vault: Arc<Vault>,
    ) -> Self {
        Self {
            kept,
            pool,
            heartbeat_pool,
            partitions,
            node: registered.node,
            process: registered.process,
            epoch: AtomicI64::new(registered.epoch),
            rowless: SharedRowless::new(registered.mark),
            lost_leases: LostLeases::default(),
            claim_bounds: ClaimBounds::default(),
            vault,
            membership: Membership::joining(registered.node),
            over: CancellationToken::new(),
            due: Notify::new(),
        }
    }

    /// The node's number as the database's functions take it.
    pub fn number(&self) -> i32 {
        i32::from(self.node.0)
    }

    /// The node's epoch. What becomes rowless in memory after this was read is either of this epoch, or is refused.
    pub fn epoch(&self) -> i64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Begins a new epoch: of events up to `mark`, each delivery has a row.
    pub fn enter(&self, epoch: i64, mark: EventKey) {
        let mut rowless = self.rowless.lock();
        self.epoch.store(epoch, Ordering::SeqCst);
        rowless.clear(mark);
        drop(rowless);
        self.membership.rejoin();
    }

    /// # Errors
    /// If others may believe that the node is dead: then it accepts nothing.
    pub fn check_alive(&self) -> Result<(), StorageError> {
        if self.membership.is_fenced() { Err(StorageError::Fenced) } else { Ok(()) }
    }

    /// Runs a statement that accepts or records about so many `rows`, which is a transaction of its own.
    pub async fn run(
        &self,
        statement: Query<'_, Postgres, PgArguments>,
        rows: usize,
    ) -> Result<PgRow, sqlx::Error> {
        let began = clock::monotonic();
        let done =
            self.pool.with_pool(|pool| async move { self.kept.fetch_one(&pool, statement).await }).await;
        metrics::storage::committed(clock::elapsed(began), rows);
        if done.is_err() {
            // Also if it took too long: then none of them is known to work.
            self.kept.clear();
        }
        done
    }

    /// The error of a statement that checks the epoch: if that is over, the next heartbeat joins again.
    pub fn failed(&self, error: sqlx::Error) -> StorageError {
        metrics::storage::COMMIT_FAILURES.increment();
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        if code.as_deref() == Some(EPOCH_OVER) {
            self.membership.doubt();
        }
        error.into()
    }

    /// Another process has the node's number now.
    pub fn end(&self) {
        if !self.over.is_cancelled() {
            tracing::error!("another process has the number of this node");
            self.over.cancel();
        }
    }

    /// Gives deliveries a row of their own, if only their event names them.
    pub async fn materialize(&self, ids: &[DeliveryId]) -> Result<(), StorageError> {
        let raw: Vec<i64> = ids.iter().map(|id| id.0).collect();
        sqlx::query("SELECT materialize($1)").bind(raw).execute(&self.pool).await?;
        self.rowless.lock().remove(ids.iter().copied());
        Ok(())
    }
}
