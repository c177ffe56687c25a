//! Tenants, projects and keys.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::quotas::{Quotas, check_count};
use super::{Directory, DirectoryError, read, write};
use crate::domain::hash::sha256;
use crate::domain::{ApiKey, KeyId, Project, Scopes, Tenant, TenantId};
use crate::random;

/// Tenants, projects and keys in memory.
#[derive(Debug, Default)]
pub struct TenantIndex {
    tenants: HashMap<TenantId, Arc<Tenant>>,
    by_name: HashMap<String, TenantId>,
    projects: HashMap<TenantId, BTreeMap<i64, Arc<Project>>>,
    /// By the hash of their text.
    keys: HashMap<[u8; 32], Arc<ApiKey>>,
    keys_of: HashMap<TenantId, BTreeMap<KeyId, Arc<ApiKey>>>,
}

impl TenantIndex {
    /// An index of these.
    #[must_use]
    pub fn new(tenants: Vec<Tenant>, projects: Vec<Project>, keys: Vec<ApiKey>) -> Self {
        let mut index = Self::default();
        tenants.into_iter().for_each(|tenant| index.add_tenant(Arc::new(tenant)));
        projects.into_iter().for_each(|project| index.add_project(Arc::new(project)));
        keys.into_iter().for_each(|key| index.add_key(Arc::new(key)));
        index
    }

    fn add_tenant(&mut self, tenant: Arc<Tenant>) {
        self.by_name.insert(tenant.name.clone(), tenant.id);
        self.tenants.insert(tenant.id, tenant);
    }

    fn add_project(&mut self, project: Arc<Project>) {
        self.projects.entry(project.tenant).or_default().insert(project.number, project);
    }

    fn add_key(&mut self, key: Arc<ApiKey>) {
        self.keys.insert(key.hash, Arc::clone(&key));
        self.keys_of.entry(key.tenant).or_default().insert(key.id, key);
    }

    fn remove_key(&mut self, tenant: TenantId, id: KeyId) {
        if let Some(key) = self.keys_of.get_mut(&tenant).and_then(|keys| keys.remove(&id)) {
            self.keys.remove(&key.hash);
        }
    }
}

/// What an API key begins with, so that people and secret scanners know one when they see it.
const KEY_PREFIX: &str = "hwk_";

/// A new key: 256 random bits behind `hwk_`.
#[must_use]
pub fn new_key_text() -> String {
    format!("{KEY_PREFIX}{}", hex::encode(random::secret_bytes::<32>()))
}

/// What is kept of a key.
#[must_use]
pub fn hash_key(key: &str) -> [u8; 32] {
    sha256(&[key.as_bytes()])
}

impl Directory {
    /// One tenant.
    pub fn tenant(&self, id: TenantId) -> Option<Arc<Tenant>> {
        read(&self.tenants).tenants.get(&id).cloned()
    }

    /// The tenant with this name or id, in text.
    pub fn tenant_named(&self, name_or_id: &str) -> Option<Arc<Tenant>> {
        let index = read(&self.tenants);
        let id = name_or_id.parse().ok().or_else(|| index.by_name.get(name_or_id).copied())?;
        index.tenants.get(&id).cloned()
    }

    /// All tenants, oldest first.
    pub fn tenants(&self) -> Vec<Arc<Tenant>> {
        let mut all: Vec<_> = read(&self.tenants).tenants.values().cloned().collect();
        all.sort_by_key(|tenant| tenant.id);
        all
    }

    /// Creates a tenant.
    ///
    /// # Errors
    /// Where the name or the client id is taken.
    pub async fn create_tenant(
        &self,
        name: String,
        client_id: Option<i64>,
    ) -> Result<Arc<Tenant>, DirectoryError> {
        let _turn = self.mutation.lock().await;
        let now = self.clock.now();
        let id = TenantId::generate(&self.ids, now);
        let tenant = Arc::new(Tenant { id, name, client_id, created_at: now });
        self.storage.tenants.insert_tenant(&tenant).await?;
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
    /// If the tenant has that number already, or 10,000 projects.
    pub async fn create_project(
        &self,
        tenant: TenantId,
        number: i64,
        name: Option<String>,
    ) -> Result<Arc<Project>, DirectoryError> {
        let _turn = self.change_of(tenant).await?;
        let used = read(&self.tenants).projects.get(&tenant).map_or(0, BTreeMap::len);
        check_count("projects", used, Quotas::MAX_PROJECTS, "delete projects that no hook names")?;
        let project = Arc::new(Project { tenant, number, name, created_at: self.clock.now() });
        self.storage.tenants.insert_project(&project).await?;
        write(&self.tenants).add_project(Arc::clone(&project));
        Ok(project)
    }

    /// Deletes a project; false if there was none.
    ///
    /// # Errors
    /// Where a hook wants its events, or storage fails.
    pub async fn delete_project(&self, tenant: TenantId, number: i64) -> Result<bool, DirectoryError> {
        let _turn = self.change_of(tenant).await?;
        if let Some(hook) = self.hooks(tenant).iter().find(|hook| hook.project == Some(number)) {
            let what =
                format!("the hook {} wants the events of project {number}; delete that first", hook.id);
            return Err(DirectoryError::InUse(what));
        }
        let was_there = self.storage.tenants.delete_project(tenant, number).await?;
        if let Some(projects) = write(&self.tenants).projects.get_mut(&tenant) {
            projects.remove(&number);
        }
        Ok(was_there)
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

    /// Creates a key, and returns it with its text, which is not kept.
    ///
    /// # Errors
    /// If the tenant has 1,000 keys already, or storage fails.
    pub async fn create_key(
        &self,
        tenant: TenantId,
        name: String,
        scopes: Scopes,
    ) -> Result<(Arc<ApiKey>, String), DirectoryError> {
        let _turn = self.change_of(tenant).await?;
        let used = read(&self.tenants).keys_of.get(&tenant).map_or(0, BTreeMap::len);
        check_count("keys", used, Quotas::MAX_KEYS, "delete keys that nobody uses")?;
        let (text, now) = (new_key_text(), self.clock.now());
        let id = KeyId::generate(&self.ids, now);
        let key = Arc::new(ApiKey { id, tenant, name, scopes, hash: hash_key(&text), created_at: now });
        self.storage.tenants.insert_key(&key).await?;
        write(&self.tenants).add_key(Arc::clone(&key));
        Ok((key, text))
    }

    /// Deletes a key; false if there was none. It is refused from then on.
    ///
    /// # Errors
    /// Where storage fails.
    pub async fn delete_key(&self, tenant: TenantId, id: KeyId) -> Result<bool, DirectoryError> {
        let _turn = self.change_of(tenant).await?;
        let was_there = self.storage.tenants.delete_key(tenant, id).await?;
        write(&self.tenants).remove_key(tenant, id);
        Ok(was_there)
    }
}
