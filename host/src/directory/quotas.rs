//! How much configuration one tenant may store. All of it is in memory: each kind is limited in number, and kinds of varying
//! size also in bytes.

use super::error::DirectoryError;
use crate::domain::receiver_options::ReceiverOptions;
use crate::domain::{Hook, Pipeline};

/// The limits of one tenant. Existing configuration above a limit stays, and may be changed as long as it does not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// The greatest number of hooks.
    pub hooks: usize,
    /// The greatest size of all hooks together, as [`hook_bytes`] counts it.
    pub config_bytes: usize,
    /// The greatest size of all plugin versions together, in bytes as uploaded.
    pub plugin_bytes: u64,
}

impl Quotas {
    /// The greatest number of API keys of one tenant.
    pub const MAX_KEYS: usize = 1_000;
    /// The greatest number of projects of one tenant.
    pub const MAX_PROJECTS: usize = 10_000;
    /// The greatest number of plugins of one tenant.
    pub const MAX_PLUGINS: usize = 1_000;
    /// The greatest number of versions of all plugins of one tenant.
    pub const MAX_PLUGIN_VERSIONS: usize = 2_000;
    /// The greatest number of tokens of one tenant, expired ones too until they are deleted.
    pub const MAX_TOKENS: usize = 10_000;
    /// The greatest number of logins of one tenant.
    pub const MAX_LOGINS: usize = 1_000;
}

impl Default for Quotas {
    fn default() -> Self {
        Self { hooks: 10_000, config_bytes: 32 << 20, plugin_bytes: 1 << 30 }
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
        + item(hook.secrets.len() * 64)
        + hook.receiver().map_or(0, ReceiverOptions::bytes)
        + size_of_val(hook.retry.waits())
}

/// Checks that a tenant with `used` items may add another.
///
/// # Errors
/// [`DirectoryError::TooMany`] if `used` has reached `limit`.
pub(super) fn check_count(what: &str, used: usize, limit: usize, hint: &str) -> Result<(), DirectoryError> {
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
