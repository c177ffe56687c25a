//! Hooks, and which of them want an event.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::quotas::{check_bytes, check_count, hook_bytes};
use super::{Directory, DirectoryError, read, write};
use crate::domain::{
    EventType, Hook, HookId, SigningSecret, Step, Surface, TenantId, TypePattern, UnixMillis,
};
use crate::random;

/// Hooks in memory, and by tenant what they subscribe to.
#[derive(Debug, Default)]
pub struct HookIndex {
    hooks: HashMap<HookId, Arc<Hook>>,
    tenants: HashMap<TenantId, TenantHooks>,
}

/// One tenant's hooks, and the enabled ones by what they want.
#[derive(Debug, Default)]
struct TenantHooks {
    /// All of them, oldest first.
    all: BTreeMap<HookId, Arc<Hook>>,
    exact: HashMap<EventType, Vec<Arc<Hook>>>,
    /// Hooks with at least one pattern that ends in an asterisk.
    wildcard: Vec<Arc<Hook>>,
    /// The sum of [`hook_bytes`] over all of them.
    bytes: usize,
}

impl HookIndex {
    /// An index of these.
    #[must_use]
    pub fn new(hooks: Vec<Hook>) -> Self {
        let mut index = Self::default();
        hooks.into_iter().for_each(|hook| index.put(Arc::new(hook)));
        index
    }

    /// How many hooks `tenant` has, and what they take together.
    fn usage(&self, tenant: TenantId) -> (usize, usize) {
        self.tenants.get(&tenant).map_or((0, 0), |of_tenant| (of_tenant.all.len(), of_tenant.bytes))
    }

    fn put(&mut self, hook: Arc<Hook>) {
        self.remove(hook.id);
        let of_tenant = self.tenants.entry(hook.tenant).or_default();
        of_tenant.all.insert(hook.id, Arc::clone(&hook));
        of_tenant.bytes += hook_bytes(&hook);
        if hook.enabled {
            let exact_only = hook.subscription.patterns().iter().all(|p| matches!(p, TypePattern::Exact(_)));
            if exact_only {
                for pattern in hook.subscription.patterns() {
                    let TypePattern::Exact(event_type) = pattern else { continue };
                    let hooks = of_tenant.exact.entry(event_type.clone()).or_default();
                    // The same type may stand in a subscription twice; the hook gets one delivery.
                    if hooks.last().is_none_or(|last| last.id != hook.id) {
                        hooks.push(Arc::clone(&hook));
                    }
                }
            } else {
                of_tenant.wildcard.push(Arc::clone(&hook));
            }
        }
        self.hooks.insert(hook.id, hook);
    }

    fn remove(&mut self, id: HookId) {
        let Some(hook) = self.hooks.remove(&id) else { return };
        let Some(of_tenant) = self.tenants.get_mut(&hook.tenant) else { return };
        of_tenant.all.remove(&id);
        of_tenant.bytes -= hook_bytes(&hook);
        of_tenant.wildcard.retain(|other| other.id != id);
        for pattern in hook.subscription.patterns() {
            let TypePattern::Exact(event_type) = pattern else { continue };
            if let Some(hooks) = of_tenant.exact.get_mut(event_type) {
                hooks.retain(|other| other.id != id);
                if hooks.is_empty() {
                    of_tenant.exact.remove(event_type);
                }
            }
        }
    }

