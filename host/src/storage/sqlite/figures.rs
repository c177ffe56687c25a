//! Figures for monitoring.

use async_trait::async_trait;

use super::data_dir::{DATABASE_FILE, LOG_FILE};
use super::schema;
use super::stores::SqliteStores;
use crate::storage::StorageError;
use crate::storage::figures::{FigureStore, StorageFigures};

#[async_trait]
impl FigureStore for SqliteStores {
    async fn figures(&self) -> Result<StorageFigures, StorageError> {
        // Of the index alone: rows are not read.
        let sql = "SELECT ifnull(sum(state = 0), 0), ifnull(sum(state = 2), 0) \
            FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3";
        let (pending, waiting): (i64, i64) = sqlx::query_as(sql).fetch_one(&self.readers).await?;
        let sql = "SELECT ifnull(sum(state = 0), 0), ifnull(sum(state = 1), 0) FROM jobs WHERE state < 2";
        let (running, paused): (i64, i64) = sqlx::query_as(sql).fetch_one(&self.readers).await?;
        let size = |name| std::fs::metadata(self.health.dir().join(name)).map_or(0, |about| about.len());
        Ok(StorageFigures {
            pending: pending.unsigned_abs(),
            waiting: waiting.unsigned_abs(),
            running_jobs: running.unsigned_abs(),
            paused_jobs: paused.unsigned_abs(),
            database_bytes: size(DATABASE_FILE),
            log_bytes: Some(size(LOG_FILE)),
        })
    }

    fn schema(&self) -> i64 {
        schema::newest()
    }
}
