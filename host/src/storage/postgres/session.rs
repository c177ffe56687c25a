//! What everything on one PostgreSQL database has in common: the pool, and who this node is.

use std::sync::Arc;

use sqlx_postgres::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::rowless::SharedRowless;
use crate::domain::{DeliveryId, NodeNumber};
use crate::storage::StorageError;
use crate::vault::Vault;

/// The SQLSTATE with which `check_epoch` refuses a node whose work was taken over.
const EPOCH_OVER: &str = "HW001";

/// A node's connection to the database.
#[derive(Debug)]
pub struct Session {
    pub pool: PgPool,
    pub node: NodeNumber,
    pub epoch: i64,
    pub rowless: SharedRowless,
    pub vault: Arc<Vault>,
    /// Another node took over this one's work, or it was closed: it accepts and delivers nothing any more.
    pub over: CancellationToken,
    /// Deliveries may have become due that this node does not know of.
    pub due: Notify,
}

impl Session {
    /// The node's number as the database's functions take it.
    pub fn number(&self) -> i32 {
        i32::from(self.node.0)
    }

    /// The error of a statement that checks the epoch: if that is over, so is the session.
    pub fn failed(&self, error: sqlx::Error) -> StorageError {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        if code.as_deref() == Some(EPOCH_OVER) {
            self.end();
        }
        error.into()
    }

    /// Another process has the node's number now.
    pub fn end(&self) {
        if !self.over.is_cancelled() {
            tracing::error!("another node took over the work of this one, which did not answer for a while");
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
