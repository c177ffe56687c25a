//! Connections that stay out of the pool between two transactions that accept or record.
//!
//! A pool asks the server whether a connection works each time it gets one back. That is a round trip, and such a
//! transaction is only one itself.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx_postgres::{PgArguments, PgPool, PgRow, Postgres};

/// How many connections are kept, at most.
const MAX_KEPT: u32 = 4;
/// At most this part of all connections is kept.
const SHARE_OF_ALL: u32 = 4;
/// After so many transactions a connection goes back to the pool, which ends old ones.
const MAX_USES: u32 = 10_000;

/// See the module's head.
#[derive(Debug)]
pub struct KeptConnections(Mutex<Idle>);

#[derive(Debug)]
struct Idle {
    all: Vec<Kept>,
    limit: usize,
}

#[derive(Debug)]
struct Kept {
    connection: PoolConnection<Postgres>,
    uses: u32,
}

impl KeptConnections {
    /// Keeps a part of `connections`.
    pub fn of(connections: u32) -> Self {
        let limit = MAX_KEPT.min(connections / SHARE_OF_ALL) as usize;
        Self(Mutex::new(Idle { all: Vec::new(), limit }))
    }

    /// Runs a statement that is a transaction of its own, and returns its row when it is committed.
    ///
    /// # Errors
    /// If a connection was lost, nobody knows whether it is committed.
    pub async fn fetch_one(
        &self,
        pool: &PgPool,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<PgRow, sqlx::Error> {
        let kept = self.lock().all.pop();
        let mut kept = match kept {
            Some(kept) => kept,
            None => Kept { connection: pool.acquire().await?, uses: 0 },
        };
        let row = statement.fetch_one(&mut *kept.connection).await;
        match row {
            Ok(_) => self.put_back(kept),
            // The server may have ended all connections: the pool looks which of them work.
            Err(_) => self.clear(),
        }
        row
    }

    fn put_back(&self, mut kept: Kept) {
        kept.uses += 1;
        let mut idle = self.lock();
        if kept.uses < MAX_USES && idle.all.len() < idle.limit {
            idle.all.push(kept);
        }
    }

    /// Gives all of them back to the pool.
    pub fn clear(&self) {
        let all = std::mem::take(&mut self.lock().all);
        drop(all);
    }

    /// Keeps none from now on: the pool waits for all of its connections when it is closed.
    pub fn end(&self) {
        self.lock().limit = 0;
        self.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
