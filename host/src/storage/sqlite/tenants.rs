//! Tenants, projects and keys.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

use super::directory_log;
use super::errors::taken;
use super::rows::{
    KeyRow, ProjectRow, TenantRow, key_columns, key_from_row, project_from_row, readable, scope_columns,
    tenant_from_row, tenant_options_to_json,
};
use super::statements::Query;
use super::stores::SqliteStores;
use crate::domain::{ApiKey, AuditEntry, KeyId, Project, Tenant, TenantId};
use crate::storage::{ConfigChange, ConfigKey, Revision, StorageError, TenantStore};

#[async_trait]
impl TenantStore for SqliteStores {
    async fn load(&self) -> Result<(Vec<Tenant>, Vec<Project>, Vec<ApiKey>), StorageError> {
        let sql = "SELECT id, name, client_id, created_at, options FROM tenants ORDER BY id";
        let tenants: Vec<TenantRow> = sqlx::query_as(sql).fetch_all(&self.readers).await?;
        let sql = "SELECT tenant_id, number, name, created_at FROM projects ORDER BY tenant_id, number";
        let projects: Vec<ProjectRow> = sqlx::query_as(sql).fetch_all(&self.readers).await?;
        let sql = concat!("SELECT ", key_columns!(), " FROM api_keys ORDER BY id");
        let keys: Vec<KeyRow> = sqlx::query_as(sql).fetch_all(&self.readers).await?;
        Ok((
            tenants.into_iter().map(tenant_from_row).collect(),
            projects.into_iter().map(project_from_row).collect(),
            keys.into_iter().filter_map(|row| readable(key_from_row(row))).collect(),
        ))
    }

    async fn insert_tenant(&self, tenant: &Tenant, entry: &AuditEntry) -> Result<ConfigChange, StorageError> {
        let sql = "INSERT INTO tenants (id, name, client_id, created_at, options) VALUES (?, ?, ?, ?, ?)";
        let query = sqlx::query(sql).bind(tenant.id.0).bind(&tenant.name).bind(tenant.client_id);
        let query = query.bind(tenant.created_at.0).bind(tenant_options_to_json(&tenant.options)?);
        let what = |column: &str| match (column, tenant.client_id) {
            ("tenants.client_id", Some(client_id)) => format!("the client id {client_id}"),
            ("tenants.name", _) => format!("the name \"{}\"", tenant.name),
            _ => format!("the id {}", tenant.id),
        };
        let key = ConfigKey::Tenant(tenant.id);
        self.insert_one((tenant.id, Revision::ANY), (key, entry), query, what).await
    }

    async fn update_tenant(
        &self,
        tenant: &Tenant,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let query = sqlx::query("UPDATE tenants SET name = ?, options = ? WHERE id = ?");
        let query = query.bind(&tenant.name).bind(tenant_options_to_json(&tenant.options)?).bind(tenant.id.0);
        let what = |_: &str| format!("the name \"{}\"", tenant.name);
        let key = ConfigKey::Tenant(tenant.id);
        self.change_unique((tenant.id, basis), (key, entry), query, what).await
    }

    async fn insert_project(
        &self,
        project: &Project,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let sql = "INSERT INTO projects (tenant_id, number, name, created_at) VALUES (?, ?, ?, ?)";
        let query = sqlx::query(sql).bind(project.tenant.0).bind(project.number).bind(&project.name);
        let query = query.bind(project.created_at.0);
        let what = |_: &str| format!("the project number {}", project.number);
        let key = ConfigKey::Project(project.tenant, project.number);
        self.insert_one((project.tenant, basis), (key, entry), query, what).await
    }

    async fn delete_project(
        &self,
        tenant: TenantId,
        number: i64,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let query = sqlx::query("DELETE FROM projects WHERE tenant_id = ? AND number = ?");
        let query = query.bind(tenant.0).bind(number);
        self.change_one((tenant, basis), (ConfigKey::Project(tenant, number), entry), query).await
    }

    async fn insert_key(
        &self,
        key: &ApiKey,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        self.health.check_space()?;
        let mut writer = self.writer().await;
        let inserted = insert_key(writer.begin().await?, key, basis, entry).await;
        writer.finish(inserted).await
    }

