//! The log of configuration changes, and the transactions that make them.
//!
//! Changes are made one after the other, under a lock on the row that counts them: so they become visible in the order of
//! their revisions, and a check at the start of one holds until its end.

use sqlx_postgres::{PgConnection, PgTransaction};

use super::audit;
use super::errors::taken;
use super::stores::{PostgresStores, Statement};
use crate::domain::{AuditEntry, TenantId};
use crate::storage::columns::config_key_columns;
use crate::storage::{ConfigChange, ConfigKey, Revision, StorageError};

/// How many changes the log keeps.
const KEPT: i64 = 10_000;

/// Whether the configuration of `tenant` changed after `basis`, or may have: the log no longer has all changes since.
pub async fn is_stale(
    connection: &mut PgConnection,
    tenant: TenantId,
    basis: Revision,
) -> Result<bool, StorageError> {
    let sql = "SELECT EXISTS (SELECT FROM directory_changes WHERE revision > $1 AND tenant_id = $2) \
        OR $1 < (SELECT coalesce(min(revision), 0) FROM directory_changes) - 1";
    Ok(sqlx::query_scalar(sql).bind(basis.0).bind(tenant.0).fetch_one(connection).await?)
}

/// Adds a change and its entry in the audit log, in the transaction that makes it.
pub async fn add(
    connection: &mut PgConnection,
    key: &ConfigKey,
    entry: &AuditEntry,
) -> Result<Revision, StorageError> {
    audit::add(connection, entry).await?;
    count(connection, key).await
}

/// Adds a change that belongs to another one of its transaction, which has the entry in the audit log.
pub async fn count(connection: &mut PgConnection, key: &ConfigKey) -> Result<Revision, StorageError> {
    let (kind, tenant, name) = config_key_columns(key);
    let sql = "WITH counted AS (UPDATE directory_revision SET revision = revision + 1 RETURNING revision), \
        old AS (DELETE FROM directory_changes WHERE revision <= (SELECT revision FROM counted) - $4) \
        INSERT INTO directory_changes SELECT revision, $1, $2, $3 FROM counted RETURNING revision";
    let query = sqlx::query_scalar(sql).bind(kind).bind(tenant.0).bind(name).bind(KEPT);
    Ok(Revision(query.fetch_one(connection).await?))
}

impl PostgresStores {
    /// Begins a transaction that changes configuration. Others wait until it ends.
    pub async fn begin_change(&self) -> Result<PgTransaction<'static>, StorageError> {
        let mut transaction = self.pool().begin_change().await?;
        sqlx::query("SELECT FROM directory_revision FOR UPDATE").execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// Changes configuration in a transaction of its own. It is given up if `make` has changed nothing.
    pub async fn change(
        &self,
        make: impl AsyncFnOnce(&mut PgConnection) -> Result<ConfigChange, StorageError>,
    ) -> Result<ConfigChange, StorageError> {
        let change = async {
            let mut transaction = self.begin_change().await?;
            let change = make(&mut transaction).await?;
            if change.is_done() {
                transaction.commit().await?;
            } else {
                transaction.rollback().await?;
            }
            Ok(change)
        };
        self.pool().bounded(change).await
    }

    /// Inserts a row of configuration, unless the configuration of `tenant` changed after `basis`. `what` says what is taken,
    /// by the name of the constraint.
    pub async fn insert_one(
        &self,
        (tenant, basis): (TenantId, Revision),
        (key, entry): (ConfigKey, &AuditEntry),
        query: Statement<'_>,
        what: impl FnOnce(&str) -> String,
    ) -> Result<ConfigChange, StorageError> {
        self.change(async move |connection: &mut PgConnection| {
            if is_stale(connection, tenant, basis).await? {
                return Ok(ConfigChange::Conflict);
            }
            query.execute(&mut *connection).await.map_err(|error| taken(error, what))?;
            add(connection, &key, entry).await.map(ConfigChange::Done)
        })
        .await
    }

    /// Changes a row of configuration, unless the configuration of `tenant` changed after `basis`. `what` says what is taken,
    /// by the name of the constraint.
    pub async fn change_unique(
        &self,
        (tenant, basis): (TenantId, Revision),
        (key, entry): (ConfigKey, &AuditEntry),
        query: Statement<'_>,
        what: impl FnOnce(&str) -> String,
    ) -> Result<ConfigChange, StorageError> {
        self.change(async move |connection: &mut PgConnection| {
            if is_stale(connection, tenant, basis).await? {
                return Ok(ConfigChange::Conflict);
            }
            let changed = query.execute(&mut *connection).await.map_err(|error| taken(error, what))?;
            if changed.rows_affected() == 0 {
                return Ok(ConfigChange::Missing);
            }
            add(connection, &key, entry).await.map(ConfigChange::Done)
        })
        .await
    }

    /// As [`Self::change_unique`], for a change that takes no name, or a deletion.
    pub async fn change_one(
        &self,
        since: (TenantId, Revision),
        change: (ConfigKey, &AuditEntry),
        query: Statement<'_>,
    ) -> Result<ConfigChange, StorageError> {
        self.change_unique(since, change, query, str::to_owned).await
    }
}
