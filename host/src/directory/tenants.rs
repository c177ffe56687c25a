//! Tenants, projects and keys.

use std::sync::Arc;

use super::cache::Directory;
use super::error::DirectoryError;
use super::locks::{read, write};
use crate::domain::hash::sha256;
use crate::domain::{ApiKey, KeyId, Limit, Project, Scopes, Tenant, TenantId, TenantOptions};
use crate::random;

/// The prefix of API keys, by which people and secret scanners recognize them.
const KEY_PREFIX: &str = "hwk_";

/// A new key: 256 random bits behind `hwk_`.
#[must_use]
pub fn new_key_text() -> String {
    format!("{KEY_PREFIX}{}", hex::encode(random::secret_bytes::<32>()))
}

/// The SHA-256 hash that is stored of a key.
#[must_use]
pub fn hash_key(key: &str) -> [u8; 32] {
    sha256(&[key.as_bytes()])
}

impl Directory {
    /// One tenant, also one that is being deleted.
    pub fn tenant(&self, id: TenantId) -> Option<Arc<Tenant>> {
        read(&self.tenants).tenants.get(&id).cloned()
    }

    /// The tenant with this name, or with this id in text form.
    pub fn tenant_named(&self, name_or_id: &str) -> Option<Arc<Tenant>> {
        let index = read(&self.tenants);
        let id = name_or_id.parse().ok().or_else(|| index.by_name.get(name_or_id).copied())?;
        index.tenants.get(&id).filter(|tenant| tenant.options.deleting_since.is_none()).cloned()
    }

    /// All tenants, oldest first.
    pub fn tenants(&self) -> Vec<Arc<Tenant>> {
        self.tenants_that(|tenant| tenant.options.deleting_since.is_none())
    }

    /// The tenants that are being deleted, oldest first.
    pub fn tenants_being_deleted(&self) -> Vec<Arc<Tenant>> {
        if !self.pauses.any() {
            return Vec::new();
        }
        self.tenants_that(|tenant| tenant.options.deleting_since.is_some())
    }

    fn tenants_that(&self, are: impl Fn(&Tenant) -> bool) -> Vec<Arc<Tenant>> {
        let index = read(&self.tenants);
        let mut all: Vec<_> = index.tenants.values().filter(|tenant| are(tenant)).cloned().collect();
        all.sort_by_key(|tenant| tenant.id);
        all
    }

    /// Creates a tenant.
    ///
    /// # Errors
    /// If the name or the client id is taken.
    pub async fn create_tenant(
        &self,
        name: String,
        client_id: Option<i64>,
    ) -> Result<Arc<Tenant>, DirectoryError> {
        let mut revision = self.mutation.lock().await;
        let now = self.clock.now();
        let id = TenantId::generate(&self.ids, now);
        let tenant =
            Arc::new(Tenant { id, name, client_id, options: TenantOptions::default(), created_at: now });
        let change = self.storage.tenants.insert_tenant(&tenant).await?;
        self.committed(&mut revision, change).await?;
        write(&self.tenants).add_tenant(Arc::clone(&tenant));
        Ok(tenant)
    }

    /// Whether `tenant` has the project `number`.
    pub fn has_project(&self, tenant: TenantId, number: i64) -> bool {
        let index = read(&self.tenants);
        index.projects.get(&tenant).is_some_and(|all| all.contains_key(&number))
    }

    /// A tenant's projects, in the order of their numbers.
    pub fn projects(&self, tenant: TenantId) -> Vec<Arc<Project>> {
        let index = read(&self.tenants);
        index.projects.get(&tenant).map_or_else(Vec::new, |all| all.values().cloned().collect())
    }

    /// Creates a project.
    ///
    /// # Errors
    /// If the tenant has that number already, or as many projects as it may have.
    pub async fn create_project(
        &self,
        tenant: TenantId,
        number: i64,
        name: Option<String>,
    ) -> Result<Arc<Project>, DirectoryError> {
        let mut permit = self.permit_change(tenant).await?;
        self.check_count_of(tenant, Limit::Projects, "delete projects that no hook names")?;
        let project = Arc::new(Project { tenant, number, name, created_at: self.clock.now() });
        let change = self.storage.tenants.insert_project(&project, *permit.revision).await?;
        self.committed(&mut permit.revision, change).await?;
        write(&self.tenants).add_project(Arc::clone(&project));
        Ok(project)
    }

    /// Deletes a project; false if there was none.
    ///
    /// # Errors
    /// If a hook is limited to the project, or storage fails.
    pub async fn delete_project(&self, tenant: TenantId, number: i64) -> Result<bool, DirectoryError> {
        let mut permit = self.permit_change(tenant).await?;
        if let Some(hook) = self.hooks(tenant).iter().find(|hook| hook.project == Some(number)) {
            let what =
                format!("the hook {} wants the events of project {number}; delete that first", hook.id);
            return Err(DirectoryError::InUse(what));
        }
        let change = self.storage.tenants.delete_project(tenant, number, *permit.revision).await?;
        let existed = self.committed(&mut permit.revision, change).await?;
        write(&self.tenants).remove_project(tenant, number);
        Ok(existed)
    }

    /// The key whose text hashes to `hash`.
    pub fn key_with_hash(&self, hash: &[u8; 32]) -> Option<Arc<ApiKey>> {
        read(&self.tenants).keys.get(hash).cloned()
    }

    /// A tenant's keys, oldest first.
    pub fn keys(&self, tenant: TenantId) -> Vec<Arc<ApiKey>> {
        let index = read(&self.tenants);
        index.keys_of.get(&tenant).map_or_else(Vec::new, |all| all.values().cloned().collect())
    }

    /// Creates a key. Returns it with its text, which is not stored.
    ///
    /// # Errors
    /// If the tenant has as many keys as it may have, or storage fails.
    pub async fn create_key(
        &self,
        tenant: TenantId,
        name: String,
        scopes: Scopes,
    ) -> Result<(Arc<ApiKey>, String), DirectoryError> {
        let mut permit = self.permit_change(tenant).await?;
        self.check_count_of(tenant, Limit::Keys, "delete keys that nobody uses")?;
        let (text, now) = (new_key_text(), self.clock.now());
        let id = KeyId::generate(&self.ids, now);
        let key = Arc::new(ApiKey { id, tenant, name, scopes, hash: hash_key(&text), created_at: now });
        let change = self.storage.tenants.insert_key(&key, *permit.revision).await?;
        self.committed(&mut permit.revision, change).await?;
        write(&self.tenants).add_key(Arc::clone(&key));
        Ok((key, text))
    }

    /// Deletes a key; false if there was none. It is refused from then on.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn delete_key(&self, tenant: TenantId, id: KeyId) -> Result<bool, DirectoryError> {
        let mut permit = self.permit_change(tenant).await?;
        let change = self.storage.tenants.delete_key(tenant, id).await?;
        let existed = self.committed(&mut permit.revision, change).await?;
        write(&self.tenants).remove_key(tenant, id);
        Ok(existed)
    }
}
