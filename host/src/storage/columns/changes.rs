//! Changes of configuration from and to columns.

use std::str::FromStr;

use super::values::damaged;
use crate::domain::{HookId, KeyId, OperatorKeyId, TenantId};
use crate::storage::{ConfigKey, StorageError};

/// In place of a tenant, for what belongs to none.
pub const OPERATORS: TenantId = TenantId(0);

/// The kind, tenant and name of what changed, for a row of the log.
pub fn config_key_columns(key: &ConfigKey) -> (&'static str, TenantId, String) {
    match key {
        ConfigKey::Tenant(id) => ("tenant", *id, String::new()),
        ConfigKey::Project(tenant, number) => ("project", *tenant, number.to_string()),
        ConfigKey::Key(tenant, id) => ("key", *tenant, id.0.to_string()),
        // An older build looks for an API key with this id, and finds none. It knows no other kind.
        ConfigKey::OperatorKey(id) => ("key", OPERATORS, id.0.to_string()),
        ConfigKey::Login(tenant, name) => ("login", *tenant, name.clone()),
        ConfigKey::Token(tenant, id) => ("token", *tenant, id.clone()),
        ConfigKey::Hook(tenant, id) => ("hook", *tenant, id.0.to_string()),
        ConfigKey::Plugin(tenant, name) => ("plugin", *tenant, name.to_string()),
    }
}

/// What changed, from a row of the log.
pub fn config_key_from_row((kind, tenant, name): (String, i64, String)) -> Result<ConfigKey, StorageError> {
    let tenant = TenantId(tenant);
    let number = || i64::from_str(&name).map_err(|error| damaged("configuration change", error));
    Ok(match kind.as_str() {
        "tenant" => ConfigKey::Tenant(tenant),
        "project" => ConfigKey::Project(tenant, number()?),
        "key" if tenant == OPERATORS => ConfigKey::OperatorKey(OperatorKeyId(number()?)),
        "key" => ConfigKey::Key(tenant, KeyId(number()?)),
        "login" => ConfigKey::Login(tenant, name),
        "token" => ConfigKey::Token(tenant, name),
        "hook" => ConfigKey::Hook(tenant, HookId(number()?)),
        "plugin" => {
            ConfigKey::Plugin(tenant, name.parse().map_err(|error| damaged("configuration change", error))?)
        }
        other => return Err(damaged("configuration change", format_args!("unknown kind `{other}`"))),
    })
}
