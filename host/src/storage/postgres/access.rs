//! Logins and tokens of older systems' clients.

use async_trait::async_trait;
use sqlx_postgres::PgConnection;

use super::directory_log;
use super::errors::taken;
use super::rows::is_text;
use super::stores::PostgresStores;
use crate::domain::{AuditEntry, DomainToken, Login, TenantId};
use crate::storage::columns::{
    LoginRow, TokenRow, has_same_secret, login_context_of, login_from_row, token_from_row,
};
use crate::storage::{AccessStore, ConfigChange, ConfigKey, Revision, StorageError};
use crate::vault::Vault;

#[async_trait]
impl AccessStore for PostgresStores {
    async fn load(&self) -> Result<(Vec<Login>, Vec<DomainToken>), StorageError> {
        let sql = "SELECT name, tenant_id, secret, created_at FROM logins ORDER BY tenant_id, name";
        let logins: Vec<LoginRow> = sqlx::query_as(sql).fetch_all(self.pool()).await?;
        let sql = "SELECT id, tenant_id, role, enabled, expires_at, created_at FROM domain_tokens ORDER BY created_at, id";
        let tokens: Vec<TokenRow> = sqlx::query_as(sql).fetch_all(self.pool()).await?;
        let logins = logins.into_iter().map(|row| login_from_row(&self.session.vault, row));
        Ok((logins.collect(), tokens.into_iter().map(token_from_row).collect()))
    }

    async fn insert_login(
        &self,
        login: &Login,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        self.change(async |connection: &mut PgConnection| {
            insert_login(connection, &self.session.vault, (login, basis), entry).await
        })
        .await
    }

    async fn delete_login(
        &self,
        tenant: TenantId,
        name: &str,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        if !is_text(name) {
            return Ok(ConfigChange::Missing);
        }
        let query = sqlx::query("DELETE FROM logins WHERE name = $1 AND tenant_id = $2");
        let key = ConfigKey::Login(tenant, name.to_owned());
        self.change_one((tenant, Revision::ANY), (key, entry), query.bind(name).bind(tenant.0)).await
    }

    async fn insert_token(
        &self,
        token: &DomainToken,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        let sql = "INSERT INTO domain_tokens (id, tenant_id, role, enabled, expires_at, created_at) \
            VALUES ($1, $2, $3, $4, $5, $6)";
        let query = sqlx::query(sql).bind(&token.id).bind(token.tenant.0).bind(&token.role);
        let query = query.bind(token.enabled).bind(token.expires_at.0).bind(token.created_at.0);
        let what = |_: &str| format!("the token {}", token.id);
        let key = ConfigKey::Token(token.tenant, token.id.clone());
        self.insert_one((token.tenant, basis), (key, entry), query, what).await
    }

    async fn enable_token(
        &self,
        tenant: TenantId,
        id: &str,
        enabled: bool,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        if !is_text(id) {
            return Ok(ConfigChange::Missing);
        }
        let query = sqlx::query("UPDATE domain_tokens SET enabled = $1 WHERE id = $2 AND tenant_id = $3");
        let query = query.bind(enabled).bind(id).bind(tenant.0);
        self.change_one((tenant, Revision::ANY), (ConfigKey::Token(tenant, id.to_owned()), entry), query)
            .await
    }

    async fn delete_token(
        &self,
        tenant: TenantId,
        id: &str,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError> {
        if !is_text(id) {
            return Ok(ConfigChange::Missing);
        }
        let query = sqlx::query("DELETE FROM domain_tokens WHERE id = $1 AND tenant_id = $2");
        let key = ConfigKey::Token(tenant, id.to_owned());
        self.change_one((tenant, Revision::ANY), (key, entry), query.bind(id).bind(tenant.0)).await
    }
}

/// The login must differ from all others of its name, of any tenant, by its secret: a password would not tell them apart.
async fn insert_login(
    connection: &mut PgConnection,
    vault: &Vault,
    (login, basis): (&Login, Revision),
    entry: &AuditEntry,
) -> Result<ConfigChange, StorageError> {
    if directory_log::is_stale(connection, login.tenant, basis).await? {
        return Ok(ConfigChange::Conflict);
    }
    // Secrets are encrypted: SQL cannot compare them, but the transaction excludes others.
    if basis != Revision::ANY && has_twin(connection, vault, login).await? {
        return Ok(ConfigChange::Conflict);
    }
    let secret = vault.seal(&login_context_of(login.tenant, &login.name), login.secret.reveal().as_bytes());
    let sql = "INSERT INTO logins (name, tenant_id, secret, created_at) VALUES ($1, $2, $3, $4)";
    let query = sqlx::query(sql).bind(&login.name).bind(login.tenant.0).bind(secret);
    let inserted = query.bind(login.created_at.0).execute(&mut *connection).await;
    inserted.map_err(|error| taken(error, |_| format!("the login \"{}\"", login.name)))?;
    let key = ConfigKey::Login(login.tenant, login.name.clone());
    directory_log::add(connection, &key, entry).await.map(ConfigChange::Done)
}

/// Whether another tenant has a login with the same name and secret.
async fn has_twin(connection: &mut PgConnection, vault: &Vault, login: &Login) -> Result<bool, StorageError> {
    let sql = "SELECT name, tenant_id, secret, created_at FROM logins WHERE name = $1 AND tenant_id <> $2";
    let query = sqlx::query_as(sql).bind(&login.name).bind(login.tenant.0);
    let rows: Vec<LoginRow> = query.fetch_all(connection).await?;
    Ok(has_same_secret(vault, rows, login))
}

/// One login.
pub async fn login(
    connection: &mut PgConnection,
    vault: &Vault,
    tenant: TenantId,
    name: &str,
) -> Result<Option<Login>, StorageError> {
    let sql = "SELECT name, tenant_id, secret, created_at FROM logins WHERE tenant_id = $1 AND name = $2";
    let query = sqlx::query_as(sql).bind(tenant.0).bind(name);
    let row: Option<LoginRow> = query.fetch_optional(connection).await?;
    Ok(row.map(|row| login_from_row(vault, row)))
}

/// One token.
pub async fn token(
    connection: &mut PgConnection,
    tenant: TenantId,
    id: &str,
) -> Result<Option<DomainToken>, StorageError> {
    let sql = "SELECT id, tenant_id, role, enabled, expires_at, created_at FROM domain_tokens \
        WHERE id = $1 AND tenant_id = $2";
    let query = sqlx::query_as(sql).bind(id).bind(tenant.0);
    let row: Option<TokenRow> = query.fetch_optional(connection).await?;
    Ok(row.map(token_from_row))
}
