//! The stores on one PostgreSQL database: each trait of storage is implemented in a file of its own.

use std::sync::Arc;

use sqlx::query::Query;
use sqlx_postgres::{PgArguments, PgConnection};

use super::acceptor::Acceptor;
use super::errors;
use super::names_walk::NamesWalk;
use super::pool::BoundedPool;
use super::session::Session;
use crate::domain::TenantId;
use crate::storage::StorageError;
use crate::tenant_limiter::{TenantLimiter, TenantPermit};

/// How many reads of one tenant run or wait, at most.
const MAX_READS: usize = 256;
/// How many connections one tenant reads with at the same time.
const READS_PER_TENANT: usize = 2;

/// The stores.
#[derive(Debug, Clone)]
pub struct PostgresStores {
    pub session: Arc<Session>,
    pub acceptor: Acceptor,
    reads: Arc<TenantLimiter>,
    /// How far the look for names of old events is.
    pub names_walk: Arc<NamesWalk>,
}

impl PostgresStores {
    pub fn new(session: Arc<Session>) -> Self {
        let acceptor = Acceptor::start(Arc::clone(&session));
        Self {
            session,
            acceptor,
            reads: Arc::new(TenantLimiter::new(READS_PER_TENANT)),
            names_walk: Arc::default(),
        }
    }

    pub fn pool(&self) -> &BoundedPool {
        &self.session.pool
    }

    /// Runs a transaction that fails if others hold a lock for long.
    pub async fn in_transaction<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let done = async {
            let mut transaction = self.pool().begin_change().await?;
            let done = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(done)
        };
        self.pool().bounded(done).await
    }

    /// Runs a transaction, and again if the database gave it up because of others.
    pub async fn repeat_on_conflict<T, F: Future<Output = Result<T, StorageError>>>(
        &self,
        transaction: impl Fn() -> F,
    ) -> Result<T, StorageError> {
        errors::repeat_on_conflict(|| self.pool().bounded(transaction())).await
    }

    /// Waits until another read of `tenant` may run. However many it sends, others find connections.
    ///
    /// # Errors
    /// [`StorageError::TooManyReads`] if too many of them wait already.
    pub async fn permit_read(&self, tenant: TenantId) -> Result<TenantPermit, StorageError> {
        self.reads.acquire_unless_full(tenant, MAX_READS).await.ok_or(StorageError::TooManyReads)
    }
}

/// A statement with its arguments.
pub type Statement<'q> = Query<'q, sqlx_postgres::Postgres, PgArguments>;
