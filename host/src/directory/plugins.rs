//! Plugins, and the versions that references stand for.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::cache::Directory;
use super::editor::ConfigEditor;
use super::error::DirectoryError;
use super::locks::{read, write};
use super::quotas::{Quotas, check_count};
use super::standard::STANDARD_PLUGINS;
use crate::domain::attempt::ResolvedPlugin;
use crate::domain::audit::plugin_changes;
use crate::domain::{
    AuditAction, AuditObject, Digest, Hook, HookId, Limit, PluginName, PluginRef, PluginVersion, Role,
    TenantId,
};
use crate::sandbox::{Inspected, Owners};

/// Whether an upload created a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploaded {
    /// It created one.
    New(Arc<PluginVersion>),
    /// The newest version has the same bytes.
    Same(Arc<PluginVersion>),
}

/// A list of hooks as text: the first ones, and how many more there are.
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
    /// The reference in its pipeline.
    pub by: PluginRef,
}

impl Directory {
    /// The version that `reference` of `tenant` stands for now.
    pub fn plugin(&self, tenant: TenantId, reference: &PluginRef) -> Option<Arc<PluginVersion>> {
        read(&self.plugins).resolve(tenant, reference)
    }

    /// As [`Self::plugin`], in the form that attempts record.
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
        let mine = index.visible(tenant).flat_map(|owner| owner.versions.values());
        let mut newest: Vec<_> = mine.filter_map(|versions| versions.last().cloned()).collect();
        newest.sort_by(|a, b| a.name.cmp(&b.name));
        newest
    }

    /// The hooks of `tenant` that run the latest version of `name`, oldest first.
    pub fn hooks_by_name(&self, tenant: TenantId, name: &PluginName) -> Vec<Arc<Hook>> {
        let by_name = PluginRef::Latest(name.clone());
        let mut hooks = self.hooks(tenant);
        hooks.retain(|hook| hook.all_steps().any(|step| step.plugin == by_name));
        hooks
    }

    /// Whether a new version of `name` may have these roles. If hooks run the latest version, one with other roles would
    /// silently change what they do: with a filter instead of a transformer they would send the original event.
    ///
    /// # Errors
    /// If hooks rely on the present roles.
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
            for step in hook.all_steps() {
                if self.plugin(tenant, &step.plugin).is_some_and(|version| version.name == *name) {
                    uses.push(PluginUse { hook: hook.id, by: step.plugin.clone() });
                }
            }
        }
        uses
    }

    /// The owners of plugins with these bytes.
    pub fn plugin_owners(&self, digest: &Digest) -> Owners {
        let index = read(&self.plugins);
        let mut tenants = Vec::new();
        for (owner, _) in index.owners.iter().filter(|(_, owned)| owned.by_digest.contains_key(digest)) {
            match owner {
                None => return Owners::Engine,
                Some(tenant) => tenants.push(*tenant),
            }
        }
        if tenants.is_empty() {
            return Owners::Unowned;
        }
        tenants.sort_unstable();
        Owners::Tenants(tenants)
    }

    /// The plugins that enabled hooks use, each once, alternating between tenants.
    pub fn plugins_in_use(&self) -> Vec<(TenantId, Digest)> {
        let mut of_tenants = VecDeque::new();
        let mut seen = HashSet::new();
        for tenant in self.tenants() {
            let mut digests = VecDeque::new();
            for hook in self.hooks(tenant.id).iter().filter(|hook| hook.enabled) {
                let steps = hook.all_steps();
                let resolved = steps.filter_map(|step| self.plugin(tenant.id, &step.plugin));
                digests.extend(resolved.map(|version| version.digest).filter(|digest| seen.insert(*digest)));
            }
            of_tenants.push_back((tenant.id, digests));
        }
        let mut alternating = Vec::new();
        while let Some((tenant, mut digests)) = of_tenants.pop_front() {
            if let Some(digest) = digests.pop_front() {
                alternating.push((tenant, digest));
                of_tenants.push_back((tenant, digests));
            }
        }
        alternating
    }

    /// The bytes of a plugin, as uploaded.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn plugin_wasm(&self, digest: &Digest) -> Result<Option<Vec<u8>>, DirectoryError> {
        if let Some(standard) = STANDARD_PLUGINS.iter().find(|plugin| plugin.digest() == *digest) {
            return Ok(Some(standard.wasm.to_vec()));
        }
        Ok(self.storage.plugins.wasm(digest).await?)
    }
}

