//! Tenants, projects and keys in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::use_mark::UseMark;
use crate::domain::{ApiKey, FlowMap, KeyId, Limit, Project, Rate, Tenant, TenantId};

/// Tenants, projects and keys in memory.
#[derive(Debug, Default)]
pub struct TenantIndex {
    pub(super) tenants: HashMap<TenantId, Arc<Tenant>>,
    pub(super) by_name: HashMap<String, TenantId>,
    /// The rates of tenants that have one.
    pub(super) rates: FlowMap<TenantId, Rate>,
    /// The limits of requests in flight of tenants that have one of their own.
    pub(super) in_flight: FlowMap<TenantId, u32>,
    pub(super) projects: HashMap<TenantId, BTreeMap<i64, Arc<Project>>>,
    /// By the hash of their text.
    pub(super) keys: HashMap<[u8; 32], KnownApiKey>,
    pub(super) keys_of: HashMap<TenantId, BTreeMap<KeyId, Arc<ApiKey>>>,
}

/// A key, and whether it was used.
#[derive(Debug)]
pub struct KnownApiKey {
    pub(super) key: Arc<ApiKey>,
    pub(super) mark: UseMark,
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
        let former = self.tenants.get(&tenant.id).filter(|former| former.name != tenant.name);
        if let Some(name) = former.map(|former| &former.name)
            // Another tenant may have the name by now.
            && self.by_name.get(name) == Some(&tenant.id)
        {
            self.by_name.remove(name);
        }
        if tenant.options.is_being_deleted() {
            self.forget_credentials(tenant.id);
        } else {
            self.by_name.insert(tenant.name.clone(), tenant.id);
        }
        self.rates.set(tenant.id, tenant.options.max_per_second);
        let limits = tenant.options.limits.as_deref();
        let in_flight = limits.and_then(|limits| limits.get(Limit::InFlight));
        self.in_flight.set(tenant.id, in_flight.map(|most| u32::try_from(most).unwrap_or(u32::MAX)));
        self.tenants.insert(tenant.id, tenant);
    }

    /// Removes a tenant with its projects and keys.
    pub(super) fn remove_tenant(&mut self, id: TenantId) {
        self.forget_credentials(id);
        self.projects.remove(&id);
        self.rates.set(id, None);
        self.in_flight.set(id, None);
        if let Some(tenant) = self.tenants.remove(&id)
            && self.by_name.get(&tenant.name) == Some(&id)
        {
            self.by_name.remove(&tenant.name);
        }
    }

    fn forget_credentials(&mut self, tenant: TenantId) {
        for key in self.keys_of.remove(&tenant).into_iter().flat_map(BTreeMap::into_values) {
            self.keys.remove(&key.hash);
        }
    }

    pub(super) fn is_being_deleted(&self, tenant: TenantId) -> bool {
        self.tenants.get(&tenant).is_some_and(|tenant| tenant.options.is_being_deleted())
    }

    /// How many tenants satisfy `is_it`.
    pub(super) fn count(&self, is_it: impl Fn(&Tenant) -> bool) -> usize {
        self.tenants.values().filter(|tenant| is_it(tenant)).count()
    }

    pub(super) fn add_project(&mut self, project: Arc<Project>) {
        self.projects.entry(project.tenant).or_default().insert(project.number, project);
    }

    /// Adds a key, or replaces the one with the same id. The keys of a tenant that is being deleted are not valid any more.
    pub(super) fn add_key(&mut self, key: Arc<ApiKey>) {
        if self.is_being_deleted(key.tenant) {
            return;
        }
        let mark = self.keys.remove(&key.hash).map(|known| known.mark).unwrap_or_default();
        self.keys.insert(key.hash, KnownApiKey { key: Arc::clone(&key), mark });
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
