//! Which quotas a tenant has nearly reached.

use super::cache::Directory;
use crate::domain::{Limit, TenantId};

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

impl NearQuota {
    /// If `used` is nine tenths of `most` or more. Nothing is near to a limit of nothing.
    #[must_use]
    pub fn of(limit: Limit, used: u64, most: u64) -> Option<Self> {
        let is_near = used > 0 && used.saturating_mul(10) >= most.saturating_mul(9);
        is_near.then_some(Self { name: limit.setting(), used, limit: most })
    }
}

impl Directory {
    /// The quotas of configuration that `tenant` uses to nine tenths or more.
    pub fn near_quotas(&self, tenant: TenantId) -> Vec<NearQuota> {
        let near = |limit: &Limit| {
            NearQuota::of(*limit, self.configured(tenant, *limit)?, self.limit(tenant, *limit)?)
        };
        Limit::ALL.iter().filter_map(near).collect()
    }
}
