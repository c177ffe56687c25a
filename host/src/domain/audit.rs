//! The audit log: who changed what of the configuration, when, and from where.
//!
//! An entry names the members that changed. It has their old and new values only if these are never secret.

mod members;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::attempt::named_enum;
use super::{
    AuditId, HookId, Invalid, JobId, KeyId, OperatorKeyId, PluginName, Surface, TenantId, UnixMillis,
};

pub use members::{
    hook_changes, key_changes, login_changes, operator_key_changes, plugin_changes, project_changes,
    tenant_changes, token_changes,
};

named_enum! {
    /// What identifies the sender of a change.
    ActorKind {
        /// An operator's key.
        OperatorKey = "operator_key",
        /// An API key of a tenant.
        Key = "key",
        /// A login of API v1.
        Login = "login",
        /// A domain token of API v2.
        DomainToken = "domain_token",
        /// The engine itself.
        Engine = "engine",
    }
}

/// Who makes a change, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// What identifies it.
    pub kind: ActorKind,
    /// The id of its key or token; none for the engine, for logins, and for the operator's key of the settings.
    pub id: Option<String>,
    /// The name of its key or login.
    pub name: Option<String>,
    /// The API that it used.
    pub surface: Option<Surface>,
    /// The address that the request came from.
    pub address: Option<IpAddr>,
    /// The id of the request, if it has one.
    pub request_id: Option<String>,
}

impl Actor {
    /// The name of the operator's key of the settings.
    pub const ADMIN_KEY: &'static str = "admin_key";

    /// The engine itself.
    pub const ENGINE: Self = Self {
        kind: ActorKind::Engine,
        id: None,
        name: None,
        surface: None,
        address: None,
        request_id: None,
    };
}

