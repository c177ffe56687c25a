//! The limits of tenants, and how much of them is used.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cache::Directory;
use super::error::DirectoryError;
use super::locks::read;
use super::quotas::{check_bytes, check_count};
use crate::clock;
use crate::domain::{Limit, Tenant, TenantId, TenantLimits};

/// Limits that are looked up for each event or delivery, and that mostly no tenant has.
const RARE: [Limit; 3] = [Limit::EventsPerSecond, Limit::StorageBytes, Limit::FuelPerMinute];

impl Directory {
    /// Whether any tenant has one of the [`RARE`] limits.
    pub(super) fn has_rare_limits(&self) -> bool {
        let any = |limits: &TenantLimits| RARE.iter().any(|limit| limits.get(*limit).is_some());
        any(&self.quotas.0)
            || read(&self.tenants).count(|tenant| tenant.options.limits.as_deref().is_some_and(any)) > 0
    }

    /// A limit of `tenant`: its own, or that of the settings. `None`: it is not limited.
    pub fn limit(&self, tenant: TenantId, limit: Limit) -> Option<u64> {
        let own = |tenant: &Arc<Tenant>| tenant.options.limits.as_deref()?.get(limit);
        read(&self.tenants).tenants.get(&tenant).and_then(own).or_else(|| self.default_limit(limit))
    }

    /// As [`Self::limit`], for a limit that mostly no tenant has: then it costs the look at one number.
    pub fn rarely_limited(&self, tenant: TenantId, limit: Limit) -> Option<u64> {
        if self.pauses.has_rare_limits() { self.limit(tenant, limit) } else { None }
    }

    /// The tenants that have a limit which mostly no tenant has.
    pub fn tenants_limited_in(&self, limit: Limit) -> Vec<TenantId> {
        if !self.pauses.has_rare_limits() {
            return Vec::new();
        }
        let of_all = self.default_limit(limit).is_some();
        let own =
            |tenant: &Tenant| tenant.options.limits.as_deref().is_some_and(|of| of.get(limit).is_some());
        let tenants = read(&self.tenants);
        tenants.tenants.values().filter(|tenant| of_all || own(tenant)).map(|tenant| tenant.id).collect()
    }

    /// The limit of tenants that have none of their own.
    pub fn default_limit(&self, limit: Limit) -> Option<u64> {
        self.quotas.0.get(limit)
    }

    /// How much of a limit `tenant` uses, if it is one of configuration.
    pub fn configured(&self, tenant: TenantId, limit: Limit) -> Option<u64> {
        let count = |used: usize| Some(used as u64);
        match limit {
            Limit::Hooks => count(read(&self.hooks).usage(tenant).0),
            Limit::SettingsBytes => count(read(&self.hooks).usage(tenant).1),
            Limit::Keys => count(read(&self.tenants).keys_of.get(&tenant).map_or(0, BTreeMap::len)),
            Limit::Projects => count(read(&self.tenants).projects.get(&tenant).map_or(0, BTreeMap::len)),
            Limit::PluginBytes => {
                Some(read(&self.plugins).owners.get(&Some(tenant)).map_or(0, |owned| owned.bytes))
            }
            Limit::ChangesPerDay => {
                let limit = self.limit(tenant, limit)?;
                Some(self.change_budgets.used(tenant, limit, clock::monotonic()))
            }
            Limit::EventsPerSecond | Limit::StorageBytes | Limit::FuelPerMinute | Limit::InFlight => None,
        }
    }

    /// Checks that `tenant` may have another of what `limit` counts.
    ///
    /// # Errors
    /// [`DirectoryError::TooMany`] if it has reached the limit.
    pub(super) fn check_count_of(
        &self,
        tenant: TenantId,
        limit: Limit,
        hint: &str,
    ) -> Result<(), DirectoryError> {
        let used = self.configured(tenant, limit).unwrap_or(0);
        check_count(limit.as_str(), used, self.limit(tenant, limit).unwrap_or(u64::MAX), hint)
    }

    /// Checks that what `limit` counts of `tenant` may grow by `more` bytes.
    ///
    /// # Errors
    /// [`DirectoryError::TooMany`] if the sum exceeds the limit.
    pub(super) fn check_bytes_of(
        &self,
        tenant: TenantId,
        (limit, what): (Limit, &str),
        more: u64,
        hint: &str,
    ) -> Result<(), DirectoryError> {
        let used = self.configured(tenant, limit).unwrap_or(0);
        let most = self.limit(tenant, limit).unwrap_or(u64::MAX);
        check_bytes(what, (used, more, most), hint)
    }
}
