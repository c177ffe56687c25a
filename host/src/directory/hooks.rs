//! Hooks.

use std::sync::Arc;

use super::cache::{ChangePermit, Directory};
use super::editor::ConfigEditor;
use super::error::DirectoryError;
use super::hook_size::hook_bytes;
use super::locks::{read, write};
use crate::domain::audit::hook_changes;
use crate::domain::{
    ActorKind, AuditAction, AuditEntry, AuditObject, EventType, Hook, HookId, Limit, PipelinePlace,
    SigningSecret, Step, Surface, TenantId, UnixMillis,
};
use crate::random;
use crate::storage::{ConfigChange, HookDeletion};

impl Directory {
    /// One hook of any tenant, for the engine itself.
    pub fn hook(&self, id: HookId) -> Option<Arc<Hook>> {
        read(&self.hooks).hooks.get(&id).cloned()
    }

    /// One hook of `tenant`.
    pub fn hook_of(&self, tenant: TenantId, id: HookId) -> Option<Arc<Hook>> {
        self.hook(id).filter(|hook| hook.tenant == tenant)
    }

    /// A tenant's hooks, oldest first.
    pub fn hooks(&self, tenant: TenantId) -> Vec<Arc<Hook>> {
        let index = read(&self.hooks);
        index.tenants.get(&tenant).map_or_else(Vec::new, |hooks| hooks.all.values().cloned().collect())
    }

    /// The hooks of all tenants.
    pub fn all_hooks(&self) -> Vec<Arc<Hook>> {
        read(&self.hooks).hooks.values().cloned().collect()
    }

    /// How many hooks of all tenants are `wanted`.
    pub fn count_hooks(&self, wanted: impl Fn(&Hook) -> bool) -> usize {
        read(&self.hooks).hooks.values().filter(|hook| wanted(hook)).count()
    }

    /// A tenant's hooks that were made through `surface`, oldest first.
    pub fn hooks_through(&self, tenant: TenantId, surface: Surface) -> Vec<Arc<Hook>> {
        let mut hooks = self.hooks(tenant);
        hooks.retain(|hook| hook.origin.surface == surface);
        hooks
    }

    /// The enabled hooks of `tenant` that match an event of this type and project.
    pub fn matching_hooks(
        &self,
        tenant: TenantId,
        event_type: &EventType,
        project: Option<i64>,
    ) -> Vec<Arc<Hook>> {
        read(&self.hooks).matching(tenant, event_type, project)
    }

    /// Now, but after the hook's last change: two states of a hook never have the same time.
    fn after(&self, current: &Hook) -> UnixMillis {
        UnixMillis(self.clock.now().0.max(current.updated_at.0 + 1))
    }

    /// The caller holds the permit, so that the project stays.
    fn check_project(&self, hook: &Hook) -> Result<(), DirectoryError> {
        match hook.project.filter(|number| !self.has_project(hook.tenant, *number)) {
            Some(number) => Err(DirectoryError::NoProject(number)),
            None => Ok(()),
        }
    }

    /// The caller holds the permit, so that the plugins stay.
    fn check_plugins(&self, hook: &Hook) -> Result<(), DirectoryError> {
        let missing = |step: &Step| self.plugin(hook.tenant, &step.plugin).is_none();
        for (place, pipeline) in
            [(PipelinePlace::Event, &hook.pipeline), (PipelinePlace::Batch, &hook.options.batch_pipeline)]
        {
            if let Some(step) = pipeline.0.iter().position(missing) {
                let plugin = pipeline.0[step].plugin.clone();
                return Err(DirectoryError::NoPlugin { place, step, plugin });
            }
        }
        Ok(())
    }

    /// Whether the tenant may replace `current` by `hook`. A hook that does not grow is always allowed, so that a tenant
    /// above a lowered limit can still change its hooks. The caller holds the permit.
    fn check_quota(&self, hook: &Hook, current: Option<&Hook>) -> Result<(), DirectoryError> {
        if current.is_none() {
            self.check_count_of(hook.tenant, Limit::Hooks, "delete hooks that are not needed")?;
        }
        let more = hook_bytes(hook).saturating_sub(current.map_or(0, hook_bytes));
        if more == 0 {
            return Ok(());
        }
        let what = "hooks (settings, headers, URLs, descriptions, event types)";
        let hint = "delete hooks that are not needed, or shorten their settings";
        self.check_bytes_of(hook.tenant, (Limit::SettingsBytes, what), more as u64, hint)
    }
}

