//! Plugin versions in memory, by owner, name and digest.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::standard::{STANDARD_PLUGINS, StandardPlugin};
use crate::domain::{Digest, PluginName, PluginRef, PluginVersion, TenantId};

/// Plugin versions in memory.
#[derive(Debug, Default)]
pub struct PluginIndex {
    /// By owner; standard plugins have none.
    pub(super) owners: HashMap<Option<TenantId>, OwnersPlugins>,
}

/// The plugins of one tenant, or the standard ones.
#[derive(Debug, Default)]
pub(super) struct OwnersPlugins {
    /// By name, oldest version first.
    pub(super) versions: BTreeMap<PluginName, Vec<Arc<PluginVersion>>>,
    pub(super) by_digest: HashMap<Digest, Vec<Arc<PluginVersion>>>,
    /// How many versions there are.
    pub(super) count: usize,
    /// The sum of their sizes as uploaded.
    pub(super) bytes: u64,
}

impl OwnersPlugins {
    pub(super) fn put(&mut self, version: Arc<PluginVersion>) {
        self.count += 1;
        self.bytes += version.size_bytes;
        self.by_digest.entry(version.digest).or_default().push(Arc::clone(&version));
        let versions = self.versions.entry(version.name.clone()).or_default();
        versions.push(version);
        versions.sort_by_key(|version| version.version);
    }

    /// Removes the versions of `name` that `is_removed` selects.
    pub(super) fn remove(&mut self, name: &PluginName, is_removed: impl Fn(&PluginVersion) -> bool) {
        let Some(versions) = self.versions.get_mut(name) else { return };
        let (gone, kept): (Vec<_>, Vec<_>) = versions.drain(..).partition(|version| is_removed(version));
        *versions = kept;
        if versions.is_empty() {
            self.versions.remove(name);
        }
        for version in gone {
            self.count -= 1;
            self.bytes -= version.size_bytes;
            let Some(same) = self.by_digest.get_mut(&version.digest) else { continue };
            same.retain(|other| !Arc::ptr_eq(other, &version));
            if same.is_empty() {
                self.by_digest.remove(&version.digest);
            }
        }
    }

    /// The first version by name and number that has these bytes.
    pub(super) fn of_digest(&self, digest: &Digest) -> Option<&Arc<PluginVersion>> {
        self.by_digest.get(digest)?.iter().min_by_key(|version| (&version.name, version.version))
    }
}

impl PluginIndex {
    /// An index of the standard plugins and these.
    #[must_use]
    pub fn new(versions: Vec<PluginVersion>) -> Self {
        let mut index = Self::default();
        let standard = STANDARD_PLUGINS.iter().map(StandardPlugin::version);
        standard.chain(versions).for_each(|version| index.put(Arc::new(version)));
        for (owner, plugins) in index.owners.iter().filter(|(owner, _)| owner.is_some()) {
            for name in plugins.versions.keys().filter(|name| index.is_standard(name)) {
                tracing::warn!(tenant = ?owner, plugin = %name, "a standard plugin has the name of a tenant's plugin and is used instead; refer to the tenant's by its digest");
            }
        }
        index
    }

    pub(super) fn put(&mut self, version: Arc<PluginVersion>) {
        self.owners.entry(version.tenant).or_default().put(version);
    }

    /// Replaces all versions of a tenant's plugin.
    pub(super) fn replace(&mut self, tenant: TenantId, name: &PluginName, versions: Vec<PluginVersion>) {
        if let Some(owned) = self.owners.get_mut(&Some(tenant)) {
            owned.remove(name, |_| true);
        }
        versions.into_iter().for_each(|version| self.put(Arc::new(version)));
    }

    /// Removes all plugins of a tenant.
    pub(super) fn remove_owner(&mut self, tenant: TenantId) {
        self.owners.remove(&Some(tenant));
    }

    pub(super) fn is_standard(&self, name: &PluginName) -> bool {
        self.owners.get(&None).is_some_and(|standard| standard.versions.contains_key(name))
    }

    /// The standard plugins, then those of `tenant`.
    pub(super) fn visible(&self, tenant: TenantId) -> impl Iterator<Item = &OwnersPlugins> {
        [None, Some(tenant)].into_iter().filter_map(|owner| self.owners.get(&owner))
    }

    /// A standard plugin goes before a tenant's own of the same name, which an older engine may have accepted: pipelines that
    /// the engine itself writes must use the standard one.
    pub(super) fn of_name(&self, tenant: TenantId, name: &PluginName) -> &[Arc<PluginVersion>] {
        self.visible(tenant).find_map(|owner| owner.versions.get(name)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn resolve(&self, tenant: TenantId, reference: &PluginRef) -> Option<Arc<PluginVersion>> {
        match reference {
            PluginRef::Latest(name) => self.of_name(tenant, name).last().cloned(),
            PluginRef::Version(name, number) => {
                self.of_name(tenant, name).iter().find(|version| version.version == *number).cloned()
            }
            PluginRef::Digest(digest) => {
                self.visible(tenant).find_map(|owner| owner.of_digest(digest)).cloned()
            }
        }
    }
}
