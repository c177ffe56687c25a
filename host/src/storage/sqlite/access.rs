//! Logins and tokens of older systems' clients.

use async_trait::async_trait;

use super::hook_rows::unseal_text;
use super::stores::SqliteStores;
use crate::domain::{DomainToken, Login, SecretText, TenantId, UnixMillis};
use crate::storage::{AccessStore, StorageError};

type LoginRow = (String, i64, Vec<u8>, i64);
type TokenRow = (String, i64, String, bool, i64, i64);

#[async_trait]
impl AccessStore for SqliteStores {
    async fn load(&self) -> Result<(Vec<Login>, Vec<DomainToken>), StorageError> {
        let sql = "SELECT name, tenant_id, secret, created_at FROM logins ORDER BY tenant_id, name";
        let logins: Vec<LoginRow> = sqlx::query_as(sql).fetch_all(&self.readers).await?;
        let sql = "SELECT id, tenant_id, role, enabled, expires_at, created_at FROM domain_tokens ORDER BY created_at, id";
        let tokens: Vec<TokenRow> = sqlx::query_as(sql).fetch_all(&self.readers).await?;
        let logins = logins.into_iter().map(|row| self.login_from_row(row));
        Ok((logins.collect(), tokens.into_iter().map(token_from_row).collect()))
    }

    async fn insert_login(&self, login: &Login) -> Result<(), StorageError> {
        let secret =
            self.vault.seal(&context_of(login.tenant, &login.name), login.secret.reveal().as_bytes());
        let sql = "INSERT INTO logins (name, tenant_id, secret, created_at) VALUES (?, ?, ?, ?)";
        let query = sqlx::query(sql).bind(&login.name).bind(login.tenant.0).bind(secret);
        let query = query.bind(login.created_at.0);
        let what = |_: &str| format!("the login \"{}\"", login.name);
        self.insert_one(query, what).await
    }

    async fn delete_login(&self, tenant: TenantId, name: &str) -> Result<bool, StorageError> {
        let query = sqlx::query("DELETE FROM logins WHERE name = ? AND tenant_id = ?");
        self.changes_one(query.bind(name.to_owned()).bind(tenant.0)).await
    }

    async fn insert_token(&self, token: &DomainToken) -> Result<(), StorageError> {
        let sql = "INSERT INTO domain_tokens (id, tenant_id, role, enabled, expires_at, created_at) \
            VALUES (?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(sql).bind(&token.id).bind(token.tenant.0).bind(&token.role);
        let query = query.bind(token.enabled).bind(token.expires_at.0).bind(token.created_at.0);
        let what = |_: &str| format!("the token {}", token.id);
        self.insert_one(query, what).await
    }

    async fn enable_token(&self, tenant: TenantId, id: &str, enabled: bool) -> Result<bool, StorageError> {
        let query = sqlx::query("UPDATE domain_tokens SET enabled = ? WHERE id = ? AND tenant_id = ?");
        self.changes_one(query.bind(enabled).bind(id.to_owned()).bind(tenant.0)).await
    }

    async fn delete_token(&self, tenant: TenantId, id: &str) -> Result<bool, StorageError> {
        let query = sqlx::query("DELETE FROM domain_tokens WHERE id = ? AND tenant_id = ?");
        self.changes_one(query.bind(id.to_owned()).bind(tenant.0)).await
    }
}

impl SqliteStores {
    /// A login whose secret cannot be opened is [unreadable](Login::is_unreadable).
    fn login_from_row(&self, (name, tenant, secret, created_at): LoginRow) -> Login {
        let tenant = TenantId(tenant);
        let secret = unseal_text(&self.vault, "login", &context_of(tenant, &name), &secret);
        let secret = secret.unwrap_or_else(|error| {
            tracing::error!(%tenant, login = name, error = &error as &dyn std::error::Error, "a login's secret cannot be read: it is refused until it is made anew, or the engine is started with the key that it was encrypted with");
            SecretText::new("")
        });
        Login { name, tenant, secret, created_at: UnixMillis(created_at) }
    }
}

/// What a login's secret is sealed for.
pub fn context_of(tenant: TenantId, login: &str) -> String {
    format!("login/{tenant}/{login}")
}

fn token_from_row((id, tenant, role, enabled, expires_at, created_at): TokenRow) -> DomainToken {
    DomainToken {
        id,
        tenant: TenantId(tenant),
        role,
        enabled,
        expires_at: UnixMillis(expires_at),
        created_at: UnixMillis(created_at),
    }
}
