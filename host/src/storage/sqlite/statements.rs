//! Single statements in transactions of their own, for changes that are rare.

use super::errors::taken;
use super::stores::SqliteStores;
use crate::storage::StorageError;

/// A statement with its bound values.
pub type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

impl SqliteStores {
    /// Runs a statement. Returns whether it changed a row.
    pub(super) async fn changes_one(&self, query: Query<'_>) -> Result<bool, StorageError> {
        let mut writer = self.writer().await;
        let done = query.execute(writer.begin().await?).await;
        writer.finish(done.map(|done| done.rows_affected() > 0).map_err(StorageError::from)).await
    }

    /// Inserts a row; `what` is for [`taken`].
    pub(super) async fn insert_one(
        &self,
        query: Query<'_>,
        what: impl FnOnce(&str) -> String,
    ) -> Result<(), StorageError> {
        self.health.check_space()?;
        let mut writer = self.writer().await;
        let inserted = query.execute(writer.begin().await?).await.map(drop);
        writer.finish(inserted.map_err(|error| taken(error, what))).await
    }
}