impl ConfigEditor<'_> {
    /// Stores an inspected upload. If its bytes are those of the newest version, no version is created.
    ///
    /// # Errors
    /// If the name is a standard plugin's, the tenant has reached its limit of plugins, versions or bytes, or storage fails.
    pub async fn add_plugin_version(
        &self,
        tenant: TenantId,
        name: PluginName,
        inspected: Inspected,
        wasm: &[u8],
    ) -> Result<Uploaded, DirectoryError> {
        let mut permit = self.permit_change(tenant).await?;
        let newest = {
            let index = read(&self.plugins);
            if index.is_standard(&name) {
                return Err(DirectoryError::Taken(format!(
                    "`{name}` is a standard plugin's name; choose another"
                )));
            }
            index.of_name(tenant, &name).last().cloned()
        };
        self.check_roles(tenant, &name, &inspected.roles)?;
        if let Some(same) = newest.as_ref().filter(|version| version.digest == inspected.digest) {
            return Ok(Uploaded::Same(Arc::clone(same)));
        }
        self.check_plugin_quota(tenant, newest.is_none(), inspected.size_bytes)?;
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
        let entry = self.entry(
            Some(tenant),
            AuditAction::PluginUploaded,
            AuditObject::plugin(&version.name),
            plugin_changes(None, Some(&*version)),
        );
        let change = self.storage.plugins.insert(&version, wasm, *permit.revision, &entry).await?;
        self.done(&mut permit, change).await?;
        write(&self.plugins).put(Arc::clone(&version));
        Ok(Uploaded::New(version))
    }

    /// Whether `tenant` may store another version of so many bytes, of a new or an existing plugin. The caller holds the
    /// permit.
    fn check_plugin_quota(
        &self,
        tenant: TenantId,
        is_new: bool,
        size_bytes: u64,
    ) -> Result<(), DirectoryError> {
        const HINT: &str = "delete plugins, or old versions, that no hook uses";
        let (plugins, versions) = {
            let index = read(&self.plugins);
            let owned = index.owners.get(&Some(tenant));
            owned.map_or((0, 0), |owned| (owned.versions.len() as u64, owned.count as u64))
        };
        if is_new {
            check_count("plugins", plugins, Quotas::MAX_PLUGINS, HINT)?;
        }
        check_count("versions of plugins", versions, Quotas::MAX_PLUGIN_VERSIONS, HINT)?;
        self.check_bytes_of(tenant, (Limit::PluginBytes, "plugins"), size_bytes, HINT)
    }

    /// Deletes a tenant's plugin with all its versions; false if there was none.
    ///
    /// # Errors
    /// If a hook uses it, or storage fails.
    pub async fn delete_plugin(&self, tenant: TenantId, name: &PluginName) -> Result<bool, DirectoryError> {
        let mut permit = self.permit_removal(tenant).await?;
        let is_there = {
            let index = read(&self.plugins);
            index.owners.get(&Some(tenant)).is_some_and(|owned| owned.versions.contains_key(name))
        };
        if !is_there {
            return Ok(false);
        }
        if let Some(first) = self.plugin_uses(tenant, name).first() {
            return Err(DirectoryError::InUse(format!(
                "hook {} uses `{}`; take it out of the hook's pipeline first",
                first.hook, first.by
            )));
        }
        let object = AuditObject::plugin(name);
        let entry = self.entry(Some(tenant), AuditAction::PluginDeleted, object, Vec::new());
        let change = self.storage.plugins.delete(tenant, name, *permit.revision, &entry).await?;
        let existed = self.done(&mut permit, change).await?;
        self.forget_versions(tenant, name, |_| true);
        Ok(existed)
    }

    /// Deletes one version of a tenant's plugin; false if there was none.
    ///
    /// # Errors
    /// If a hook uses this version, it is the newest one (its number would be used again), or storage fails.
    pub async fn delete_plugin_version(
        &self,
        tenant: TenantId,
        name: &PluginName,
        number: u32,
    ) -> Result<bool, DirectoryError> {
        let mut permit = self.permit_removal(tenant).await?;
        let version = self.plugin(tenant, &PluginRef::Version(name.clone(), number));
        let Some(version) = version.filter(|version| version.tenant == Some(tenant)) else {
            return Ok(false);
        };
        let newest = self.plugin(tenant, &PluginRef::Latest(name.clone()));
        if newest.is_some_and(|newest| newest.version == number) {
            return Err(DirectoryError::InUse(format!(
                "version {number} is the newest of `{name}`: delete the plugin as a whole, or upload another version first"
            )));
        }
        let is_used = |used: &PluginUse| self.plugin(tenant, &used.by).is_some_and(|it| it == version);
        if let Some(first) = self.plugin_uses(tenant, name).iter().find(|used| is_used(used)) {
            return Err(DirectoryError::InUse(format!(
                "hook {} uses `{}`, which is version {number}; change the hook's pipeline first",
                first.hook, first.by
            )));
        }
        let object = AuditObject::plugin(name);
        let changes = plugin_changes(Some(&*version), None);
        let entry = self.entry(Some(tenant), AuditAction::PluginDeleted, object, changes);
        let basis = *permit.revision;
        let change = self.storage.plugins.delete_version(tenant, name, number, basis, &entry).await?;
        let existed = self.done(&mut permit, change).await?;
        self.forget_versions(tenant, name, |version| version.version == number);
        Ok(existed)
    }

    fn forget_versions(
        &self,
        tenant: TenantId,
        name: &PluginName,
        is_removed: impl Fn(&PluginVersion) -> bool,
    ) {
        if let Some(owned) = write(&self.plugins).owners.get_mut(&Some(tenant)) {
            owned.remove(name, is_removed);
        }
    }
}
