//! Which quotas a tenant has nearly reached.

use super::cache::Directory;
use super::locks::read;
use super::quotas::Quotas;
use crate::domain::TenantId;

/// A quota that a tenant has nearly reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NearQuota {
    /// The setting that limits it.
    pub name: &'static str,
    /// How much is used.
    pub used: u64,
    /// How much may be used.
    pub limit: u64,
}

impl Directory {
    /// The quotas that `tenant` uses to nine tenths or more.
    pub fn near_quotas(&self, tenant: TenantId) -> Vec<NearQuota> {
        let (hooks, config) = read(&self.hooks).usage(tenant);
        let plugins = read(&self.plugins).owners.get(&Some(tenant)).map_or(0, |owned| owned.bytes);
        let Quotas { hooks: max_hooks, config_bytes, plugin_bytes } = self.quotas;
        let all = [
            ("max_hooks_per_tenant", hooks as u64, max_hooks as u64),
            ("max_config_bytes_per_tenant", config as u64, config_bytes as u64),
            ("max_plugin_bytes_per_tenant", plugins, plugin_bytes),
        ];
        let near =
            all.into_iter().filter(|(_, used, limit)| used.saturating_mul(10) >= limit.saturating_mul(9));
        near.map(|(name, used, limit)| NearQuota { name, used, limit }).collect()
    }
}