    /// The enabled hooks of `tenant` that want an event of this type and project, each once.
    #[must_use]
    pub fn matching(&self, tenant: TenantId, event_type: &EventType, project: Option<i64>) -> Vec<Arc<Hook>> {
        let Some(of_tenant) = self.tenants.get(&tenant) else { return Vec::new() };
        let exact = of_tenant.exact.get(event_type).into_iter().flatten();
        let wildcard = of_tenant.wildcard.iter().filter(|hook| hook.subscription.matches(event_type));
        exact.chain(wildcard).filter(|hook| hook.wants_project(project)).cloned().collect()
    }
}

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

    /// A tenant's hooks that were made through `surface`, oldest first.
    pub fn hooks_through(&self, tenant: TenantId, surface: Surface) -> Vec<Arc<Hook>> {
        let mut hooks = self.hooks(tenant);
        hooks.retain(|hook| hook.origin.surface == surface);
        hooks
    }

    /// The enabled hooks of `tenant` that want an event of this type and project.
    pub fn matching_hooks(
        &self,
        tenant: TenantId,
        event_type: &EventType,
        project: Option<i64>,
    ) -> Vec<Arc<Hook>> {
        read(&self.hooks).matching(tenant, event_type, project)
    }

    /// Adds a hook.
    ///
    /// # Errors
    /// Where the tenant has as many hooks, or as many bytes of them, as it may, or storage fails.
    pub async fn create_hook(&self, hook: Hook) -> Result<Arc<Hook>, DirectoryError> {
        let _turn = self.change_of(hook.tenant).await?;
        self.insert_hook(hook).await
    }

    /// Now, and after the hook's last change: two states of a hook never have the same time.
    fn after(&self, current: &Hook) -> UnixMillis {
        UnixMillis(self.clock.now().0.max(current.updated_at.0 + 1))
    }

    /// The caller holds the turn, so that the project stays.
    fn check_project(&self, hook: &Hook) -> Result<(), DirectoryError> {
        match hook.project.filter(|number| !self.has_project(hook.tenant, *number)) {
            Some(number) => Err(DirectoryError::NoProject(number)),
            None => Ok(()),
        }
    }

    /// The caller holds the turn, so that the plugins stay.
    fn check_plugins(&self, hook: &Hook) -> Result<(), DirectoryError> {
        let missing = |step: &Step| self.plugin(hook.tenant, &step.plugin).is_none();
        match hook.pipeline.0.iter().position(missing) {
            Some(step) => {
                Err(DirectoryError::NoPlugin { step, plugin: hook.pipeline.0[step].plugin.clone() })
            }
            None => Ok(()),
        }
    }

    /// Whether the tenant may have `hook` in the place of `current`. One that does not grow is always taken, so that a
    /// tenant beyond a limit that was lowered can still change what it has. The caller holds the turn.
    fn check_quota(&self, hook: &Hook, current: Option<&Hook>) -> Result<(), DirectoryError> {
        let (count, bytes) = read(&self.hooks).usage(hook.tenant);
        if current.is_none() {
            check_count("hooks", count, self.quotas.hooks, "delete hooks that are not needed")?;
        }
        let more = hook_bytes(hook).saturating_sub(current.map_or(0, hook_bytes));
        if more == 0 {
            return Ok(());
        }
        let sizes = (bytes as u64, more as u64, self.quotas.config_bytes as u64);
        check_bytes(
            "hooks (settings, headers, URLs, descriptions, event types)",
            sizes,
            "delete hooks that are not needed, or shorten their settings",
        )
    }

    /// Adds a hook; the caller holds the turn.
    async fn insert_hook(&self, hook: Hook) -> Result<Arc<Hook>, DirectoryError> {
        self.check_project(&hook)?;
        self.check_plugins(&hook)?;
        self.check_quota(&hook, None)?;
        let hook = Arc::new(hook);
        self.storage.hooks.insert(&hook).await?;
        write(&self.hooks).put(Arc::clone(&hook));
        Ok(hook)
    }

    /// Changes the first hook of `tenant` that `is_it`, or adds one where there is none: `make` gets the hook as it
    /// stands, and nobody else changes or adds one meanwhile. Id, tenant and times of what it answers are set here.
    ///
    /// # Errors
    /// What `make` answers, or as [`Self::create_hook`].
    pub async fn put_hook<E: From<DirectoryError>>(
        &self,
        tenant: TenantId,
        is_it: impl Fn(&Hook) -> bool,
        make: impl FnOnce(Option<&Hook>) -> Result<Hook, E>,
    ) -> Result<Arc<Hook>, E> {
        let _turn = self.change_of(tenant).await?;
        let current = self.hooks(tenant).into_iter().find(|hook| is_it(hook));
        // Of one that cannot be read, only its id is left.
        let known = current.as_deref().filter(|hook| !hook.unreadable);
        let made = Hook { tenant, ..make(known)? };
        let Some(current) = current else {
            let now = self.clock.now();
            let id = HookId::generate(&self.ids, now);
            return Ok(self.insert_hook(Hook { id, created_at: now, updated_at: now, ..made }).await?);
        };
        self.check_project(&made)?;
        self.check_quota(&made, Some(&*current))?;
        let updated_at = self.after(&current);
        let hook = Arc::new(Hook { id: current.id, created_at: current.created_at, updated_at, ..made });
        self.storage.hooks.update(&hook).await.map_err(DirectoryError::from)?;
        write(&self.hooks).put(Arc::clone(&hook));
        Ok(hook)
    }

    /// Changes a hook: `change` gets the hook as it stands, and nobody else changes it meanwhile.
    /// `Ok(None)`: there is no such hook.
    ///
    /// # Errors
    /// What `change` answers, or where storage fails.
    pub async fn change_hook<E: From<DirectoryError>>(
        &self,
        tenant: TenantId,
        id: HookId,
        change: impl FnOnce(&Hook) -> Result<Hook, E>,
    ) -> Result<Option<Arc<Hook>>, E> {
        let _turn = self.change_of(tenant).await?;
        let Some(current) = self.hook_of(tenant, id) else { return Ok(None) };
        let mut changed = Hook { id, tenant, updated_at: self.after(&current), ..change(&current)? };
        if changed.unreadable {
            return Err(E::from(DirectoryError::InUse(Hook::UNREADABLE.to_owned())));
        }
        if current.unreadable && changed.secrets.is_empty() {
            changed.secrets.push(SigningSecret::from_key(random::secret_bytes()));
        }
        self.check_project(&changed)?;
        self.check_quota(&changed, Some(&*current))?;
        let hook = Arc::new(changed);
        if !self.storage.hooks.update(&hook).await.map_err(DirectoryError::from)? {
            return Ok(None);
        }
        write(&self.hooks).put(Arc::clone(&hook));
        Ok(Some(hook))
    }

    /// Deletes a hook and cancels its deliveries that are not final; false if there was none.
    ///
    /// # Errors
    /// Where storage fails.
    pub async fn delete_hook(&self, tenant: TenantId, id: HookId) -> Result<bool, DirectoryError> {
        let turn = self.change_of(tenant).await?;
        if self.hook_of(tenant, id).is_none() {
            return Ok(false);
        }
        // An event that is matched while this runs makes a delivery that storage stores as cancelled.
        let deleted = self.storage.hooks.delete(tenant, id).await?;
        write(&self.hooks).remove(id);
        // What is left to cancel may be much, and changes nothing in memory: nobody waits for it.
        drop(turn);
        match deleted {
            Some(cancelling) => cancelling.await.map(|()| true).map_err(DirectoryError::from),
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::domain::DeliveryState;
    use crate::domain::ids::IdGenerator;
    use crate::storage::conformance::{TENANT, World};
    use crate::storage::sqlite::{self, SqliteOptions};

    #[tokio::test]
    async fn a_hook_is_not_made_for_a_plugin_that_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let ids = Arc::new(IdGenerator::new(0, 0));
        let directory = Directory::load(storage.stores(), ids, Arc::new(SystemClock)).await.unwrap();
        let world = World::new(storage.stores());
        let step = |plugin: &str| Step { plugin: plugin.parse().unwrap(), settings: "{}".into() };
        let mut hook = world.hook();
        hook.pipeline.0 = vec![step("field-map"), step("gone")];
        let refused = directory.create_hook(hook.clone()).await;
        assert!(matches!(refused, Err(DirectoryError::NoPlugin { step: 1, .. })), "{refused:?}");
        assert!(directory.hooks(hook.tenant).is_empty());
        hook.pipeline.0.truncate(1);
        assert!(directory.create_hook(hook).await.is_ok());
    }

    #[tokio::test]
    async fn an_unreadable_hook_is_matched_changed_only_as_a_whole_and_signs_with_a_new_secret() {
        let dir = tempfile::tempdir().unwrap();
        let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let world = World::new(storage.stores());
        let unreadable = Hook { unreadable: true, secrets: Vec::new(), ..world.hook() };
        storage.stores().hooks.insert(&unreadable).await.unwrap();
        let ids = Arc::new(IdGenerator::new(0, 0));
        let directory = Directory::load(storage.stores(), ids, Arc::new(SystemClock)).await.unwrap();
        write(&directory.hooks).put(Arc::new(unreadable.clone()));
        let wanted = world.event_for(unreadable.id, None).event.event_type.clone();
        let matching = directory.matching_hooks(TENANT, &wanted, None);
        assert_eq!(matching.iter().map(|hook| hook.id).collect::<Vec<_>>(), [unreadable.id]);
        let change = |hook: &Hook| Ok::<_, DirectoryError>(Hook { enabled: true, ..hook.clone() });
        let refused = directory.change_hook(TENANT, unreadable.id, change).await;
        assert!(matches!(refused, Err(DirectoryError::InUse(_))), "{refused:?}");
        let replace = |hook: &Hook| Ok::<_, DirectoryError>(Hook { unreadable: false, ..hook.clone() });
        let replaced = directory.change_hook(TENANT, unreadable.id, replace).await.unwrap().unwrap();
        assert!(!replaced.unreadable && replaced.secrets.len() == 1);
    }

    #[tokio::test]
    async fn while_a_deleted_hooks_deliveries_are_cancelled_others_make_changes() {
        let dir = tempfile::tempdir().unwrap();
        let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let world = World::new(storage.stores());
        let hook = world.stored_hook().await;
        let backlog: Vec<_> = (0..10_000).map(|_| world.event_for(hook, None)).collect();
        let (first, last) = (backlog[0].deliveries[0].id, backlog[9_999].deliveries[0].id);
        storage.stores().events.accept(backlog).await.unwrap();
        let ids = Arc::new(IdGenerator::new(0, 0));
        let directory = Directory::load(storage.stores(), ids, Arc::new(SystemClock)).await.unwrap();
        let mut deleting = Box::pin(directory.delete_hook(TENANT, hook));
        tokio::select! {
            biased;
            _ = &mut deleting => panic!("others had to wait until all was cancelled"),
            made = directory.create_hook(world.hook()) => assert!(made.is_ok()),
        }
        assert!(directory.hook(hook).is_none());
        assert!(deleting.await.unwrap());
        for id in [first, last] {
            assert_eq!(world.delivery(id).await.state, DeliveryState::Cancelled);
        }
    }
}
