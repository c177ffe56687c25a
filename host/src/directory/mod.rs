//! Write-through in-memory cache of the configuration: tenants, projects, keys, logins, hooks, plugin versions.
//!
//! It is loaded at the start. Every change goes to storage first, so memory never holds more than the disk. A lookup costs no
//! database read, which matters most on the way of an event. Changes run one at a time, so memory changes in the order of
//! the commits; readers do not wait for them. Changes of other nodes are [followed](Directory::follow).

mod access;
mod access_index;
mod cache;
mod change_budgets;
mod deleting;
mod editor;
mod error;
mod flows;
mod follow;
mod freshness;
mod hook_index;
mod hook_size;
mod hooks;
mod key_text;
mod keys;
mod limits;
mod load;
mod locks;
mod near_quotas;
mod operator_key_index;
mod operator_keys;
mod pauses;
mod pausing;
mod plugin_index;
mod plugins;
mod quotas;
mod standard;
mod tenant_index;
mod tenants;
#[cfg(test)]
mod tests;
mod use_mark;

pub use cache::Directory;
pub use editor::ConfigEditor;
pub use error::DirectoryError;
pub use follow::Followed;
pub use freshness::StaleConfiguration;
pub use key_text::{hash_key, new_key_text};
pub use keys::{KeyRefusal, KnownKey};
pub use near_quotas::NearQuota;
pub use operator_keys::OperatorKeyChange;
pub use plugins::{PluginUse, Uploaded, named_hooks};
pub use quotas::Quotas;
pub use standard::{STANDARD_PLUGINS, StandardPlugin};
pub use tenants::{KeyChange, KeyRotation};
