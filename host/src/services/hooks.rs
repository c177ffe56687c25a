//! Creating and changing hooks.

use std::sync::Arc;

use super::handshakes::Handshakes;
use super::secrets::{SameSecret, rotated};
use super::settings_trial::{SettingsError, SettingsTrial};
use crate::clock;
use crate::delivery::{Dispatcher, Notice, Notices};
use crate::directory::{Directory, DirectoryError};
use crate::domain::signing_key::SigningKey;
use crate::domain::{Actor, AuditAction, Hook, HookId, Pipeline, SigningSecret, Step, TenantId};
use crate::sources::Sources;

/// Creates and changes hooks. Clones share one service.
#[derive(Clone)]
pub struct HookService {
    sources: Sources,
    directory: Arc<Directory>,
    dispatcher: Arc<Dispatcher>,
    trial: SettingsTrial,
    handshakes: Handshakes,
    notices: Notices,
}

impl HookService {
    /// Creates the service from the parts of the engine that it uses.
    #[must_use]
    pub fn new(
        sources: Sources,
        directory: Arc<Directory>,
        dispatcher: Arc<Dispatcher>,
        trial: SettingsTrial,
        (handshakes, notices): (Handshakes, Notices),
    ) -> Self {
        Self { sources, directory, dispatcher, trial, handshakes, notices }
    }

    /// On behalf of `actor`, stores a new hook after its plugins have accepted the settings of the steps for which `is_from_client` is true. Assigns
    /// the hook's id and times. Stops the validation when `gone` completes.
    ///
    /// # Errors
    /// Fails if a plugin rejects its settings, or if the tenant has the maximum number of hooks.
    pub async fn create<E: From<DirectoryError> + From<SettingsError>>(
        &self,
        actor: &Actor,
        hook: Hook,
        is_from_client: impl Fn(&Step) -> bool,
        gone: impl Future<Output = ()>,
    ) -> Result<Arc<Hook>, E> {
        self.trial.validate(&hook, None, is_from_client, gone).await?;
        // Generated last, because lists are ordered by id and the plugins may have taken long.
        let now = self.sources.now();
        let id = HookId::generate(&self.sources.ids, now);
        let hook = Hook { id, created_at: now, updated_at: now, ..hook };
        let created = self.directory.by(actor).create_hook(hook).await?;
        self.dispatcher.take_flows(&self.directory.flows());
        self.handshakes.start(&created);
        self.tell_quotas(created.tenant);
        Ok(created)
    }

    /// On behalf of `actor`, replaces a hook by the result of `replace`; `None` if there is no such hook. Validates settings like [`Self::create`],
    /// except those that the hook already has.
    ///
    /// Calls the plugins before it takes the directory's lock, because the calls may take longer than other changes should wait.
    /// So it calls `replace` twice: with the hook before the validation, and with the current hook under the lock.
    ///
    /// # Errors
    /// Fails if `replace` fails, or if a plugin rejects its settings.
    pub async fn change<E: From<DirectoryError> + From<SettingsError>>(
        &self,
        actor: &Actor,
        (tenant, id): (TenantId, HookId),
        is_from_client: impl Fn(&Step) -> bool,
        gone: impl Future<Output = ()>,
        replace: impl Fn(&Hook) -> Result<Hook, E>,
    ) -> Result<Option<Arc<Hook>>, E> {
        let Some(current) = self.directory.hook_of(tenant, id) else { return Ok(None) };
        self.trial.validate(&replace(&current)?, Some(&*current), is_from_client, gone).await?;
        let changed = self.directory.by(actor).change_hook(tenant, id, replace).await?;
        self.changed(tenant, id);
        if let Some(changed) = &changed {
            if changed.url != current.url {
                // The receiver that asked for a pause is another one.
                self.dispatcher.delay_hook(id, tenant, clock::monotonic());
            }
            self.handshakes.start(changed);
        }
        Ok(changed)
    }

