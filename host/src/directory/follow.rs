//! Follows changes of configuration that others made: other nodes on the same database.

use std::collections::HashSet;
use std::sync::Arc;

use super::cache::Directory;
use super::error::DirectoryError;
use super::freshness::StaleConfiguration;
use super::load::load;
use super::locks::write;
use crate::clock;
use crate::domain::{Digest, HookId, TenantId};
use crate::storage::{Changes, ConfigChange, ConfigItem, Revision, StorageError};

/// What others have changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Followed {
    /// Whether there was anything.
    pub any: bool,
    /// The plugins that hooks need because of it.
    pub needed: Vec<(TenantId, Digest)>,
}

impl Directory {
    /// Other nodes may change the configuration: from now on it must be followed.
    pub fn expect_changes_of_others(&self) {
        self.freshness.expect_changes();
    }

    /// Whether requests may be answered with what is in memory.
    ///
    /// # Errors
    /// If others may have changed the configuration, and nothing is known of it for too long.
    pub fn check_fresh(&self) -> Result<(), StaleConfiguration> {
        if self.freshness.is_stale(clock::since_boot_ms()) { Err(StaleConfiguration) } else { Ok(()) }
    }

    /// Takes over the changes that others committed since the last call.
    ///
    /// # Errors
    /// If storage cannot be read.
    pub async fn follow(&self) -> Result<Followed, StorageError> {
        let mut revision = match self.mutation.try_lock() {
            Ok(revision) => revision,
            // A change that takes long must not make the configuration seem old.
            Err(_) if self.is_unchanged().await? => return Ok(Followed { any: false, needed: Vec::new() }),
            Err(_) => self.mutation.lock().await,
        };
        let before = *revision;
        let needed = self.follow_from(&mut revision).await?;
        Ok(Followed { any: *revision != before, needed })
    }

    /// Whether memory has all that was committed, while a change is under way here.
    async fn is_unchanged(&self) -> Result<bool, StorageError> {
        let (began_ms, known) = (clock::since_boot_ms(), self.freshness.revision());
        let changes = self.storage.directory.changes_since(known).await?;
        let unchanged = matches!(changes, Changes::Since { revision, .. } if revision == known);
        if unchanged {
            self.freshness.set(began_ms);
        }
        Ok(unchanged)
    }

    /// As [`Self::follow`], for a caller that holds the lock on changes.
    pub(super) async fn follow_from(
        &self,
        revision: &mut Revision,
    ) -> Result<Vec<(TenantId, Digest)>, StorageError> {
        let began_ms = clock::since_boot_ms();
        let mut needed = Vec::new();
        match self.storage.directory.changes_since(*revision).await? {
            Changes::Since { revision: latest, changed } => {
                let tenants: Vec<_> = changed.iter().filter_map(needs_plugins).collect();
                changed.into_iter().for_each(|item| self.apply(item));
                *revision = latest;
                for (tenant, hook) in tenants {
                    needed.extend(self.plugins_of(tenant, hook).into_iter().map(|digest| (tenant, digest)));
                }
            }
            Changes::TooMany => {
                let loaded = load(&self.storage).await?;
                *write(&self.tenants) = loaded.tenants;
                *write(&self.access) = loaded.access;
                *write(&self.operator_keys) = loaded.operator_keys;
                *write(&self.hooks) = loaded.hooks;
                *write(&self.plugins) = loaded.plugins;
                *revision = loaded.revision;
                needed = self.plugins_in_use();
            }
        }
        self.count_pauses();
        self.publish_flows();
        self.freshness.set_revision(*revision);
        self.freshness.set(began_ms);
        Ok(needed)
    }

    /// The plugins that one enabled hook of `tenant` needs, or all of them.
    fn plugins_of(&self, tenant: TenantId, hook: Option<HookId>) -> HashSet<Digest> {
        let hooks = match hook {
            Some(id) => self.hook_of(tenant, id).into_iter().collect(),
            None => self.hooks(tenant),
        };
        let steps = hooks.iter().filter(|hook| hook.enabled).flat_map(|hook| hook.all_steps());
        steps.filter_map(|step| self.plugin(tenant, &step.plugin)).map(|version| version.digest).collect()
    }

