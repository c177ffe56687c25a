//! The [`Directory`] itself, and the permission to change it.

use std::sync::{Arc, RwLock};

use super::access_index::AccessIndex;
use super::change_budgets::{ChangeBudgets, Counted};
use super::error::DirectoryError;
use super::freshness::Freshness;
use super::hook_index::HookIndex;
use super::load;
use super::operator_key_index::OperatorKeyIndex;
use super::pauses::Pauses;
use super::plugin_index::PluginIndex;
use super::quotas::Quotas;
use super::tenant_index::TenantIndex;
use crate::clock::Clock;
use crate::domain::ids::IdGenerator;
use crate::domain::{Flows, TenantId, UnixMillis};
use crate::storage::{Revision, Storage, StorageError};
use crate::tenant_limiter::{TenantLimiter, TenantPermit};

/// The configuration in memory; see the module's documentation.
pub struct Directory {
    pub(super) storage: Storage,
    pub(super) ids: Arc<IdGenerator>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tenants: RwLock<TenantIndex>,
    pub(super) access: RwLock<AccessIndex>,
    pub(super) operator_keys: RwLock<OperatorKeyIndex>,
    pub(super) hooks: RwLock<HookIndex>,
    pub(super) plugins: RwLock<PluginIndex>,
    pub(super) quotas: Quotas,
    pub(super) pauses: Pauses,
    /// The flow control of hooks and tenants, for those who follow it.
    pub(super) flows: tokio::sync::watch::Sender<Flows>,
    /// The last revision that memory has. Locked during a commit and the change in memory that follows it.
    pub(super) mutation: tokio::sync::Mutex<Revision>,
    /// When the configuration was last compared with the database's.
    pub(super) freshness: Freshness,
    /// Lets one change of each tenant at a time wait for [`Self::mutation`].
    pub(super) changes: TenantLimiter,
    pub(super) change_budgets: ChangeBudgets,
    /// What signs somebody in is counted apart: neither keeps the other from going on.
    pub(super) sign_in_budgets: ChangeBudgets,
}

/// The permission to change the configuration of one tenant, until it is dropped.
#[must_use]
pub(super) struct ChangePermit<'d> {
    /// The revision that memory has: the basis of the change.
    pub(super) revision: tokio::sync::MutexGuard<'d, Revision>,
    /// Whose configuration changes.
    pub(super) tenant: TenantId,
    /// What it counts as when it is made.
    pub(super) counted: Counted,
    _permit: TenantPermit,
}

/// How many changes of one tenant run or wait, at most.
pub(super) const MAX_CHANGES: usize = 256;

impl Directory {
    /// Loads all configuration, with the default [`Quotas`].
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

    /// The time.
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
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
        let freshness = Freshness::new();
        let loaded = load::load(&storage).await?;
        freshness.set_revision(loaded.revision);
        let paused = storage.hook_states.paused_since().await?;
        let directory = Arc::new(Self {
            ids,
            clock,
            tenants: RwLock::new(loaded.tenants),
            access: RwLock::new(loaded.access),
            operator_keys: RwLock::new(loaded.operator_keys),
            hooks: RwLock::new(loaded.hooks),
            plugins: RwLock::new(loaded.plugins),
            quotas,
            pauses: Pauses::default(),
            flows: tokio::sync::watch::Sender::default(),
            mutation: tokio::sync::Mutex::new(loaded.revision),
            freshness,
            changes: TenantLimiter::new(1),
            change_budgets: ChangeBudgets::default(),
            sign_in_budgets: ChangeBudgets::default(),
            storage,
        });
        directory.set_engine_paused(paused);
        directory.publish_flows();
        Ok(directory)
    }

    /// Waits until `tenant` may change something: after its own earlier changes, and then alternating with other tenants.
    ///
    /// # Errors
    /// If too many of its changes wait already, or the tenant is being deleted.
    pub(super) async fn permit_change(&self, tenant: TenantId) -> Result<ChangePermit<'_>, DirectoryError> {
        let permit = self.changes.acquire_unless_full(tenant, MAX_CHANGES).await;
        let permit = permit.ok_or(DirectoryError::TooManyChanges)?;
        let revision = self.mutation.lock().await;
        if self.is_being_deleted(tenant) {
            return Err(DirectoryError::InUse("the tenant is being deleted".to_owned()));
        }
        Ok(ChangePermit { revision, tenant, counted: Counted::Change, _permit: permit })
    }
}