named_enum! {
    /// What was done. The part before the dot is the kind of the object.
    AuditAction {
        /// A tenant was created.
        TenantCreated = "tenant.created",
        /// A tenant was changed.
        TenantUpdated = "tenant.updated",
        /// A tenant is being deleted.
        TenantDeleted = "tenant.deleted",
        /// Nothing of a deleted tenant is left.
        TenantRemoved = "tenant.removed",
        /// A tenant's data were exported.
        TenantExported = "tenant.exported",
        /// A project was created.
        ProjectCreated = "project.created",
        /// A project was deleted.
        ProjectDeleted = "project.deleted",
        /// An API key was created.
        KeyCreated = "key.created",
        /// An API key was changed.
        KeyUpdated = "key.updated",
        /// An API key was replaced by another.
        KeyRotated = "key.rotated",
        /// An API key was deleted.
        KeyDeleted = "key.deleted",
        /// An operator's key was created.
        OperatorKeyCreated = "operator_key.created",
        /// An operator's key was changed.
        OperatorKeyUpdated = "operator_key.updated",
        /// An operator's key was deleted.
        OperatorKeyDeleted = "operator_key.deleted",
        /// A link to the console was created.
        ConsoleLinkCreated = "console_link.created",
        /// A login was created.
        LoginCreated = "login.created",
        /// A login was deleted.
        LoginDeleted = "login.deleted",
        /// A domain token was created.
        TokenCreated = "domain_token.created",
        /// A domain token was enabled or disabled.
        TokenUpdated = "domain_token.updated",
        /// A domain token was deleted.
        TokenDeleted = "domain_token.deleted",
        /// A hook was created.
        HookCreated = "hook.created",
        /// A hook was changed.
        HookUpdated = "hook.updated",
        /// The engine disabled a hook.
        HookDisabled = "hook.disabled",
        /// A hook was deleted.
        HookDeleted = "hook.deleted",
        /// A hook's secret was read.
        HookSecretRead = "hook.secret_read",
        /// A hook got another secret.
        HookSecretRotated = "hook.secret_rotated",
        /// A hook got another key pair.
        HookSigningKeyRotated = "hook.signing_key_rotated",
        /// Deliveries of what a hook had missed were requested.
        HookRecovered = "hook.recovered",
        /// A version of a plugin was uploaded.
        PluginUploaded = "plugin.uploaded",
        /// A plugin, or one version, was deleted.
        PluginDeleted = "plugin.deleted",
        /// A job was started.
        JobCreated = "job.created",
        /// A job was paused.
        JobPaused = "job.paused",
        /// A job was resumed.
        JobResumed = "job.resumed",
        /// A job was cancelled.
        JobCancelled = "job.cancelled",
        /// The engine was paused.
        EnginePaused = "engine.paused",
        /// The engine was resumed.
        EngineResumed = "engine.resumed",
        /// The content of an event was erased.
        EventErased = "event.erased",
    }
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditObject {
    /// Its kind, such as `hook`.
    pub kind: String,
    /// Its id, number or name, which identify it within its tenant and kind.
    pub id: String,
    /// Its name for people, if it has one.
    pub name: Option<String>,
}

impl AuditObject {
    /// An object of this kind.
    #[must_use]
    pub fn new(kind: &str, id: impl fmt::Display) -> Self {
        Self { kind: kind.to_owned(), id: id.to_string(), name: None }
    }

    /// The same with a name for people.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// A hook.
    #[must_use]
    pub fn hook(id: HookId) -> Self {
        Self::new("hook", id)
    }

    /// An API key.
    #[must_use]
    pub fn key(id: KeyId, name: &str) -> Self {
        Self::new("key", id).named(name)
    }

    /// An operator's key.
    #[must_use]
    pub fn operator_key(id: OperatorKeyId, name: &str) -> Self {
        Self::new("operator_key", id).named(name)
    }

    /// A tenant.
    #[must_use]
    pub fn tenant(id: TenantId, name: &str) -> Self {
        Self::new("tenant", id).named(name)
    }

    /// A plugin.
    #[must_use]
    pub fn plugin(name: &PluginName) -> Self {
        Self::new("plugin", name.as_str())
    }

    /// A job.
    #[must_use]
    pub fn job(id: JobId) -> Self {
        Self::new("job", id)
    }

    /// The engine, which is all nodes.
    #[must_use]
    pub fn engine() -> Self {
        Self::new("engine", "engine")
    }
}

/// A value of a member that may be shown.
#[derive(Debug, Clone, PartialEq)]
pub enum MemberValue {
    /// There is none.
    Absent,
    /// Yes or no.
    Flag(bool),
    /// An integer.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

/// A member that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberChange {
    /// Its name in the API.
    pub member: String,
    /// The old and the new value; none if they may contain secrets.
    pub values: Option<(MemberValue, MemberValue)>,
}

impl MemberChange {
    /// A member that had no value before, and this one now.
    #[must_use]
    pub fn new(member: &str, value: impl fmt::Display) -> Self {
        let values = Some((MemberValue::Absent, MemberValue::Text(value.to_string())));
        Self { member: member.to_owned(), values }
    }
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Its id, which has the time.
    pub id: AuditId,
    /// The tenant whose configuration it is about; none for that of the engine.
    pub tenant: Option<TenantId>,
    /// Who did it.
    pub actor: Actor,
    /// What was done: the text of an [`AuditAction`], or of one that a newer build has.
    pub action: String,
    /// What it is about.
    pub object: AuditObject,
    /// Which members changed.
    pub changes: Vec<MemberChange>,
}

impl AuditEntry {
    /// When it was done.
    #[must_use]
    pub fn at(&self) -> UnixMillis {
        self.id.created_at()
    }

    /// An entry for tests, with an id of its own.
    #[cfg(test)]
    pub(crate) fn of_test() -> Self {
        use std::sync::atomic::{AtomicI64, Ordering};
        static LAST: AtomicI64 = AtomicI64::new(0);
        Self {
            id: AuditId(LAST.fetch_add(1, Ordering::Relaxed) + 1),
            tenant: None,
            actor: Actor::ENGINE,
            action: AuditAction::EngineResumed.as_str().to_owned(),
            object: AuditObject::engine(),
            changes: Vec::new(),
        }
    }
}

/// Which entries of the audit log are wanted. Absent members do not limit them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Those about this tenant.
    pub tenant: Option<TenantId>,
    /// Those made at this time or later.
    pub since: Option<UnixMillis>,
    /// Those made before this time.
    pub until: Option<UnixMillis>,
    /// Those whose actor has this kind, id or name.
    pub actor: Option<String>,
    /// The id and name of operators' keys are not looked at: who may not see them could guess them.
    pub hides_operators: bool,
    /// Those whose action is this one or begins with it and a dot.
    pub action: Option<String>,
    /// Those about the object with this id or name.
    pub object: Option<String>,
}

impl AuditFilter {
    /// Whether `entry` is wanted, whatever its tenant and time.
    #[must_use]
    pub fn selects(&self, entry: &AuditEntry) -> bool {
        let Actor { kind, id, name, .. } = &entry.actor;
        let is_hidden = self.hides_operators && *kind == ActorKind::OperatorKey;
        let is_named = |wanted: &String| id.as_ref() == Some(wanted) || name.as_ref() == Some(wanted);
        let is_actor = |wanted: &String| kind.as_str() == wanted || !is_hidden && is_named(wanted);
        let is_action = |wanted: &String| {
            entry
                .action
                .strip_prefix(wanted.trim_end_matches('.'))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let is_object =
            |wanted: &String| entry.object.id == *wanted || entry.object.name.as_ref() == Some(wanted);
        self.actor.as_ref().is_none_or(is_actor)
            && self.action.as_ref().is_none_or(is_action)
            && self.object.as_ref().is_none_or(is_object)
    }
}

#[cfg(test)]
mod tests;
