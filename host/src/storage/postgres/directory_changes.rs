//! What changed in the configuration, for caches that follow.

use std::time::Duration;

use async_trait::async_trait;
use sqlx_postgres::PgConnection;

use super::stores::PostgresStores;
use super::{access, hooks, keys, plugins, tenants};
use crate::storage::columns::config_key_from_row;
use crate::storage::{Changes, ConfigItem, ConfigKey, DirectoryStore, Revision, StorageError};

/// How long a look for changes may take: less than the age at which a node's configuration is too old to answer requests.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);

/// The revision of the last change.
const REVISION: &str = "SELECT revision FROM directory_revision";

#[async_trait]
impl DirectoryStore for PostgresStores {
    async fn revision(&self) -> Result<Revision, StorageError> {
        Ok(Revision(sqlx::query_scalar(REVISION).fetch_one(self.pool()).await?))
    }

    async fn changes_since(&self, revision: Revision) -> Result<Changes, StorageError> {
        let pool = &self.session.heartbeat_pool;
        let look = async {
            // Mostly nothing has changed, and this is asked several times a second.
            let latest: i64 = sqlx::query_scalar(REVISION).fetch_one(pool).await?;
            if latest == revision.0 {
                return Ok(Changes::Since { revision, changed: Vec::new() });
            }
            self.look_for_changes(revision).await
        };
        pool.bounded_by(LOOK_TIMEOUT, look).await
    }
}

impl PostgresStores {
    async fn look_for_changes(&self, revision: Revision) -> Result<Changes, StorageError> {
        // One snapshot: the values are those of one revision.
        let mut snapshot = self.session.heartbeat_pool.begin_snapshot().await?;
        let sql = "SELECT r.revision, coalesce((SELECT min(revision) FROM directory_changes), 0) \
            FROM directory_revision r";
        let (latest, first): (i64, i64) = sqlx::query_as(sql).fetch_one(&mut *snapshot).await?;
        if revision.0 + 1 < first {
            return Ok(Changes::TooMany);
        }
        let sql = "SELECT DISTINCT kind, tenant_id, name FROM directory_changes WHERE revision > $1";
        let rows: Vec<(String, i64, String)> =
            sqlx::query_as(sql).bind(revision.0).fetch_all(&mut *snapshot).await?;
        let mut changed = Vec::with_capacity(rows.len());
        for row in rows {
            changed.push(self.item(&mut snapshot, config_key_from_row(row)?).await?);
        }
        Ok(Changes::Since { revision: Revision(latest), changed })
    }

    /// What `key` stands for now.
    async fn item(&self, connection: &mut PgConnection, key: ConfigKey) -> Result<ConfigItem, StorageError> {
        let vault = &self.session.vault;
        Ok(match key {
            ConfigKey::Tenant(id) => ConfigItem::Tenant(id, tenants::tenant(connection, id).await?),
            ConfigKey::Project(tenant, number) => {
                ConfigItem::Project(tenant, number, tenants::project(connection, tenant, number).await?)
            }
            ConfigKey::Key(tenant, id) => {
                ConfigItem::Key(tenant, id, tenants::key(connection, tenant, id).await?)
            }
            ConfigKey::OperatorKey(id) => {
                ConfigItem::OperatorKey(id, keys::operator_key(connection, id).await?)
            }
            ConfigKey::Login(tenant, name) => {
                let login = access::login(connection, vault, tenant, &name).await?;
                ConfigItem::Login(tenant, name, login)
            }
            ConfigKey::Token(tenant, id) => {
                let token = access::token(connection, tenant, &id).await?;
                ConfigItem::Token(tenant, id, token)
            }
            ConfigKey::Hook(tenant, id) => {
                let hook = hooks::hook(connection, vault, tenant, id).await?;
                ConfigItem::Hook(tenant, id, hook.map(Box::new))
            }
            ConfigKey::Plugin(tenant, name) => {
                let versions = plugins::versions(connection, tenant, &name).await?;
                ConfigItem::Plugin(tenant, name, versions)
            }
        })
    }
}
