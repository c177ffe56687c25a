//! Changes of configuration: revisions, and what caches need to follow them.

use crate::domain::{
    ApiKey, DomainToken, Hook, HookId, KeyId, Login, OperatorKey, OperatorKeyId, PluginName, PluginVersion,
    Project, Tenant, TenantId,
};

/// Counts the changes of configuration: each one raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

impl Revision {
    /// As the basis of a change: whatever changed before, it is no conflict.
    pub const ANY: Self = Self(i64::MAX);
}

/// The result of a change of configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigChange {
    /// It is committed, with this revision.
    Done(Revision),
    /// There is nothing to change.
    Missing,
    /// Something that the change depends on has changed since its basis. Nothing is stored: follow the changes, check the
    /// change again, and repeat it.
    Conflict,
}

impl ConfigChange {
    /// Whether it is committed.
    #[must_use]
    pub fn is_done(self) -> bool {
        matches!(self, Self::Done(_))
    }
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConfigKey {
    /// A tenant.
    Tenant(TenantId),
    /// A project, by its number.
    Project(TenantId, i64),
    /// An API key.
    Key(TenantId, KeyId),
    /// A key of an operator.
    OperatorKey(OperatorKeyId),
    /// A login, by its name.
    Login(TenantId, String),
    /// A domain token, by its id.
    Token(TenantId, String),
    /// A hook.
    Hook(TenantId, HookId),
    /// A plugin: any of its versions.
    Plugin(TenantId, PluginName),
}

/// What changed, as it is now; without a value, it was removed.
#[derive(Debug, Clone, PartialEq)]
pub enum ConfigItem {
    /// A tenant.
    Tenant(TenantId, Option<Tenant>),
    /// A project.
    Project(TenantId, i64, Option<Project>),
    /// An API key.
    Key(TenantId, KeyId, Option<ApiKey>),
    /// A key of an operator.
    OperatorKey(OperatorKeyId, Option<OperatorKey>),
    /// A login.
    Login(TenantId, String, Option<Login>),
    /// A domain token.
    Token(TenantId, String, Option<DomainToken>),
    /// A hook.
    Hook(TenantId, HookId, Option<Box<Hook>>),
    /// A plugin, with all its versions that are left.
    Plugin(TenantId, PluginName, Vec<PluginVersion>),
}

/// The changes since a revision.
#[derive(Debug, Clone, PartialEq)]
pub enum Changes {
    /// All of them, each changed thing once, as of `revision`.
    Since {
        /// The revision that they lead to.
        revision: Revision,
        /// What changed.
        changed: Vec<ConfigItem>,
    },
    /// So many that the first are no longer known: load everything again.
    TooMany,
}
