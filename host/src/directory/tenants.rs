//! Tenants, projects and keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cache::Directory;
use super::editor::ConfigEditor;
use super::error::DirectoryError;
use super::key_text::{NewKeyText, new_key};
use super::locks::{read, write};
use crate::domain::audit::{MemberChange, key_changes, project_changes, tenant_changes};
use crate::domain::{
    ApiKey, AuditAction, AuditObject, KeyId, Limit, Project, Scopes, Tenant, TenantId, TenantOptions,
    UnixMillis,
};

/// What to change of an API key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// Its name.
    pub name: Option<String>,
    /// When it expires, or that it does not.
    pub expires_at: Option<Option<UnixMillis>>,
}

/// How to replace an API key by a new one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRotation {
    /// The name of the new key, if not that of the old one.
    pub name: Option<String>,
    /// When the new key expires, if it does.
    pub expires_at: Option<UnixMillis>,
    /// Until when the old key is accepted at most.
    pub old_expires_at: UnixMillis,
}

impl Directory {
    /// One tenant, also one that is being deleted.
    pub fn tenant(&self, id: TenantId) -> Option<Arc<Tenant>> {
        read(&self.tenants).tenants.get(&id).cloned()
    }

    /// The tenant with this name, or with this id in text form.
    pub fn tenant_named(&self, name_or_id: &str) -> Option<Arc<Tenant>> {
        let index = read(&self.tenants);
        let id = name_or_id.parse().ok().or_else(|| index.by_name.get(name_or_id).copied())?;
        index.tenants.get(&id).filter(|tenant| tenant.options.deleting_since.is_none()).cloned()
    }

    /// All tenants, oldest first.
    pub fn tenants(&self) -> Vec<Arc<Tenant>> {
        self.tenants_that(|tenant| tenant.options.deleting_since.is_none())
    }

    /// The tenants that are being deleted, oldest first.
    pub fn tenants_being_deleted(&self) -> Vec<Arc<Tenant>> {
        if !self.pauses.any() {
            return Vec::new();
        }
        self.tenants_that(|tenant| tenant.options.is_being_deleted())
    }

    fn tenants_that(&self, are: impl Fn(&Tenant) -> bool) -> Vec<Arc<Tenant>> {
        let index = read(&self.tenants);
        let mut all: Vec<_> = index.tenants.values().filter(|tenant| are(tenant)).cloned().collect();
        all.sort_by_key(|tenant| tenant.id);
        all
    }

    /// Whether `tenant` has the project `number`.
    pub fn has_project(&self, tenant: TenantId, number: i64) -> bool {
        let index = read(&self.tenants);
        index.projects.get(&tenant).is_some_and(|all| all.contains_key(&number))
    }

    /// A tenant's projects, in the order of their numbers.
    pub fn projects(&self, tenant: TenantId) -> Vec<Arc<Project>> {
        let index = read(&self.tenants);
        index.projects.get(&tenant).map_or_else(Vec::new, |all| all.values().cloned().collect())
    }

    /// A tenant's keys, oldest first.
    pub fn keys(&self, tenant: TenantId) -> Vec<Arc<ApiKey>> {
        let index = read(&self.tenants);
        index.keys_of.get(&tenant).map_or_else(Vec::new, |all| all.values().cloned().collect())
    }

    /// The keys of all tenants that satisfy `wanted`.
    pub fn keys_that(&self, wanted: impl Fn(&ApiKey) -> bool) -> Vec<Arc<ApiKey>> {
        let index = read(&self.tenants);
        let all = index.keys_of.values().flat_map(BTreeMap::values);
        all.filter(|key| wanted(key)).cloned().collect()
    }

    /// One key of `tenant`.
    pub fn key(&self, tenant: TenantId, id: KeyId) -> Option<Arc<ApiKey>> {
        read(&self.tenants).keys_of.get(&tenant)?.get(&id).cloned()
    }
}

