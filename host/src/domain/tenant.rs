//! Tenants, their projects and their API keys.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::{Invalid, KeyId, Rate, Retention, TenantId, TenantLimits, UnixMillis};

/// The owner of hooks, plugins, events and keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name, unique; often a domain, such as `shop.example`.
    pub name: String,
    /// The number by which clients of compatibility APIs identify the tenant; unique.
    pub client_id: Option<i64>,
    /// Options that most tenants leave at their defaults.
    pub options: TenantOptions,
    /// When it was created.
    pub created_at: UnixMillis,
}

/// Options of a tenant that the operator sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantOptions {
    /// Since when the deliveries of all its hooks are held.
    pub paused_since: Option<UnixMillis>,
    /// Since when its keys are refused, nothing is accepted for it and its deliveries are held.
    pub suspended_since: Option<UnixMillis>,
    /// Since when it is being deleted, which has no end but that.
    pub deleting_since: Option<UnixMillis>,
    /// The most requests in a second for all its hooks together.
    pub max_per_second: Option<Rate>,
    /// Its limits that differ from the settings.
    pub limits: Option<Arc<TenantLimits>>,
    /// How long its data is kept, where that differs from the settings.
    pub retention: Retention,
    /// JSON members of options that a newer build stored. They are kept.
    pub unknown: Option<Arc<str>>,
}

impl TenantOptions {
    /// Since when its deliveries are held, for whatever reason.
    #[must_use]
    pub fn held_since(&self) -> Option<UnixMillis> {
        self.paused_since.or(self.suspended_since).or(self.deleting_since)
    }

    /// Whether requests of its keys and events for it are refused.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.suspended_since.is_some() || self.is_being_deleted()
    }

    /// Whether it goes away.
    #[must_use]
    pub fn is_being_deleted(&self) -> bool {
        self.deleting_since.is_some()
    }
}

impl Tenant {
    /// Maximum length of a name, in bytes.
    pub const MAX_NAME_LEN: usize = 128;

    /// Checks a tenant's name.
    ///
    /// # Errors
    /// If `name` is empty, longer than 128 bytes, has white space or control characters, or has the form of an id.
    pub fn check_name(name: &str) -> Result<(), Invalid> {
        let fits = |c: char| !c.is_whitespace() && !c.is_control();
        if name.is_empty() || name.len() > Self::MAX_NAME_LEN || !name.chars().all(fits) {
            return Err(Invalid::new(
                "a tenant's name must have 1 to 128 bytes without white space or control characters",
            ));
        }
        if name.parse::<TenantId>().is_ok() {
            return Err(Invalid::new("a tenant's name must not have the form of a tenant's id"));
        }
        Ok(())
    }
}

/// A numbered project within a tenant. Events may belong to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// Its number: at least 1, unique within the tenant.
    pub number: i64,
    /// A name for people.
    pub name: Option<String>,
    /// When it was created.
    pub created_at: UnixMillis,
}

/// The record of an API key. Only the hash of the key is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// A name for people.
    pub name: String,
    /// Its permissions.
    pub scopes: Scopes,
    /// SHA-256 of the key. A key has 256 random bits, so a slow hash would not add security.
    pub hash: [u8; 32],
    /// The first characters of the key, by which people recognize it; none of keys of older builds.
    pub prefix: Option<String>,
    /// When it expires, if it does.
    pub expires_at: Option<UnixMillis>,
    /// When it was created.
    pub created_at: UnixMillis,
}

impl ApiKey {
    /// Length of [`Self::prefix`], in bytes: four characters of the key follow `hwk_`.
    pub const PREFIX_LEN: usize = 8;
    /// For how long a replaced key may be accepted, at most.
    pub const MAX_OVERLAP: Duration = Duration::from_secs(30 * 24 * 3600);

    /// Whether it is refused at `now`.
    #[must_use]
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// A permission of a key.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scope { $($(#[$doc])* $name),+ }

        impl Scope {
            /// All scopes.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The text, such as `events:write`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

scopes! {
    /// Post events.
    EventsWrite = "events:write",
    /// Read events.
    EventsRead = "events:read",
    /// Create, change and delete hooks, and read and rotate their secrets.
    HooksWrite = "hooks:write",
    /// Read hooks.
    HooksRead = "hooks:read",
    /// Upload and delete plugins.
    PluginsWrite = "plugins:write",
    /// Read, download and run plugins.
    PluginsRead = "plugins:read",
    /// Retry and cancel deliveries.
    DeliveriesWrite = "deliveries:write",
    /// Read deliveries and attempts.
    DeliveriesRead = "deliveries:read",
    /// Create and delete keys.
    KeysWrite = "keys:write",
    /// List keys.
    KeysRead = "keys:read",
    /// Create and delete projects.
    ProjectsWrite = "projects:write",
    /// List projects.
    ProjectsRead = "projects:read",
    /// Read the audit log.
    AuditRead = "audit:read",
}

impl Scope {
    /// Whether it allows to read, and not to change anything.
    #[must_use]
    pub fn only_reads(self) -> bool {
        self.as_str().ends_with(":read")
    }
}

impl FromStr for Scope {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == text).ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|scope| scope.as_str()).collect();
            Invalid::new(format!("unknown scope; expected one of {}", all.join(", ")))
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u32);

impl Scopes {
    /// All scopes.
    #[must_use]
    pub fn all() -> Self {
        Scope::ALL.iter().copied().collect()
    }

    /// All scopes that only read.
    #[must_use]
    pub fn reading() -> Self {
        Scope::ALL.iter().copied().filter(|scope| scope.only_reads()).collect()
    }

    /// Whether `scope` is in the set.
    #[must_use]
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u32) != 0
    }

    /// The scopes, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | (1 << scope as u32)))
    }
}
