//! Creating and changing hooks.

use std::sync::Arc;

use super::settings_trial::{SettingsError, SettingsTrial};
use crate::delivery::Dispatcher;
use crate::directory::{Directory, DirectoryError};
use crate::domain::{Hook, HookId, Step, TenantId};

/// Changes hooks. Clones share everything.
#[derive(Clone)]
pub struct HookService {
    directory: Arc<Directory>,
    dispatcher: Arc<Dispatcher>,
    trial: SettingsTrial,
}

impl HookService {
    /// A service over these parts of the engine.
    #[must_use]
    pub fn new(directory: Arc<Directory>, dispatcher: Arc<Dispatcher>, trial: SettingsTrial) -> Self {
        Self { directory, dispatcher, trial }
    }

    /// Stores a new hook after its plugins have accepted the settings of those steps for which `is_from_client` is true. The hook
    /// gets a new id and its times. Gives up the validation when `gone` completes.
    ///
    /// # Errors
    /// Fails if a plugin rejects its settings, or if the tenant has as many hooks as it may.
    pub async fn create<E: From<DirectoryError> + From<SettingsError>>(
        &self,
        hook: Hook,
        is_from_client: impl Fn(&Step) -> bool,
        gone: impl Future<Output = ()>,
    ) -> Result<Arc<Hook>, E> {
        self.trial.validate(&hook, None, is_from_client, gone).await?;
        // Generated last, because lists are ordered by id and the plugins may have taken long.
        let now = self.directory.clock().now();
        let id = HookId::generate(self.directory.ids(), now);
        let hook = Hook { id, created_at: now, updated_at: now, ..hook };
        Ok(self.directory.create_hook(hook).await?)
    }

    /// Replaces a hook by the result of `replace`; `None` if there is no such hook. Validates settings as [`Self::create`] does,
    /// but not those that the hook has already.
    ///
    /// The plugins are called before the directory's lock is taken, with the hook as it was then, because their calls may take longer
    /// than other changes should wait. So `replace` is called twice.
    ///
    /// # Errors
    /// Fails if `replace` fails, or if a plugin rejects its settings.
    pub async fn change<E: From<DirectoryError> + From<SettingsError>>(
        &self,
        (tenant, id): (TenantId, HookId),
        is_from_client: impl Fn(&Step) -> bool,
        gone: impl Future<Output = ()>,
        replace: impl Fn(&Hook) -> Result<Hook, E>,
    ) -> Result<Option<Arc<Hook>>, E> {
        let Some(current) = self.directory.hook_of(tenant, id) else { return Ok(None) };
        self.trial.validate(&replace(&current)?, Some(&*current), is_from_client, gone).await?;
        let changed = self.directory.change_hook(tenant, id, replace).await?;
        self.wake();
        Ok(changed)
    }

    /// Creates the one hook of the tenant for which `is_it` is true, or replaces it. The engine wrote the settings of its plugins, so
    /// they are not validated.
    ///
    /// # Errors
    /// Fails if `make` fails, or if the tenant has as many hooks as it may.
    pub async fn put<E: From<DirectoryError>>(
        &self,
        tenant: TenantId,
        is_it: impl Fn(&Hook) -> bool,
        make: impl FnOnce(Option<&Hook>) -> Result<Hook, E>,
    ) -> Result<Arc<Hook>, E> {
        let hook = self.directory.put_hook(tenant, is_it, make).await?;
        self.wake();
        Ok(hook)
    }

    /// A change may enable a hook, and its deliveries may be due.
    fn wake(&self) {
        self.dispatcher.wake();
    }
}