impl ConfigEditor<'_> {
    /// Creates a tenant.
    ///
    /// # Errors
    /// If the name or the client id is taken.
    pub async fn create_tenant(
        &self,
        name: String,
        client_id: Option<i64>,
    ) -> Result<Arc<Tenant>, DirectoryError> {
        let mut revision = self.mutation.lock().await;
        let now = self.clock.now();
        let id = TenantId::generate(&self.ids, now);
        let tenant =
            Arc::new(Tenant { id, name, client_id, options: TenantOptions::default(), created_at: now });
        let entry = self.entry(
            Some(id),
            AuditAction::TenantCreated,
            AuditObject::tenant(id, &tenant.name),
            tenant_changes(None, Some(&*tenant)),
        );
        let change = self.storage.tenants.insert_tenant(&tenant, &entry).await?;
        self.committed(&mut revision, change).await?;
        write(&self.tenants).add_tenant(Arc::clone(&tenant));
        Ok(tenant)
    }

    /// Creates a project.
    ///
    /// # Errors
    /// If the tenant has that number already, or as many projects as it may have.
    pub async fn create_project(
        &self,
        tenant: TenantId,
        number: i64,
        name: Option<String>,
    ) -> Result<Arc<Project>, DirectoryError> {
        let mut permit = self.permit_change(tenant).await?;
        self.check_count_of(tenant, Limit::Projects, "delete projects that no hook names")?;
        let project = Arc::new(Project { tenant, number, name, created_at: self.clock.now() });
        let entry = self.entry(
            Some(tenant),
            AuditAction::ProjectCreated,
            AuditObject::new("project", number),
            project_changes(None, Some(&*project)),
        );
        let change = self.storage.tenants.insert_project(&project, *permit.revision, &entry).await?;
        self.done(&mut permit, change).await?;
        write(&self.tenants).add_project(Arc::clone(&project));
        Ok(project)
    }

    /// Deletes a project; false if there was none.
    ///
    /// # Errors
    /// If a hook is limited to the project, or storage fails.
    pub async fn delete_project(&self, tenant: TenantId, number: i64) -> Result<bool, DirectoryError> {
        let mut permit = self.permit_removal(tenant).await?;
        if let Some(hook) = self.hooks(tenant).iter().find(|hook| hook.project == Some(number)) {
            let what =
                format!("the hook {} wants the events of project {number}; delete that first", hook.id);
            return Err(DirectoryError::InUse(what));
        }
        let object = AuditObject::new("project", number);
        let entry = self.entry(Some(tenant), AuditAction::ProjectDeleted, object, Vec::new());
        let basis = *permit.revision;
        let change = self.storage.tenants.delete_project(tenant, number, basis, &entry).await?;
        let existed = self.done(&mut permit, change).await?;
        write(&self.tenants).remove_project(tenant, number);
        Ok(existed)
    }

    /// Creates a key. Returns it with its text, which is not stored.
    ///
    /// # Errors
    /// If the tenant has as many keys as it may have, or storage fails.
    pub async fn create_key(
        &self,
        tenant: TenantId,
        name: String,
        scopes: Scopes,
        expires_at: Option<UnixMillis>,
    ) -> Result<(Arc<ApiKey>, String), DirectoryError> {
        let mut permit = self.permit_change(tenant).await?;
        let (key, text) = self.make_key(tenant, name, scopes, expires_at)?;
        let object = AuditObject::key(key.id, &key.name);
        let changes = key_changes(None, Some(&*key));
        let entry = self.entry(Some(tenant), AuditAction::KeyCreated, object, changes);
        let change = self.storage.tenants.insert_key(&key, *permit.revision, &entry).await?;
        self.done(&mut permit, change).await?;
        write(&self.tenants).add_key(Arc::clone(&key));
        Ok((key, text))
    }

    /// Makes a key that is not stored yet; the caller holds the permit.
    fn make_key(
        &self,
        tenant: TenantId,
        name: String,
        scopes: Scopes,
        expires_at: Option<UnixMillis>,
    ) -> Result<(Arc<ApiKey>, String), DirectoryError> {
        self.check_count_of(tenant, Limit::Keys, "delete keys that nobody uses")?;
        let (NewKeyText { text, hash, prefix }, now) = (new_key(), self.clock.now());
        let id = KeyId::generate(&self.ids, now);
        let prefix = Some(prefix);
        let key = ApiKey { id, tenant, name, scopes, hash, prefix, expires_at, created_at: now };
        Ok((Arc::new(key), text))
    }

    /// Changes a key; `None` if there is none.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn change_key(
        &self,
        tenant: TenantId,
        id: KeyId,
        change: KeyChange,
    ) -> Result<Option<Arc<ApiKey>>, DirectoryError> {
        let mut permit = self.permit_change(tenant).await?;
        let Some(current) = self.key(tenant, id) else { return Ok(None) };
        let mut key = ApiKey::clone(&current);
        key.name = change.name.unwrap_or(key.name);
        key.expires_at = change.expires_at.unwrap_or(key.expires_at);
        let changes = key_changes(Some(&*current), Some(&key));
        if changes.is_empty() {
            return self.unchanged(&mut permit.revision, current, || self.key(tenant, id)).await.map(Some);
        }
        let object = AuditObject::key(id, &key.name);
        let entry = self.entry(Some(tenant), AuditAction::KeyUpdated, object, changes);
        let key = Arc::new(key);
        let change = self.storage.tenants.update_key(&key, *permit.revision, &entry).await?;
        if !self.done(&mut permit, change).await? {
            return Ok(None);
        }
        write(&self.tenants).add_key(Arc::clone(&key));
        Ok(Some(key))
    }

    /// Replaces a key by a new one with the same scopes; the old one is accepted until the end that `rotation` names, or until
    /// an earlier one that it has. Returns the new key with its text, which is not stored; `None` if there is no such key.
    ///
    /// # Errors
    /// If the tenant has 1,000 keys already, or storage fails.
    pub async fn rotate_key(
        &self,
        tenant: TenantId,
        id: KeyId,
        rotation: KeyRotation,
    ) -> Result<Option<(Arc<ApiKey>, String)>, DirectoryError> {
        let mut permit = self.permit_change(tenant).await?;
        let Some(current) = self.key(tenant, id) else { return Ok(None) };
        let name = rotation.name.unwrap_or_else(|| current.name.clone());
        let (new, text) = self.make_key(tenant, name, current.scopes, rotation.expires_at)?;
        let end = current.expires_at.map_or(rotation.old_expires_at, |end| end.min(rotation.old_expires_at));
        let old = Arc::new(ApiKey { expires_at: Some(end), ..ApiKey::clone(&current) });
        let object = AuditObject::key(id, &old.name);
        let mut changes = key_changes(Some(&*current), Some(&*old));
        changes.push(MemberChange::new("replaced_by", new.id));
        let entry = self.entry(Some(tenant), AuditAction::KeyRotated, object, changes);
        let change = self.storage.tenants.rotate_key(&old, &new, *permit.revision, &entry).await?;
        if !self.done(&mut permit, change).await? {
            return Ok(None);
        }
        let mut index = write(&self.tenants);
        index.add_key(old);
        index.add_key(Arc::clone(&new));
        Ok(Some((new, text)))
    }

    /// Deletes a key; false if there was none. It is refused from then on.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn delete_key(&self, tenant: TenantId, id: KeyId) -> Result<bool, DirectoryError> {
        let mut permit = self.permit_removal(tenant).await?;
        let name = self.key(tenant, id).map_or_else(String::new, |key| key.name.clone());
        let object = AuditObject::key(id, &name);
        let entry = self.entry(Some(tenant), AuditAction::KeyDeleted, object, Vec::new());
        let change = self.storage.tenants.delete_key(tenant, id, &entry).await?;
        let existed = self.done(&mut permit, change).await?;
        write(&self.tenants).remove_key(tenant, id);
        Ok(existed)
    }
}
