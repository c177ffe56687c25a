//! Plugins: what a reference stands for.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::standard::STANDARD_PLUGINS;
use super::{Directory, DirectoryError, read, write};
use crate::domain::attempt::ResolvedPlugin;
use crate::domain::{Digest, Hook, HookId, PluginName, PluginRef, PluginVersion, Role, TenantId};
use crate::sandbox::{Inspected, Owners};

/// Plugin versions in memory.
#[derive(Debug, Default)]
pub struct PluginIndex {
    /// By owner and name, oldest version first. Standard plugins have no owner.
    versions: BTreeMap<(Option<TenantId>, PluginName), Vec<Arc<PluginVersion>>>,
    /// The same by their bytes.
    by_digest: HashMap<Digest, Vec<Arc<PluginVersion>>>,
}

/// Whether an upload made a new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploaded {
    /// It did.
    New(Arc<PluginVersion>),
    /// The newest version has the same bytes.
    Same(Arc<PluginVersion>),
}

/// The first of these hooks in words, and how many there are besides: `hook_1, hook_2 and 3 more hooks`.
#[must_use]
pub fn named_hooks(hooks: &[HookId]) -> String {
    const NAMED: usize = 5;
    let named: Vec<_> = hooks.iter().take(NAMED).map(|hook| format!("`{hook}`")).collect();
    let more = hooks.len().saturating_sub(NAMED);
    let one = if hooks.len() == 1 { "hook" } else { "hooks" };
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{one} {}{rest}", named.join(", "))
}

/// A hook that uses a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginUse {
    /// Which hook.
    pub hook: HookId,
    /// By which reference.
    pub by: PluginRef,
}

impl PluginIndex {
    /// The greatest number of plugins of one tenant.
    pub const MAX_PER_TENANT: usize = 1_000;

    /// An index of the standard plugins and these.
    #[must_use]
    pub fn new(versions: Vec<PluginVersion>) -> Self {
        let mut index = Self::default();
        let standard = STANDARD_PLUGINS.iter().map(super::StandardPlugin::version);
        standard.chain(versions).for_each(|version| index.put(Arc::new(version)));
        for (owner, name) in index.versions.keys().filter(|(owner, _)| owner.is_some()) {
            if index.versions.contains_key(&(None, name.clone())) {
                tracing::warn!(tenant = ?owner, plugin = %name, "a standard plugin of this name goes before the tenant's own; refer to that by its digest");
            }
        }
        index
    }

    fn put(&mut self, version: Arc<PluginVersion>) {
        self.by_digest.entry(version.digest).or_default().push(Arc::clone(&version));
        let versions = self.versions.entry((version.tenant, version.name.clone())).or_default();
        versions.push(version);
        versions.sort_by_key(|version| version.version);
    }

    /// A standard plugin goes before a tenant's own of that name, which an engine that did not have it yet took in:
    /// what the engine itself puts into pipelines must be what it means.
    fn of_name(&self, tenant: TenantId, name: &PluginName) -> &[Arc<PluginVersion>] {
        let find = |owner| self.versions.get(&(owner, name.clone()));
        find(None).or_else(|| find(Some(tenant))).map_or(&[], Vec::as_slice)
    }

    fn resolve(&self, tenant: TenantId, reference: &PluginRef) -> Option<Arc<PluginVersion>> {
        match reference {
            PluginRef::Latest(name) => self.of_name(tenant, name).last().cloned(),
            PluginRef::Version(name, number) => {
                self.of_name(tenant, name).iter().find(|version| version.version == *number).cloned()
            }
            PluginRef::Digest(digest) => {
                let is_visible =
                    |version: &&Arc<PluginVersion>| version.tenant.is_none_or(|owner| owner == tenant);
                let same = self.by_digest.get(digest).into_iter().flatten().filter(is_visible);
                same.min_by_key(|version| (version.tenant, &version.name, version.version)).cloned()
            }
        }
    }
}

impl PluginIndex {
    fn remove(&mut self, tenant: TenantId, name: &PluginName) {
        for version in self.versions.remove(&(Some(tenant), name.clone())).unwrap_or_default() {
            if let Some(same) = self.by_digest.get_mut(&version.digest) {
                same.retain(|other| !Arc::ptr_eq(other, &version));
                if same.is_empty() {
                    self.by_digest.remove(&version.digest);
                }
            }
        }
    }
}

