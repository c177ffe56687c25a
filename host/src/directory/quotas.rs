//! How much configuration one tenant may store. All of it is in memory: each kind is limited in number, and kinds of varying
//! size also in bytes.

use super::error::DirectoryError;
use crate::domain::{Limit, TenantLimits};

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
            (Limit::ChangesPerDay, 20_000),
        ]))
    }
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
pub(super) fn check_bytes(
    what: &str,
    (used, more, limit): (u64, u64, u64),
    hint: &str,
) -> Result<(), DirectoryError> {
    if used.saturating_add(more) <= limit {
        return Ok(());
    }
    Err(DirectoryError::TooMany(format!(
        "the tenant's {what} take {used} bytes of {limit}, and this would add {more}: {hint}"
    )))
}
