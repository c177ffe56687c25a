//! Loads all configuration.

use super::access_index::AccessIndex;
use super::hook_index::HookIndex;
use super::operator_key_index::OperatorKeyIndex;
use super::plugin_index::PluginIndex;
use super::tenant_index::TenantIndex;
use crate::storage::{Revision, Storage, StorageError};

/// All indexes, as of one revision or a later one.
pub(super) struct Loaded {
    pub revision: Revision,
    pub tenants: TenantIndex,
    pub access: AccessIndex,
    pub operator_keys: OperatorKeyIndex,
    pub hooks: HookIndex,
    pub plugins: PluginIndex,
}

/// Reads all configuration. The revision comes first: changes that are made meanwhile are followed again.
pub(super) async fn load(storage: &Storage) -> Result<Loaded, StorageError> {
    let revision = storage.directory.revision().await?;
    let (tenants, projects, keys) = storage.tenants.load().await?;
    let (logins, tokens) = storage.access.load().await?;
    let operator_keys = storage.keys.load_operator_keys().await?;
    let hooks = storage.hooks.load().await?;
    let versions = storage.plugins.load().await?;
    let tenants = TenantIndex::new(tenants, projects, keys);
    let mut access = AccessIndex::new(logins, tokens);
    let deleted = tenants.tenants.values().filter(|tenant| tenant.options.is_being_deleted());
    deleted.for_each(|tenant| access.remove_tenant(tenant.id));
    Ok(Loaded {
        revision,
        tenants,
        access,
        operator_keys: OperatorKeyIndex::new(operator_keys),
        hooks: HookIndex::new(hooks),
        plugins: PluginIndex::new(versions),
    })
}
