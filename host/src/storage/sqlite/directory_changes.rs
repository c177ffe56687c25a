//! What changed in the configuration, for caches that follow.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

use super::stores::SqliteStores;
use super::{access, directory_log, hooks, keys, plugins, tenants};
use crate::storage::{Changes, ConfigItem, ConfigKey, DirectoryStore, Revision, StorageError};

#[async_trait]
impl DirectoryStore for SqliteStores {
    async fn revision(&self) -> Result<Revision, StorageError> {
        directory_log::latest(&mut *self.feeding.acquire().await?).await
    }

    async fn changes_since(&self, revision: Revision) -> Result<Changes, StorageError> {
        // In one transaction: the values are those of one revision.
        let mut snapshot = self.feeding.begin().await?;
        let latest = directory_log::latest(&mut snapshot).await?;
        let Some(keys) = directory_log::since(&mut snapshot, revision).await? else {
            return Ok(Changes::TooMany);
        };
        let mut changed = Vec::with_capacity(keys.len());
        for key in keys {
            changed.push(self.item(&mut snapshot, key).await?);
        }
        Ok(Changes::Since { revision: latest, changed })
    }
}

impl SqliteStores {
    /// What `key` stands for now.
    async fn item(
        &self,
        connection: &mut SqliteConnection,
        key: ConfigKey,
    ) -> Result<ConfigItem, StorageError> {
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
                let login = access::login(connection, &self.vault, tenant, &name).await?;
                ConfigItem::Login(tenant, name, login)
            }
            ConfigKey::Token(tenant, id) => {
                let token = access::token(connection, tenant, &id).await?;
                ConfigItem::Token(tenant, id, token)
            }
            ConfigKey::Hook(tenant, id) => {
                let hook = hooks::hook(connection, &self.vault, tenant, id).await?;
                ConfigItem::Hook(tenant, id, hook.map(Box::new))
            }
            ConfigKey::Plugin(tenant, name) => {
                let versions = plugins::versions(connection, tenant, &name).await?;
                ConfigItem::Plugin(tenant, name, versions)
            }
        })
    }
}