impl ConfigEditor<'_> {
    /// Adds a hook.
    ///
    /// # Errors
    /// If the tenant has reached its limit of hooks or of their bytes, or storage fails.
    pub async fn create_hook(&self, hook: Hook) -> Result<Arc<Hook>, DirectoryError> {
        let mut permit = self.permit_change(hook.tenant).await?;
        self.insert_hook(&mut permit, hook).await
    }

    /// Adds a hook; the caller holds the permit.
    async fn insert_hook(
        &self,
        permit: &mut ChangePermit<'_>,
        hook: Hook,
    ) -> Result<Arc<Hook>, DirectoryError> {
        self.check_project(&hook)?;
        self.check_plugins(&hook)?;
        self.check_quota(&hook, None)?;
        let mut hook = hook;
        hook.note_stops(None, hook.created_at);
        let hook = Arc::new(hook);
        let entry = self.hook_entry(AuditAction::HookCreated, (None, Some(&*hook)));
        let change = self.storage.hooks.insert(&hook, *permit.revision, &entry).await?;
        self.done(permit, change).await?;
        write(&self.hooks).put(Arc::clone(&hook));
        self.publish_flows();
        Ok(hook)
    }

    /// Changes the first hook of `tenant` that `is_it` accepts, or adds one if there is none. `make` gets the current hook, and
    /// no other request changes or adds one meanwhile. Id, tenant and times of its result are set here. If it is as the hook
    /// is, nothing is stored.
    ///
    /// # Errors
    /// The error of `make`, or as [`Self::create_hook`].
    pub async fn put_hook<E: From<DirectoryError>>(
        &self,
        tenant: TenantId,
        is_it: impl Fn(&Hook) -> bool,
        make: impl FnOnce(Option<&Hook>) -> Result<Hook, E>,
    ) -> Result<Arc<Hook>, E> {
        let mut permit = self.permit_change(tenant).await?;
        let current = self.hooks(tenant).into_iter().find(|hook| is_it(hook));
        // Of an unreadable hook only the id is known.
        let known = current.as_deref().filter(|hook| !hook.unreadable);
        let made = Hook { tenant, ..make(known)? };
        let Some(current) = current else {
            let now = self.clock.now();
            let id = HookId::generate(&self.ids, now);
            let hook = Hook { id, created_at: now, updated_at: now, ..made };
            return Ok(self.insert_hook(&mut permit, hook).await?);
        };
        self.check_project(&made)?;
        self.check_quota(&made, Some(&*current))?;
        let (id, now) = (current.id, self.after(&current));
        let (created_at, updated_at) = (current.created_at, current.updated_at);
        let mut hook = Hook { id, created_at, updated_at, ..made };
        hook.note_stops(Some(&current), now);
        if is_same(&hook, &current) {
            let read = || self.hook_of(tenant, id);
            return Ok(self.unchanged(&mut permit.revision, current, read).await?);
        }
        hook.updated_at = now;
        let hook = Arc::new(hook);
        self.update_hook(&mut permit, AuditAction::HookUpdated, &hook, &current).await?;
        Ok(hook)
    }

    /// Changes a hook: `change` gets the current hook, and no other request changes it meanwhile. `Ok(None)`: there is no
    /// such hook.
    ///
    /// # Errors
    /// The error of `change`; [`DirectoryError::InUse`] if another node changed it meanwhile; or if storage fails.
    pub async fn change_hook<E: From<DirectoryError>>(
        &self,
        tenant: TenantId,
        id: HookId,
        change: impl FnOnce(&Hook) -> Result<Hook, E>,
    ) -> Result<Option<Arc<Hook>>, E> {
        self.change_hook_as(AuditAction::HookUpdated, (tenant, id), change).await
    }

    /// As [`Self::change_hook`], with another action in the audit log. If `change` changes nothing, nothing is stored.
    ///
    /// # Errors
    /// See [`Self::change_hook`].
    pub async fn change_hook_as<E: From<DirectoryError>>(
        &self,
        action: AuditAction,
        (tenant, id): (TenantId, HookId),
        change: impl FnOnce(&Hook) -> Result<Hook, E>,
    ) -> Result<Option<Arc<Hook>>, E> {
        let mut permit = self.permit_removal(tenant).await?;
        let Some(current) = self.hook_of(tenant, id) else { return Ok(None) };
        let changed = change(&current)?;
        let now = self.after(&current);
        let mut changed = Hook { id, tenant, updated_at: current.updated_at, ..changed };
        changed.note_stops(Some(&current), now);
        if is_same(&changed, &current) {
            // The engine acts on what it sees, and looks again later.
            if self.actor().kind == ActorKind::Engine {
                return Ok(Some(current));
            }
            let read = || self.hook_of(tenant, id);
            return Ok(Some(self.unchanged(&mut permit.revision, current, read).await?));
        }
        if !stops(&current, &changed) {
            self.check_changes(tenant)?;
        }
        changed.updated_at = now;
        if changed.unreadable {
            return Err(E::from(DirectoryError::InUse(Hook::UNREADABLE.to_owned())));
        }
        if current.unreadable && changed.secrets.is_empty() {
            changed.secrets.push(SigningSecret::from_key(random::secret_bytes()));
        }
        self.check_project(&changed)?;
        self.check_quota(&changed, Some(&*current))?;
        let hook = Arc::new(changed);
        let existed = self.update_hook(&mut permit, action, &hook, &current).await?;
        Ok(existed.then_some(hook))
    }

    /// Replaces `current` by `hook`; false if there is none.
    async fn update_hook(
        &self,
        permit: &mut ChangePermit<'_>,
        action: AuditAction,
        hook: &Arc<Hook>,
        current: &Hook,
    ) -> Result<bool, DirectoryError> {
        let entry = self.hook_entry(action, (Some(current), Some(&**hook)));
        let expected = current.updated_at;
        let change = self.storage.hooks.update(hook, expected, *permit.revision, &entry).await?;
        let existed = self.done(permit, change).await?;
        if existed {
            write(&self.hooks).put(Arc::clone(hook));
            self.publish_flows();
        }
        Ok(existed)
    }

    /// Deletes a hook and cancels its deliveries that are not final; false if there was none.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn delete_hook(&self, tenant: TenantId, id: HookId) -> Result<bool, DirectoryError> {
        let mut permit = self.permit_removal(tenant).await?;
        let Some(current) = self.hook_of(tenant, id) else { return Ok(false) };
        let entry = self.hook_entry(AuditAction::HookDeleted, (Some(&*current), None));
        // An event that matches meanwhile makes a delivery, which storage stores as cancelled.
        let deleted = self.storage.hooks.delete(tenant, id, &entry).await?;
        write(&self.hooks).remove(id);
        self.publish_flows();
        let Some(HookDeletion { revision, cancelling }) = deleted else { return Ok(false) };
        self.done(&mut permit, ConfigChange::Done(revision)).await?;
        // Cancelling may take long, and changes nothing in memory: other changes do not wait for it.
        drop(permit);
        cancelling.await.map(|()| true).map_err(DirectoryError::from)
    }

    fn hook_entry(&self, action: AuditAction, (before, after): (Option<&Hook>, Option<&Hook>)) -> AuditEntry {
        let hook = after.or(before);
        let object = hook.map_or_else(AuditObject::engine, |hook| AuditObject::hook(hook.id));
        self.entry(hook.map(|hook| hook.tenant), action, object, hook_changes(before, after))
    }
}