impl Directory {
    /// The version that `reference` stands for now, for `tenant`.
    pub fn plugin(&self, tenant: TenantId, reference: &PluginRef) -> Option<Arc<PluginVersion>> {
        read(&self.plugins).resolve(tenant, reference)
    }

    /// As [`Self::plugin`], in the form in which it stands on an attempt.
    pub fn resolve(&self, tenant: TenantId, reference: &PluginRef) -> Option<ResolvedPlugin> {
        let version = self.plugin(tenant, reference)?;
        Some(ResolvedPlugin { name: version.name.clone(), version: version.version, digest: version.digest })
    }

    /// Every version of one plugin, oldest first; empty if there is none.
    pub fn plugin_versions(&self, tenant: TenantId, name: &PluginName) -> Vec<Arc<PluginVersion>> {
        read(&self.plugins).of_name(tenant, name).to_vec()
    }

    /// The newest version of each plugin that `tenant` may use, its own and the standard ones, by name.
    pub fn plugins(&self, tenant: TenantId) -> Vec<Arc<PluginVersion>> {
        let index = read(&self.plugins);
        let mine = index.versions.iter().filter(|((owner, _), _)| owner.is_none_or(|owner| owner == tenant));
        let mut newest: Vec<_> = mine.filter_map(|(_, versions)| versions.last().cloned()).collect();
        newest.sort_by(|a, b| a.name.cmp(&b.name));
        newest
    }

    /// Stores an upload that the sandbox has inspected. The same bytes as the newest version's make no new one.
    ///
    /// # Errors
    /// Where the name is a standard plugin's, the tenant has 1,000 plugins already, or storage fails.
    pub async fn add_plugin_version(
        &self,
        tenant: TenantId,
        name: PluginName,
        inspected: Inspected,
        wasm: &[u8],
    ) -> Result<Uploaded, DirectoryError> {
        let _turn = self.mutation.lock().await;
        let newest = {
            let index = read(&self.plugins);
            if index.versions.contains_key(&(None, name.clone())) {
                return Err(DirectoryError::Taken(format!(
                    "`{name}` is a standard plugin's name; choose another"
                )));
            }
            let newest =
                index.versions.get(&(Some(tenant), name.clone())).and_then(|all| all.last()).cloned();
            let owned = index.versions.keys().filter(|(owner, _)| *owner == Some(tenant)).count();
            if newest.is_none() && owned >= PluginIndex::MAX_PER_TENANT {
                return Err(DirectoryError::TooMany(format!(
                    "a tenant has at most {} plugins",
                    PluginIndex::MAX_PER_TENANT
                )));
            }
            newest
        };
        self.check_roles(tenant, &name, &inspected.roles)?;
        if let Some(same) = newest.as_ref().filter(|version| version.digest == inspected.digest) {
            return Ok(Uploaded::Same(Arc::clone(same)));
        }
        let version = Arc::new(PluginVersion {
            tenant: Some(tenant),
            name,
            version: newest.map_or(1, |version| version.version + 1),
            digest: inspected.digest,
            roles: inspected.roles,
            imports: inspected.imports,
            size_bytes: inspected.size_bytes,
            created_at: self.clock.now(),
        });
        self.storage.plugins.insert(&version, wasm).await?;
        write(&self.plugins).put(Arc::clone(&version));
        Ok(Uploaded::New(version))
    }

    /// The hooks of `tenant` that run the newest version of `name`, whichever it is, oldest first.
    pub fn hooks_by_name(&self, tenant: TenantId, name: &PluginName) -> Vec<Arc<Hook>> {
        let by_name = PluginRef::Latest(name.clone());
        let mut hooks = self.hooks(tenant);
        hooks.retain(|hook| {
            hook.pipeline.0.iter().chain(&hook.preflight.0).any(|step| step.plugin == by_name)
        });
        hooks
    }