    fn apply(&self, item: ConfigItem) {
        match item {
            ConfigItem::Tenant(_, Some(tenant)) => self.put_tenant(Arc::new(tenant)),
            ConfigItem::Tenant(id, None) => self.remove_tenant(id),
            ConfigItem::Project(_, _, Some(project)) => write(&self.tenants).add_project(Arc::new(project)),
            ConfigItem::Project(tenant, number, None) => write(&self.tenants).remove_project(tenant, number),
            ConfigItem::Key(_, _, Some(key)) => write(&self.tenants).add_key(Arc::new(key)),
            ConfigItem::Key(tenant, id, None) => write(&self.tenants).remove_key(tenant, id),
            ConfigItem::OperatorKey(_, Some(key)) => write(&self.operator_keys).put(Arc::new(key)),
            ConfigItem::OperatorKey(id, None) => write(&self.operator_keys).remove(id),
            ConfigItem::Login(tenant, name, login) => {
                let login = login.filter(|_| !self.is_being_deleted(tenant));
                let mut access = write(&self.access);
                access.remove_login(tenant, &name);
                login.into_iter().for_each(|login| access.add_login(Arc::new(login)));
            }
            ConfigItem::Token(tenant, _, Some(token)) => {
                if !self.is_being_deleted(tenant) {
                    write(&self.access).put_token(Arc::new(token));
                }
            }
            ConfigItem::Token(tenant, id, None) => write(&self.access).remove_token(tenant, &id),
            ConfigItem::Hook(_, _, Some(hook)) => write(&self.hooks).put(Arc::new(*hook)),
            ConfigItem::Hook(_, id, None) => write(&self.hooks).remove(id),
            ConfigItem::Plugin(tenant, name, versions) => {
                write(&self.plugins).replace(tenant, &name, versions);
            }
        }
    }

    /// After a change was submitted: whether it was committed. If it was not, because others changed the configuration it
    /// depends on, their changes are taken over, and the caller is told.
    ///
    /// # Errors
    /// [`DirectoryError::InUse`] after such a conflict, or if storage cannot be read.
    pub(super) async fn committed(
        &self,
        revision: &mut Revision,
        change: ConfigChange,
    ) -> Result<bool, DirectoryError> {
        match change {
            ConfigChange::Done(new) => {
                if new.0 == revision.0 + 1 {
                    *revision = new;
                    self.freshness.set_revision(new);
                } else {
                    // Others committed something in between, or an earlier change was committed but reported as failed.
                    self.follow_from(revision).await?;
                }
                Ok(true)
            }
            ConfigChange::Missing => Ok(false),
            ConfigChange::Conflict => {
                self.follow_from(revision).await?;
                Err(changed_meanwhile())
            }
        }
    }

    /// As [`Self::committed`], for a change that would leave `current` as it is: it is not submitted, and returns what is there.
    /// Another node may have changed that, so it is read once more with `read` after the changes of others were taken over.
    ///
    /// # Errors
    /// [`DirectoryError::InUse`] if it is another one by now, or if storage cannot be read.
    pub(super) async fn unchanged<T: PartialEq>(
        &self,
        revision: &mut Revision,
        current: Arc<T>,
        read: impl FnOnce() -> Option<Arc<T>>,
    ) -> Result<Arc<T>, DirectoryError> {
        self.follow_from(revision).await?;
        match read() {
            Some(now) if now == current => Ok(now),
            _ => Err(changed_meanwhile()),
        }
    }
}

fn changed_meanwhile() -> DirectoryError {
    let what = "another request changed the tenant's configuration at the same time; try again";
    DirectoryError::InUse(what.to_owned())
}

/// The tenant, and its hook if it is only one, that may need a plugin because of a change.
fn needs_plugins(item: &ConfigItem) -> Option<(TenantId, Option<HookId>)> {
    match item {
        ConfigItem::Hook(tenant, id, Some(_)) => Some((*tenant, Some(*id))),
        // A hook without a version in its pipeline runs the newest one.
        ConfigItem::Plugin(tenant, _, versions) if !versions.is_empty() => Some((*tenant, None)),
        _ => None,
    }
}
