//! Single statements in transactions of their own, for what changes seldom.

use super::Shared;
use crate::storage::StorageError;

/// A statement with what is bound to it.
pub type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

impl Shared {
    /// Runs a statement; says whether it changed anything.
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

/// [`StorageError::Taken`] for an insertion that was not unique; `what` is told the column, as `table.column`.
pub fn taken(error: sqlx::Error, what: impl FnOnce(&str) -> String) -> StorageError {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => {
            // SQLite says it only here: "UNIQUE constraint failed: tenants.name".
            let column = database.message().rsplit(": ").next().unwrap_or_default();
            StorageError::Taken { what: what(column) }
        }
        _ => error.into(),
    }
}
