//! Plugins: versions, and bytes by digest.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

use super::directory_log;
use super::errors::taken;
use super::rows::{STANDARD, VersionRow, damaged, readable, to_json, version_from_row};
use super::stores::SqliteStores;
use crate::domain::{AuditEntry, Digest, PluginName, PluginVersion, TenantId};
use crate::storage::{ConfigChange, ConfigKey, PluginStore, Revision, StorageError};

#[async_trait]
impl PluginStore for SqliteStores {
    async fn load(&self) -> Result<Vec<PluginVersion>, StorageError> {
        let sql = "SELECT owner, name, version, digest, roles, imports, size_bytes, created_at \
            FROM plugin_versions ORDER BY owner, name, version";
        let rows: Vec<VersionRow> = sqlx::query_as(sql).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().filter_map(|row| readable(version_from_row(row))).collect())
    }

    async fn insert(
        &self,
        version: &PluginVersion,
        wasm: &[u8],
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        self.health.check_space()?;
        let mut writer = self.writer().await;
        let inserted = insert(writer.begin().await?, (version, wasm), basis, entry).await;
        writer.finish(inserted).await
    }

    async fn delete(
        &self,
        tenant: TenantId,
        name: &PluginName,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let mut writer = self.writer().await;
        let deleted = delete(writer.begin().await?, (tenant, basis), (name, None), entry).await;
        writer.finish(deleted).await
    }

    async fn delete_version(
        &self,
        tenant: TenantId,
        name: &PluginName,
        version: u32,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let mut writer = self.writer().await;
        let which = (name, Some(version));
        let deleted = delete(writer.begin().await?, (tenant, basis), which, entry).await;
        writer.finish(deleted).await
    }

    async fn wasm(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StorageError> {
        let query = sqlx::query_scalar("SELECT wasm FROM plugin_blobs WHERE digest = ?");
        Ok(query.bind(digest.0.as_slice()).fetch_optional(&self.readers).await?)
    }
}

async fn insert(
    connection: &mut SqliteConnection,
    (version, wasm): (&PluginVersion, &[u8]),
    basis: Revision,
    entry: &AuditEntry,
) -> Result<ConfigChange, StorageError> {
    let owner = version.tenant.unwrap_or(STANDARD);
    if directory_log::is_stale(connection, owner, basis).await? {
        return Ok(ConfigChange::Conflict);
    }
    let roles: Vec<&str> = version.roles.iter().map(|role| role.as_str()).collect();
    let size = i64::try_from(version.size_bytes).map_err(|error| damaged("plugin", error))?;
    let sql = "INSERT INTO plugin_versions (owner, name, version, digest, roles, imports, size_bytes, created_at) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let query = sqlx::query(sql).bind(owner.0);
    let query = query.bind(version.name.as_str()).bind(version.version).bind(version.digest.0.as_slice());
    let query = query.bind(to_json(&roles)?).bind(to_json(&version.imports)?);
    let inserted = query.bind(size).bind(version.created_at.0).execute(&mut *connection).await;
    inserted.map_err(|error| {
        taken(error, |_| format!("version {} of the plugin \"{}\"", version.version, version.name))
    })?;
    let sql = "INSERT INTO plugin_blobs (digest, wasm) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING";
    sqlx::query(sql).bind(version.digest.0.as_slice()).bind(wasm).execute(&mut *connection).await?;
    let key = ConfigKey::Plugin(owner, version.name.clone());
    directory_log::add(connection, &key, entry).await.map(ConfigChange::Done)
}

/// The versions of one plugin, oldest first; damaged rows are left out.
pub async fn versions(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    name: &PluginName,
) -> Result<Vec<PluginVersion>, StorageError> {
    let sql = "SELECT owner, name, version, digest, roles, imports, size_bytes, created_at \
        FROM plugin_versions WHERE owner = ? AND name = ? ORDER BY version";
    let query = sqlx::query_as(sql).bind(tenant.0).bind(name.as_str());
    let rows: Vec<VersionRow> = query.fetch_all(connection).await?;
    Ok(rows.into_iter().filter_map(|row| readable(version_from_row(row))).collect())
}

/// Deletes one version, or all versions.
async fn delete(
    connection: &mut SqliteConnection,
    (tenant, basis): (TenantId, Revision),
    (name, version): (&PluginName, Option<u32>),
    entry: &AuditEntry,
) -> Result<ConfigChange, StorageError> {
    if directory_log::is_stale(connection, tenant, basis).await? {
        return Ok(ConfigChange::Conflict);
    }
    let sql = "DELETE FROM plugin_versions WHERE owner = ?1 AND name = ?2 AND version = ifnull(?3, version) \
        RETURNING digest";
    let query = sqlx::query_scalar(sql).bind(tenant.0).bind(name.as_str()).bind(version);
    let digests: Vec<Vec<u8>> = query.fetch_all(&mut *connection).await?;
    for digest in &digests {
        let sql = "DELETE FROM plugin_blobs WHERE digest = ?1 \
            AND NOT EXISTS (SELECT 1 FROM plugin_versions WHERE digest = ?1)";
        sqlx::query(sql).bind(digest.as_slice()).execute(&mut *connection).await?;
    }
    if digests.is_empty() {
        return Ok(ConfigChange::Missing);
    }
    let key = ConfigKey::Plugin(tenant, name.clone());
    directory_log::add(connection, &key, entry).await.map(ConfigChange::Done)
}
