//! Pauses a tenant, or the whole engine. Deliveries are then held on disk.

use std::sync::Arc;

use super::cache::Directory;
use super::editor::ConfigEditor;
use super::error::DirectoryError;
use super::locks::read;
use crate::domain::audit::tenant_changes;
use crate::domain::{AuditAction, AuditObject, Hook, Tenant, TenantId, UnixMillis};
use crate::storage::StorageError;

impl Directory {
    /// Whether deliveries of `hook` may be attempted: it is enabled and readable, and neither it nor its tenant nor the
    /// engine is paused.
    pub fn sends(&self, hook: &Hook) -> bool {
        hook.is_sent_to() && !self.is_paused(hook.tenant)
    }

    /// Whether `tenant` or the whole engine is paused.
    pub fn is_paused(&self, tenant: TenantId) -> bool {
        self.pauses.any()
            && (self.engine_paused_since().is_some() || self.tenant_paused_since(tenant).is_some())
    }

    /// Since when deliveries of `tenant` are held: it is paused, suspended or being deleted.
    pub fn tenant_paused_since(&self, tenant: TenantId) -> Option<UnixMillis> {
        read(&self.tenants).tenants.get(&tenant)?.options.held_since()
    }

    /// Whether `tenant` is suspended or being deleted: its keys are refused, and nothing is accepted for it.
    pub fn is_closed(&self, tenant: TenantId) -> bool {
        self.pauses.any()
            && read(&self.tenants).tenants.get(&tenant).is_some_and(|tenant| tenant.options.is_closed())
    }

    /// Since when the whole engine is paused.
    pub fn engine_paused_since(&self) -> Option<UnixMillis> {
        self.pauses.engine_since()
    }

    /// Takes over from storage whether the engine is paused. Returns whether that changed.
    ///
    /// # Errors
    /// If storage cannot be read.
    pub async fn follow_pause(&self) -> Result<bool, StorageError> {
        let _one_at_a_time = self.mutation.lock().await;
        let since = self.storage.hook_states.paused_since().await?;
        Ok(self.set_engine_paused(since))
    }

    pub(super) fn set_engine_paused(&self, since: Option<UnixMillis>) -> bool {
        let changed = self.pauses.set_engine(since);
        self.count_pauses();
        changed
    }

    /// After tenants have changed.
    pub(super) fn count_pauses(&self) {
        self.pauses.count(read(&self.tenants).count(|tenant| tenant.options.held_since().is_some()));
        self.pauses.set_rare_limits(self.has_rare_limits());
    }
}

impl ConfigEditor<'_> {
    /// Pauses the whole engine, which is all nodes, or resumes it. Returns since when it is paused.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn pause_engine(&self, paused: bool) -> Result<Option<UnixMillis>, StorageError> {
        let _one_at_a_time = self.mutation.lock().await;
        // What other nodes know may be newer.
        let before = self.storage.hook_states.paused_since().await?;
        let since = paused.then(|| before.unwrap_or_else(|| self.clock.now()));
        if since != before {
            let action = if paused { AuditAction::EnginePaused } else { AuditAction::EngineResumed };
            let entry = self.entry(None, action, AuditObject::engine(), Vec::new());
            self.storage.hook_states.set_paused(since, &entry).await?;
        }
        self.set_engine_paused(since);
        Ok(since)
    }

    /// Changes the name and the options of a tenant; `None` if there is no such tenant. If `change` changes nothing, nothing is
    /// stored.
    ///
    /// # Errors
    /// If the name is taken, or storage fails.
    pub async fn change_tenant(
        &self,
        id: TenantId,
        change: impl FnOnce(Tenant, UnixMillis) -> Tenant,
    ) -> Result<Option<Arc<Tenant>>, DirectoryError> {
        let mut permit = self.permit_change(id).await?;
        let Some(current) = self.tenant(id) else { return Ok(None) };
        let tenant = Arc::new(change(Tenant::clone(&current), self.clock.now()));
        if tenant == current {
            return self.unchanged(&mut permit.revision, current, || self.tenant(id)).await.map(Some);
        }
        let entry = self.entry(
            Some(id),
            AuditAction::TenantUpdated,
            AuditObject::tenant(id, &tenant.name),
            tenant_changes(Some(&*current), Some(&*tenant)),
        );
        let change = self.storage.tenants.update_tenant(&tenant, *permit.revision, &entry).await?;
        if !self.done(&mut permit, change).await? {
            return Ok(None);
        }
        self.put_tenant(Arc::clone(&tenant));
        self.count_pauses();
        self.publish_flows();
        Ok(Some(tenant))
    }
}
