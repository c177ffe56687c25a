//! The write-through in-memory cache of the configuration: tenants, projects, keys, logins, hooks, plugin versions.
//!
//! All of it is read once at the start and then changed here and in storage together, storage first:
//! what is in memory is on disk. Looking something up therefore costs no database read, on the way of
//! an event least of all. Mutations take one lock in turn, so that memory changes in the order of the
//! commits; readers never wait for them.

mod access;
mod hooks;
mod plugins;
mod quotas;
mod standard;
mod tenants;

use std::sync::{Arc, RwLock};

use crate::clock::Clock;
use crate::domain::ids::IdGenerator;
use crate::domain::{PluginRef, TenantId};
use crate::storage::{Storage, StorageError};
use crate::tenant_limiter::{TenantLimiter, TenantPermit};

pub use access::AccessIndex;
pub use hooks::HookIndex;
pub use plugins::{PluginIndex, PluginUse, Uploaded, named_hooks};
pub use quotas::Quotas;
pub use standard::{STANDARD_PLUGINS, StandardPlugin};
pub use tenants::{TenantIndex, hash_key, new_key_text};

/// Why the directory could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A name or number is taken.
    #[error("{0}")]
    Taken(String),
    /// Something still uses it.
    #[error("{0}")]
    InUse(String),
    /// The tenant has no project with this number.
    #[error("there is no project {0}; make it first, by POST /api/v3/projects")]
    NoProject(i64),
    /// There is no such plugin, or there was one until just now.
    #[error("there is no plugin `{plugin}`")]
    NoPlugin {
        /// The place of the step that wants it.
        step: usize,
        /// What it is called there.
        plugin: PluginRef,
    },
    /// A bound is reached.
    #[error("{0}")]
    TooMany(String),
    /// So many changes of the tenant wait already that no more may.
    #[error("too many changes of the same tenant are under way")]
    TooManyChanges,
    /// Storage failed.
    #[error(transparent)]
    Storage(StorageError),
}

impl From<StorageError> for DirectoryError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Taken { what } => Self::Taken(format!("{what} is taken")),
            other => Self::Storage(other),
        }
    }
}

/// See the module's head.
pub struct Directory {
    storage: Storage,
    ids: Arc<IdGenerator>,
    clock: Arc<dyn Clock>,
    tenants: RwLock<TenantIndex>,
    access: RwLock<AccessIndex>,
    hooks: RwLock<HookIndex>,
    plugins: RwLock<PluginIndex>,
    quotas: Quotas,
    /// Held over a commit and the change in memory that follows it.
    mutation: tokio::sync::Mutex<()>,
    /// Of each tenant, one change at a time stands in the line for [`Self::mutation`].
    changes: TenantLimiter,
}

/// The right to change something, until it is dropped.
#[must_use]
struct Change<'d> {
    _mutation: tokio::sync::MutexGuard<'d, ()>,
    _turn: TenantPermit,
}

/// Changes of a tenant that are under way or wait.
const MAX_CHANGES: usize = 256;

impl Directory {
    /// Reads all there is, with the default [`Quotas`].
    ///
    /// # Errors
    /// If storage cannot be read.
    pub async fn load(
        storage: Storage,
        ids: Arc<IdGenerator>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StorageError> {
        Self::load_within(Quotas::default(), storage, ids, clock).await
    }

    /// As [`Self::load`]; tenants may add no more than `quotas` allows.
    ///
    /// # Errors
    /// If storage cannot be read.
    pub async fn load_within(
        quotas: Quotas,
        storage: Storage,
        ids: Arc<IdGenerator>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StorageError> {
        let (tenants, projects, keys) = storage.tenants.load().await?;
        let (logins, tokens) = storage.access.load().await?;
        let hooks = storage.hooks.load().await?;
        let versions = storage.plugins.load().await?;
        Ok(Arc::new(Self {
            ids,
            clock,
            tenants: RwLock::new(TenantIndex::new(tenants, projects, keys)),
            access: RwLock::new(AccessIndex::new(logins, tokens)),
            hooks: RwLock::new(HookIndex::new(hooks)),
            plugins: RwLock::new(PluginIndex::new(versions)),
            quotas,
            mutation: tokio::sync::Mutex::new(()),
            changes: TenantLimiter::new(1),
            storage,
        }))
    }

    /// Waits until `tenant` may change something: after its own changes that came before, and then in turn with other tenants.
    ///
    /// # Errors
    /// If too many of its changes wait already.
    async fn change_of(&self, tenant: TenantId) -> Result<Change<'_>, DirectoryError> {
        let turn = self.changes.acquire_unless_full(tenant, MAX_CHANGES).await;
        let turn = turn.ok_or(DirectoryError::TooManyChanges)?;
        Ok(Change { _mutation: self.mutation.lock().await, _turn: turn })
    }

    /// Makes ids; shared by all that make any.
    #[must_use]
    pub fn ids(&self) -> &IdGenerator {
        &self.ids
    }

    /// The clock that everything goes by.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

/// A lock that a panicking holder left is still good: every change under these locks is a single insert or remove.
fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// As [`read`].
fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