    /// Validates the settings of `pipeline`, which deliveries of `hook` run instead of its own, like [`Self::change`].
    ///
    /// # Errors
    /// Fails if a plugin rejects its settings.
    pub async fn validate_pipeline(
        &self,
        hook: &Hook,
        pipeline: Pipeline,
        gone: impl Future<Output = ()>,
    ) -> Result<Hook, SettingsError> {
        let with_pipeline = Hook { pipeline, ..hook.clone() };
        self.trial.validate(&with_pipeline, Some(hook), |_| true, gone).await?;
        Ok(with_pipeline)
    }

    /// Creates or replaces the only hook of the tenant for which `is_it` is true. Does not validate the settings of its plugins,
    /// which the engine wrote.
    ///
    /// # Errors
    /// Fails if `make` fails, or if the tenant has the maximum number of hooks.
    pub async fn put<E: From<DirectoryError>>(
        &self,
        actor: &Actor,
        tenant: TenantId,
        is_it: impl Fn(&Hook) -> bool,
        make: impl FnOnce(Option<&Hook>) -> Result<Hook, E>,
    ) -> Result<Arc<Hook>, E> {
        let hook = self.directory.by(actor).put_hook(tenant, is_it, make).await?;
        self.changed(tenant, hook.id);
        Ok(hook)
    }

    /// Rotates the hook's secret to `secret`; `None` if there is no such hook. The previous secret still signs for a day.
    ///
    /// # Errors
    /// Fails if `may_rotate` fails, or if `secret` is already the hook's current secret.
    pub async fn rotate_secret<E: From<DirectoryError> + From<SameSecret>>(
        &self,
        actor: &Actor,
        (tenant, id): (TenantId, HookId),
        secret: SigningSecret,
        may_rotate: impl Fn(&Hook) -> Result<(), E>,
    ) -> Result<Option<Arc<Hook>>, E> {
        let now = self.sources.now();
        let change = |hook: &Hook| {
            may_rotate(hook)?;
            Ok(Hook { secrets: rotated(&hook.secrets, secret, now)?, ..hook.clone() })
        };
        let editor = self.directory.by(actor);
        editor.change_hook_as(AuditAction::HookSecretRotated, (tenant, id), change).await
    }

    /// Rotates the hook's key pair to `key`; `None` if there is no such hook. The previous one still signs for a day.
    ///
    /// # Errors
    /// Fails if `may_rotate` fails, or if `key` is already the hook's current one.
    pub async fn rotate_signing_key<E: From<DirectoryError> + From<SameSecret>>(
        &self,
        actor: &Actor,
        (tenant, id): (TenantId, HookId),
        key: SigningKey,
        may_rotate: impl Fn(&Hook) -> Result<(), E>,
    ) -> Result<Option<Arc<Hook>>, E> {
        let now = self.sources.now();
        let change = |hook: &Hook| {
            may_rotate(hook)?;
            let signing_keys = rotated(hook.signing_keys(), key, now)?;
            let mut changed = hook.clone();
            changed.options.receiver.get_or_insert_default().signing_keys = signing_keys;
            Ok(changed)
        };
        let editor = self.directory.by(actor);
        editor.change_hook_as(AuditAction::HookSigningKeyRotated, (tenant, id), change).await
    }

    /// The most requests that one hook may have in flight.
    #[must_use]
    pub fn max_in_flight(&self) -> usize {
        self.dispatcher.in_flight_per_hook()
    }

    /// The handshakes of hooks.
    #[must_use]
    pub fn handshakes(&self) -> &Handshakes {
        &self.handshakes
    }

    /// Wakes the dispatcher: the change may have enabled the hook, whose deliveries may be due.
    fn changed(&self, tenant: TenantId, hook: HookId) {
        self.dispatcher.take_flows(&self.directory.flows());
        self.dispatcher.health().hook_changed(hook, self.sources.now());
        self.dispatcher.wake();
        self.tell_quotas(tenant);
    }

    /// Tells the tenant which quotas it has nearly used up.
    pub fn tell_quotas(&self, tenant: TenantId) {
        for near in self.directory.near_quotas(tenant) {
            self.notices.send(Notice::of_quota(tenant, near));
        }
    }
}
