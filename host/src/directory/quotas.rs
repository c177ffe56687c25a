//! How much configuration one tenant may store. All of it is in memory: each kind is limited in number, and kinds of varying
//! size also in bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cache::Directory;
use super::error::DirectoryError;
use super::locks::read;
use crate::domain::receiver_options::ReceiverOptions;
use crate::domain::{Hook, Limit, Pipeline, Tenant, TenantId, TenantLimits};

/// The limits of tenants that have none of their own. Existing configuration above a limit stays, and may be changed as long
/// as it does not grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas(pub TenantLimits);

impl Quotas {
    /// The greatest number of named keys of operators.
    pub const MAX_OPERATOR_KEYS: u64 = 100;
    /// The greatest number of plugins of one tenant.
    pub const MAX_PLUGINS: u64 = 1_000;
    /// The greatest number of versions of all plugins of one tenant.
    pub const MAX_PLUGIN_VERSIONS: u64 = 2_000;
    /// The greatest number of tokens of one tenant, expired ones too until they are deleted.
    pub const MAX_TOKENS: u64 = 10_000;
    /// The greatest number of logins of one tenant.
    pub const MAX_LOGINS: u64 = 1_000;
}

impl Default for Quotas {
    fn default() -> Self {
        Self(TenantLimits::from_iter([
            (Limit::Hooks, 10_000),
            (Limit::Keys, 1_000),
            (Limit::Projects, 10_000),
            (Limit::SettingsBytes, 32 << 20),
            (Limit::PluginBytes, 1 << 30),
        ]))
    }
}

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

/// The size of a hook without its texts: index entries and the struct.
const HOOK_OVERHEAD_BYTES: usize = 1_024;
/// The size of a list element without its text.
const ITEM_OVERHEAD_BYTES: usize = 48;

/// About how many bytes of memory a hook takes; a simple one about 1.5 KB.
pub(super) fn hook_bytes(hook: &Hook) -> usize {
    let item = |bytes: usize| bytes + ITEM_OVERHEAD_BYTES;
    let pipeline = |pipeline: &Pipeline| -> usize {
        pipeline.0.iter().map(|step| item(step.settings.len() + ITEM_OVERHEAD_BYTES)).sum()
    };
    let patterns = hook.subscription.patterns().iter().map(|it| 2 * item(it.text_len()));
    let headers = hook.headers.iter().map(|(name, value)| item(name.len() + value.len()));
    HOOK_OVERHEAD_BYTES
        + hook.url.as_str().len()
        + hook.description.len()
        + hook.origin.members.len()
        + hook.authorization.as_ref().map_or(0, |it| it.value.reveal().len())
        + patterns.chain(headers).sum::<usize>()
        + hook.masked_headers.iter().map(|name| item(name.len())).sum::<usize>()
        + pipeline(&hook.preflight)
        + pipeline(&hook.pipeline)
        + pipeline(&hook.options.batch_pipeline)
        + item(hook.secrets.len() * 64)
        + hook.receiver().map_or(0, ReceiverOptions::bytes)
        + size_of_val(hook.retry.waits())
}

/// Checks that a tenant with `used` items may add another.
///
/// # Errors
/// [`DirectoryError::TooMany`] if `used` has reached `limit`.
pub(super) fn check_count(what: &str, used: u64, limit: u64, hint: &str) -> Result<(), DirectoryError> {
    if used < limit {
        return Ok(());
    }
    Err(DirectoryError::TooMany(format!("the tenant has {used} {what}, and may have {limit}: {hint}")))
}

/// Checks that `used` bytes may grow by `more`.
///
/// # Errors
/// [`DirectoryError::TooMany`] if the sum exceeds `limit`.
fn check_bytes(what: &str, (used, more, limit): (u64, u64, u64), hint: &str) -> Result<(), DirectoryError> {
    if used.saturating_add(more) <= limit {
        return Ok(());
    }
    Err(DirectoryError::TooMany(format!(
        "the tenant's {what} take {used} bytes of {limit}, and this would add {more}: {hint}"
    )))
}