    async fn update_key(
        &self,
        key: &ApiKey,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let change = (ConfigKey::Key(key.tenant, key.id), entry);
        self.change_one((key.tenant, basis), change, update_query(key)).await
    }

    async fn rotate_key(
        &self,
        old: &ApiKey,
        new: &ApiKey,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        self.health.check_space()?;
        let mut writer = self.writer().await;
        let rotated = rotate_key(writer.begin().await?, (old, new), basis, entry).await;
        writer.finish(rotated).await
    }

    async fn delete_key(
        &self,
        tenant: TenantId,
        id: KeyId,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let query = sqlx::query("DELETE FROM api_keys WHERE id = ? AND tenant_id = ?");
        let query = query.bind(id.0).bind(tenant.0);
        self.change_one((tenant, Revision::ANY), (ConfigKey::Key(tenant, id), entry), query).await
    }
}

async fn insert_key(
    connection: &mut SqliteConnection,
    key: &ApiKey,
    basis: Revision,
    entry: &AuditEntry,
) -> Result<ConfigChange, StorageError> {
    if directory_log::is_stale(connection, key.tenant, basis).await? {
        return Ok(ConfigChange::Conflict);
    }
    let (scopes, further) = scope_columns(key.scopes)?;
    let sql = concat!("INSERT INTO api_keys (", key_columns!(), ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    let query = sqlx::query(sql).bind(key.id.0).bind(key.tenant.0).bind(&key.name).bind(scopes);
    let query = query.bind(key.hash.as_slice()).bind(key.created_at.0).bind(&key.prefix);
    let query = query.bind(key.expires_at.map(|end| end.0)).bind(further);
    let what = |column: &str| match column {
        "api_keys.hash" => "the key".to_owned(),
        _ => format!("the id {}", key.id),
    };
    query.execute(&mut *connection).await.map_err(|error| taken(error, what))?;
    directory_log::add(connection, &ConfigKey::Key(key.tenant, key.id), entry).await.map(ConfigChange::Done)
}

fn update_query(key: &ApiKey) -> Query<'_> {
    let query = sqlx::query("UPDATE api_keys SET name = ?, expires_at = ? WHERE id = ? AND tenant_id = ?");
    query.bind(&key.name).bind(key.expires_at.map(|end| end.0)).bind(key.id.0).bind(key.tenant.0)
}

async fn rotate_key(
    connection: &mut SqliteConnection,
    (old, new): (&ApiKey, &ApiKey),
    basis: Revision,
    entry: &AuditEntry,
) -> Result<ConfigChange, StorageError> {
    // The old key first: nothing is written if there is none.
    if directory_log::is_stale(connection, old.tenant, basis).await? {
        return Ok(ConfigChange::Conflict);
    }
    if update_query(old).execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(ConfigChange::Missing);
    }
    directory_log::count(connection, &ConfigKey::Key(old.tenant, old.id)).await?;
    // What the line before counted is no change of others.
    insert_key(connection, new, Revision::ANY, entry).await
}

/// One tenant.
pub async fn tenant(connection: &mut SqliteConnection, id: TenantId) -> Result<Option<Tenant>, StorageError> {
    let query = sqlx::query_as("SELECT id, name, client_id, created_at, options FROM tenants WHERE id = ?");
    let row: Option<TenantRow> = query.bind(id.0).fetch_optional(connection).await?;
    Ok(row.map(tenant_from_row))
}

/// One project.
pub async fn project(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    number: i64,
) -> Result<Option<Project>, StorageError> {
    let sql = "SELECT tenant_id, number, name, created_at FROM projects WHERE tenant_id = ? AND number = ?";
    let row: Option<ProjectRow> =
        sqlx::query_as(sql).bind(tenant.0).bind(number).fetch_optional(connection).await?;
    Ok(row.map(project_from_row))
}

/// One API key; none if its row is damaged.
pub async fn key(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    id: KeyId,
) -> Result<Option<ApiKey>, StorageError> {
    let sql = concat!("SELECT ", key_columns!(), " FROM api_keys WHERE id = ? AND tenant_id = ?");
    let row: Option<KeyRow> =
        sqlx::query_as(sql).bind(id.0).bind(tenant.0).fetch_optional(connection).await?;
    Ok(row.and_then(|row| readable(key_from_row(row))))
}
