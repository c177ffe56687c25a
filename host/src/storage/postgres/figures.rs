//! Figures for monitoring.

use async_trait::async_trait;

use super::schema;
use super::stores::PostgresStores;
use crate::storage::StorageError;
use crate::storage::figures::{FigureStore, StorageFigures};

#[async_trait]
impl FigureStore for PostgresStores {
    async fn figures(&self) -> Result<StorageFigures, StorageError> {
        let sql = "SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 2), \
                (SELECT count(*) FROM jobs WHERE state = 0), (SELECT count(*) FROM jobs WHERE state = 1), \
                pg_database_size(current_database()) \
            FROM unfinished_deliveries";
        let figures: (i64, i64, i64, i64, i64) = sqlx::query_as(sql).fetch_one(self.pool()).await?;
        let (pending, waiting, running_jobs, paused_jobs, bytes) = figures;
        Ok(StorageFigures {
            pending: pending.unsigned_abs(),
            waiting: waiting.unsigned_abs(),
            running_jobs: running_jobs.unsigned_abs(),
            paused_jobs: paused_jobs.unsigned_abs(),
            database_bytes: bytes.unsigned_abs(),
            log_bytes: None,
        })
    }

    fn schema(&self) -> i64 {
        schema::newest()
    }
}