/// Whether a change leaves a hook as it is. Of an unreadable one that is not known.
fn is_same(changed: &Hook, current: &Hook) -> bool {
    changed == current && !current.unreadable
}

/// Whether a change disables or pauses a hook, and neither enables nor resumes it.
fn stops(before: &Hook, after: &Hook) -> bool {
    let (paused, pauses) = (before.options.paused, after.options.paused);
    let starts = (!before.enabled && after.enabled) || (paused && !pauses);
    ((before.enabled && !after.enabled) || (!paused && pauses)) && !starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::domain::ids::IdGenerator;
    use crate::domain::{Actor, DeliveryState};
    use crate::storage::Revision;
    use crate::storage::conformance::{TENANT, World};
    use crate::storage::sqlite::{self, SqliteOptions};

    #[tokio::test]
    async fn a_hook_for_a_missing_plugin_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let ids = Arc::new(IdGenerator::new(0, 0));
        let directory = Directory::load(storage.stores(), ids, Arc::new(SystemClock)).await.unwrap();
        let world = World::new(storage.stores());
        let step = |plugin: &str| Step { plugin: plugin.parse().unwrap(), settings: "{}".into() };
        let mut hook = world.hook();
        hook.pipeline.0 = vec![step("field-map"), step("gone")];
        let refused = directory.by(&Actor::ENGINE).create_hook(hook.clone()).await;
        assert!(matches!(refused, Err(DirectoryError::NoPlugin { step: 1, .. })), "{refused:?}");
        assert!(directory.hooks(hook.tenant).is_empty());
        hook.pipeline.0.truncate(1);
        hook.options.batch_pipeline.0 = vec![step("gone")];
        let refused = directory.by(&Actor::ENGINE).create_hook(hook.clone()).await;
        let is_of_batch =
            matches!(refused, Err(DirectoryError::NoPlugin { place: PipelinePlace::Batch, step: 0, .. }));
        assert!(is_of_batch, "{refused:?}");
        hook.options.batch_pipeline.0.clear();
        assert!(directory.by(&Actor::ENGINE).create_hook(hook).await.is_ok());
    }

    #[tokio::test]
    async fn an_unreadable_hook_matches_is_replaced_as_a_whole_and_gets_a_new_secret() {
        let dir = tempfile::tempdir().unwrap();
        let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let world = World::new(storage.stores());
        let unreadable = Hook { unreadable: true, secrets: Vec::new(), ..world.hook() };
        storage.stores().hooks.insert(&unreadable, Revision::ANY, &AuditEntry::of_test()).await.unwrap();
        let ids = Arc::new(IdGenerator::new(0, 0));
        let directory = Directory::load(storage.stores(), ids, Arc::new(SystemClock)).await.unwrap();
        write(&directory.hooks).put(Arc::new(unreadable.clone()));
        let wanted = world.event_for(unreadable.id, None).event.event_type.clone();
        let matching = directory.matching_hooks(TENANT, &wanted, None);
        assert_eq!(matching.iter().map(|hook| hook.id).collect::<Vec<_>>(), [unreadable.id]);
        let change = |hook: &Hook| Ok::<_, DirectoryError>(Hook { enabled: true, ..hook.clone() });
        let refused = directory.by(&Actor::ENGINE).change_hook(TENANT, unreadable.id, change).await;
        assert!(matches!(refused, Err(DirectoryError::InUse(_))), "{refused:?}");
        let replace = |hook: &Hook| Ok::<_, DirectoryError>(Hook { unreadable: false, ..hook.clone() });
        let replaced =
            directory.by(&Actor::ENGINE).change_hook(TENANT, unreadable.id, replace).await.unwrap().unwrap();
        assert!(!replaced.unreadable && replaced.secrets.len() == 1);
    }

    #[tokio::test]
    async fn others_make_changes_while_a_deleted_hooks_deliveries_are_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let world = World::new(storage.stores());
        let hook = world.stored_hook().await;
        let backlog: Vec<_> = (0..10_000).map(|_| world.event_for(hook, None)).collect();
        let (first, last) = (backlog[0].deliveries[0].id, backlog[9_999].deliveries[0].id);
        storage.stores().events.accept(backlog).await.unwrap();
        let ids = Arc::new(IdGenerator::new(0, 0));
        let directory = Directory::load(storage.stores(), ids, Arc::new(SystemClock)).await.unwrap();
        let editor = directory.by(&Actor::ENGINE);
        let mut deleting = Box::pin(editor.delete_hook(TENANT, hook));
        tokio::select! {
            biased;
            _ = &mut deleting => panic!("others had to wait until all was cancelled"),
            made = editor.create_hook(world.hook()) => assert!(made.is_ok()),
        }
        assert!(directory.hook(hook).is_none());
        assert!(deleting.await.unwrap());
        for id in [first, last] {
            assert_eq!(world.delivery(id).await.state, DeliveryState::Cancelled);
        }
    }
}
