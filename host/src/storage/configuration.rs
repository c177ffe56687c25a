//! The traits for configuration: tenants, keys, logins, hooks, plugins.
//!
//! Each change is committed with its entry in the audit log; one that is refused leaves none.

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::directory::{ConfigChange, Revision};
use super::error::StorageError;
use crate::domain::{
    ApiKey, AuditEntry, Digest, DomainToken, Hook, HookId, KeyId, Login, PluginName, PluginVersion, Project,
    Tenant, TenantId, UnixMillis,
};

/// Tenants, their projects and their API keys.
#[async_trait]
pub trait TenantStore: Send + Sync {
    /// All tenants, projects and keys.
    async fn load(&self) -> Result<(Vec<Tenant>, Vec<Project>, Vec<ApiKey>), StorageError>;
    /// Adds a tenant. [`StorageError::Taken`] for a name or client id that is taken.
    async fn insert_tenant(&self, tenant: &Tenant, entry: &AuditEntry) -> Result<ConfigChange, StorageError>;
    /// Replaces the name and the options of a tenant. [`StorageError::Taken`] for a name that is taken.
    async fn update_tenant(
        &self,
        tenant: &Tenant,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Adds a project. [`StorageError::Taken`] for a number that the tenant has already.
    async fn insert_project(
        &self,
        project: &Project,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Removes a project.
    async fn delete_project(
        &self,
        tenant: TenantId,
        number: i64,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Adds a key.
    async fn insert_key(
        &self,
        key: &ApiKey,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Replaces name and end of a key.
    async fn update_key(
        &self,
        key: &ApiKey,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Adds the key `new`, and replaces name and end of `old`: both, or none if there is no such key.
    async fn rotate_key(
        &self,
        old: &ApiKey,
        new: &ApiKey,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Removes a key.
    async fn delete_key(
        &self,
        tenant: TenantId,
        id: KeyId,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
}

/// Credentials of clients of older systems.
#[async_trait]
pub trait AccessStore: Send + Sync {
    /// All logins and tokens.
    async fn load(&self) -> Result<(Vec<Login>, Vec<DomainToken>), StorageError>;
    /// Adds a login, its secret encrypted. [`StorageError::Taken`] for a name that the tenant has already;
    /// [`ConfigChange::Conflict`] also if another tenant has a login with the same name and secret.
    async fn insert_login(
        &self,
        login: &Login,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Removes a login.
    async fn delete_login(
        &self,
        tenant: TenantId,
        name: &str,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Adds a token. [`StorageError::Taken`] for an id that is taken.
    async fn insert_token(
        &self,
        token: &DomainToken,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Enables or disables a token.
    async fn enable_token(
        &self,
        tenant: TenantId,
        id: &str,
        enabled: bool,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Removes a token.
    async fn delete_token(
        &self,
        tenant: TenantId,
        id: &str,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
}

/// Hooks.
#[async_trait]
pub trait HookStore: Send + Sync {
    /// All hooks.
    async fn load(&self) -> Result<Vec<Hook>, StorageError>;
    /// Adds a hook.
    async fn insert(
        &self,
        hook: &Hook,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Replaces the hook with the same id and tenant if it was last changed at `expected` (compare-and-set); otherwise
    /// answers [`ConfigChange::Conflict`]. Each change must raise `updated_at`.
    async fn update(
        &self,
        hook: &Hook,
        expected: UnixMillis,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Removes a hook, and begins to cancel its deliveries that are not final. `None`: there was none.
    async fn delete(
        &self,
        tenant: TenantId,
        id: HookId,
        entry: &AuditEntry,
    ) -> Result<Option<HookDeletion>, StorageError>;
}

/// A hook that was deleted.
pub struct HookDeletion {
    /// The revision of the change.
    pub revision: Revision,
    /// The cancelling of its deliveries.
    pub cancelling: Cancelling,
}

/// Ends when all deliveries of a deleted hook are cancelled. The work goes on even if nobody waits for it.
pub type Cancelling = BoxFuture<'static, Result<(), StorageError>>;

/// Plugins: names, immutable versions, bytes by digest.
#[async_trait]
pub trait PluginStore: Send + Sync {
    /// All versions.
    async fn load(&self) -> Result<Vec<PluginVersion>, StorageError>;
    /// Adds a version with its bytes. Bytes are stored once for each digest.
    async fn insert(
        &self,
        version: &PluginVersion,
        wasm: &[u8],
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Removes a plugin with all its versions, and the bytes that no other version has.
    async fn delete(
        &self,
        tenant: TenantId,
        name: &PluginName,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Removes one version, and its bytes if no other version has them.
    async fn delete_version(
        &self,
        tenant: TenantId,
        name: &PluginName,
        version: u32,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// The bytes with this digest.
    async fn wasm(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StorageError>;
}