    /// Whether a new version of `name` may have these roles. Where hooks run the newest version, whichever it is, a version with
    /// other roles would change what they do without a word: a filter in place of a transformer has them send the event as it is.
    ///
    /// # Errors
    /// Names the hooks that rely on the roles so far.
    pub fn check_roles(
        &self,
        tenant: TenantId,
        name: &PluginName,
        roles: &[Role],
    ) -> Result<(), DirectoryError> {
        let Some(newest) = self.plugin(tenant, &PluginRef::Latest(name.clone())) else { return Ok(()) };
        if newest.roles.len() == roles.len() && newest.roles.iter().all(|role| roles.contains(role)) {
            return Ok(());
        }
        let hooks: Vec<_> = self.hooks_by_name(tenant, name).iter().map(|hook| hook.id).collect();
        if hooks.is_empty() {
            return Ok(());
        }
        let list = |roles: &[Role]| roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" and ");
        Err(DirectoryError::InUse(format!(
            "`{name}` is run as {} by {}, and this version is {}: upload it under another name, or have the hooks name a version",
            list(&newest.roles),
            named_hooks(&hooks),
            list(roles)
        )))
    }

    /// The hooks of `tenant` whose pipelines use any version of `name`.
    pub fn plugin_uses(&self, tenant: TenantId, name: &PluginName) -> Vec<PluginUse> {
        let mut uses = Vec::new();
        for hook in self.hooks(tenant) {
            for step in hook.pipeline.0.iter().chain(&hook.preflight.0) {
                if self.plugin(tenant, &step.plugin).is_some_and(|version| version.name == *name) {
                    uses.push(PluginUse { hook: hook.id, by: step.plugin.clone() });
                }
            }
        }
        uses
    }

    /// Deletes a tenant's plugin with all its versions; false if there was none.
    ///
    /// # Errors
    /// Where a hook uses it, or storage fails.
    pub async fn delete_plugin(&self, tenant: TenantId, name: &PluginName) -> Result<bool, DirectoryError> {
        let _turn = self.mutation.lock().await;
        if !read(&self.plugins).versions.contains_key(&(Some(tenant), name.clone())) {
            return Ok(false);
        }
        if let Some(first) = self.plugin_uses(tenant, name).first() {
            return Err(DirectoryError::InUse(format!(
                "hook {} uses `{}`; take it out of the hook's pipeline first",
                first.hook, first.by
            )));
        }
        let was_there = self.storage.plugins.delete(tenant, name).await?;
        write(&self.plugins).remove(tenant, name);
        Ok(was_there)
    }

    /// Who has a plugin with these bytes.
    pub fn plugin_owners(&self, digest: &Digest) -> Owners {
        let index = read(&self.plugins);
        let Some(versions) = index.by_digest.get(digest) else { return Owners::Nobody };
        let mut tenants: Vec<_> = versions.iter().filter_map(|version| version.tenant).collect();
        if versions.iter().any(|version| version.tenant.is_none()) {
            return Owners::Engine;
        }
        tenants.sort_unstable();
        tenants.dedup();
        Owners::Tenants(tenants)
    }

    /// The plugins that enabled hooks use, each once, one of each tenant in turn.
    pub fn plugins_in_use(&self) -> Vec<(TenantId, Digest)> {
        let mut of_tenants = VecDeque::new();
        let mut seen = HashSet::new();
        for tenant in self.tenants() {
            let mut digests = VecDeque::new();
            for hook in self.hooks(tenant.id).iter().filter(|hook| hook.enabled) {
                let steps = hook.pipeline.0.iter().chain(&hook.preflight.0);
                let resolved = steps.filter_map(|step| self.plugin(tenant.id, &step.plugin));
                digests.extend(resolved.map(|version| version.digest).filter(|digest| seen.insert(*digest)));
            }
            of_tenants.push_back((tenant.id, digests));
        }
        let mut in_turn = Vec::new();
        while let Some((tenant, mut digests)) = of_tenants.pop_front() {
            if let Some(digest) = digests.pop_front() {
                in_turn.push((tenant, digest));
                of_tenants.push_back((tenant, digests));
            }
        }
        in_turn
    }

    /// The bytes of a plugin, as uploaded.
    ///
    /// # Errors
    /// Where storage fails.
    pub async fn plugin_wasm(&self, digest: &Digest) -> Result<Option<Vec<u8>>, DirectoryError> {
        if let Some(standard) = STANDARD_PLUGINS.iter().find(|plugin| plugin.digest() == *digest) {
            return Ok(Some(standard.wasm.to_vec()));
        }
        Ok(self.storage.plugins.wasm(digest).await?)
    }
}
