//! Tenants that are being deleted, and tenants that are gone.
//!
//! From the first moment on, a tenant that is being deleted has no name, no keys, no logins and no tokens in memory, and its
//! configuration does not change. Its hooks and plugins stay until everything is removed from storage, so that what is in
//! memory of its deliveries ends in an orderly way: it is held.

use std::sync::Arc;

use super::cache::Directory;
use super::editor::ConfigEditor;
use super::error::DirectoryError;
use super::locks::{read, write};
use crate::domain::{AuditAction, AuditObject, Tenant, TenantDeletion, TenantId};
use crate::storage::StorageError;

impl Directory {
    /// How far the deletion of a tenant is, or when it ended.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn tenant_deletion(&self, id: TenantId) -> Result<Option<TenantDeletion>, StorageError> {
        self.storage.tenant_deletions.deletion(id).await
    }

    /// Whether `tenant` is being deleted.
    pub(super) fn is_being_deleted(&self, tenant: TenantId) -> bool {
        read(&self.tenants).is_being_deleted(tenant)
    }

    pub(super) fn put_tenant(&self, tenant: Arc<Tenant>) {
        let id = tenant.id;
        let is_being_deleted = tenant.options.is_being_deleted();
        write(&self.tenants).add_tenant(tenant);
        if is_being_deleted {
            write(&self.access).remove_tenant(id);
        }
    }

    pub(super) fn remove_tenant(&self, id: TenantId) {
        write(&self.tenants).remove_tenant(id);
        write(&self.access).remove_tenant(id);
        write(&self.hooks).remove_tenant(id);
        write(&self.plugins).remove_owner(id);
        self.change_budgets.forget(id);
        self.sign_in_budgets.forget(id);
    }
}

impl ConfigEditor<'_> {
    /// Begins to delete a tenant: its name is free from then on. `None` if there is no such tenant.
    ///
    /// # Errors
    /// If it is being deleted already, or storage fails.
    pub async fn begin_to_delete_tenant(
        &self,
        id: TenantId,
    ) -> Result<Option<TenantDeletion>, DirectoryError> {
        let mut permit = self.permit_change(id).await?;
        let Some(current) = self.tenant(id) else { return Ok(None) };
        let now = self.clock.now();
        let deletion = TenantDeletion::begun(id, current.name.clone(), now);
        // No other tenant can have the name: it has the form of an id.
        let mut tenant = Tenant { name: id.to_string(), client_id: None, ..Tenant::clone(&current) };
        tenant.options.deleting_since = Some(now);
        let object = AuditObject::tenant(id, &deletion.name);
        let entry = self.entry(Some(id), AuditAction::TenantDeleted, object, Vec::new());
        let change = self.storage.tenant_deletions.begin(&tenant, &deletion, &entry).await?;
        if !self.done(&mut permit, change).await? {
            return Ok(None);
        }
        self.put_tenant(Arc::new(tenant));
        self.count_pauses();
        self.publish_flows();
        Ok(Some(deletion))
    }

    /// Removes a tenant that has nothing else left.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn end_tenant_deletion(&self, deletion: &TenantDeletion) -> Result<(), DirectoryError> {
        let mut revision = self.mutation.lock().await;
        let object = AuditObject::tenant(deletion.tenant, &deletion.name);
        let entry = self.entry(Some(deletion.tenant), AuditAction::TenantRemoved, object, Vec::new());
        let change = self.storage.tenant_deletions.end(deletion, self.clock.now(), &entry).await?;
        self.committed(&mut revision, change).await?;
        self.remove_tenant(deletion.tenant);
        self.count_pauses();
        self.publish_flows();
        Ok(())
    }
}
