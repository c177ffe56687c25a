//! Tenants, projects and keys in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::domain::{ApiKey, FlowMap, KeyId, Project, Rate, Tenant, TenantId};

/// Tenants, projects and keys in memory.
#[derive(Debug, Default)]
pub struct TenantIndex {
    pub(super) tenants: HashMap<TenantId, Arc<Tenant>>,
    pub(super) by_name: HashMap<String, TenantId>,
    /// The rates of tenants that have one.
    pub(super) rates: FlowMap<TenantId, Rate>,
    pub(super) projects: HashMap<TenantId, BTreeMap<i64, Arc<Project>>>,
    /// By the hash of their text.
    pub(super) keys: HashMap<[u8; 32], Arc<ApiKey>>,
    pub(super) keys_of: HashMap<TenantId, BTreeMap<KeyId, Arc<ApiKey>>>,
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

    pub(super) fn add_tenant(&mut self, tenant: Arc<Tenant>) {
        self.by_name.insert(tenant.name.clone(), tenant.id);
        self.rates.set(tenant.id, tenant.options.max_per_second);
        self.tenants.insert(tenant.id, tenant);
    }

    /// How many tenants are paused.
    pub(super) fn paused(&self) -> usize {
        self.tenants.values().filter(|tenant| tenant.options.paused_since.is_some()).count()
    }

    pub(super) fn add_project(&mut self, project: Arc<Project>) {
        self.projects.entry(project.tenant).or_default().insert(project.number, project);
    }

    pub(super) fn add_key(&mut self, key: Arc<ApiKey>) {
        self.keys.insert(key.hash, Arc::clone(&key));
        self.keys_of.entry(key.tenant).or_default().insert(key.id, key);
    }

    pub(super) fn remove_project(&mut self, tenant: TenantId, number: i64) {
        if let Some(projects) = self.projects.get_mut(&tenant) {
            projects.remove(&number);
        }
    }

    pub(super) fn remove_key(&mut self, tenant: TenantId, id: KeyId) {
        if let Some(key) = self.keys_of.get_mut(&tenant).and_then(|keys| keys.remove(&id)) {
            self.keys.remove(&key.hash);
        }
    }
}
