//! Single statements in transactions of their own, for changes that are rare.

use sqlx::sqlite::SqliteConnection;

use super::directory_log;
use super::errors::taken;
use super::stores::SqliteStores;
use crate::domain::{AuditEntry, TenantId};
use crate::storage::{ConfigChange, ConfigKey, Revision, StorageError};

/// A statement with its bound values.
pub type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

impl SqliteStores {
    /// Runs a statement. Returns how many rows it changed.
    pub(super) async fn changes(&self, query: Query<'_>) -> Result<u64, StorageError> {
        let mut writer = self.writer().await;
        let done = query.execute(writer.begin().await?).await;
        writer.finish(done.map(|done| done.rows_affected()).map_err(StorageError::from)).await
    }

    /// Runs a statement. Returns whether it changed a row.
    pub(super) async fn changes_one(&self, query: Query<'_>) -> Result<bool, StorageError> {
        Ok(self.changes(query).await? > 0)
    }

    /// Inserts a row of configuration, unless the configuration of `tenant` changed after `basis`; `what` is for [`taken`].
    pub(super) async fn insert_one(
        &self,
        (tenant, basis): (TenantId, Revision),
        (key, entry): (ConfigKey, &AuditEntry),
        query: Query<'_>,
        what: impl FnOnce(&str) -> String,
    ) -> Result<ConfigChange, StorageError> {
        self.health.check_space()?;
        let mut writer = self.writer().await;
        let connection = writer.begin().await?;
        let inserted = match directory_log::is_stale(connection, tenant, basis).await {
            Ok(false) => match query.execute(&mut *connection).await {
                Ok(_) => directory_log::add(connection, &key, entry).await.map(ConfigChange::Done),
                Err(error) => Err(taken(error, what)),
            },
            Ok(true) => Ok(ConfigChange::Conflict),
            Err(error) => Err(error),
        };
        writer.finish(inserted).await
    }

    /// Changes a row of configuration, unless the configuration of `tenant` changed after `basis`; `what` is for [`taken`].
    pub(super) async fn change_unique(
        &self,
        (tenant, basis): (TenantId, Revision),
        (key, entry): (ConfigKey, &AuditEntry),
        query: Query<'_>,
        what: impl FnOnce(&str) -> String,
    ) -> Result<ConfigChange, StorageError> {
        let mut writer = self.writer().await;
        let changed = change(writer.begin().await?, (tenant, basis), (&key, entry), query, what).await;
        writer.finish(changed).await
    }

    /// As [`Self::change_unique`], for a change that takes no name, or a deletion.
    pub(super) async fn change_one(
        &self,
        since: (TenantId, Revision),
        change: (ConfigKey, &AuditEntry),
        query: Query<'_>,
    ) -> Result<ConfigChange, StorageError> {
        self.change_unique(since, change, query, str::to_owned).await
    }
}

async fn change(
    connection: &mut SqliteConnection,
    (tenant, basis): (TenantId, Revision),
    (key, entry): (&ConfigKey, &AuditEntry),
    query: Query<'_>,
    what: impl FnOnce(&str) -> String,
) -> Result<ConfigChange, StorageError> {
    if directory_log::is_stale(connection, tenant, basis).await? {
        return Ok(ConfigChange::Conflict);
    }
    let changed = query.execute(&mut *connection).await.map_err(|error| taken(error, what))?;
    if changed.rows_affected() == 0 {
        return Ok(ConfigChange::Missing);
    }
    directory_log::add(connection, key, entry).await.map(ConfigChange::Done)
}
