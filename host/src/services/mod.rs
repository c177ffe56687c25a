//! What clients can do with deliveries and hooks, whatever interface they use.
//!
//! A service decides: whether a delivery may be retried, whether plugins accept a hook's settings, whom to wake after a change. It
//! knows neither HTTP nor the texts of one interface. Interfaces authenticate, parse and convert, and call it.

mod deliveries;
mod hooks;
mod request_limits;
mod settings_trial;

use std::sync::Arc;

use crate::delivery::{Dispatcher, Pipelines};
use crate::directory::Directory;
use crate::storage::Storage;

pub use deliveries::{DeliveryError, DeliveryService};
pub use hooks::HookService;
pub use request_limits::{LimitExceeded, RequestLimiter, RequestLimits};
pub use settings_trial::{SettingsError, SettingsTrial};

/// Every service. Clones share everything.
#[derive(Clone)]
pub struct Services {
    /// Changes deliveries.
    pub deliveries: DeliveryService,
    /// Changes hooks.
    pub hooks: HookService,
    /// Makes trial calls of plugins.
    pub trial: SettingsTrial,
    /// Limits on the concurrent requests of a tenant.
    pub limits: Arc<RequestLimits>,
}

impl Services {
    /// Services over these parts of the engine.
    #[must_use]
    pub fn new(
        directory: &Arc<Directory>,
        storage: &Storage,
        dispatcher: &Arc<Dispatcher>,
        pipelines: &Arc<Pipelines>,
    ) -> Self {
        let limits = Arc::<RequestLimits>::default();
        let trial = SettingsTrial::new(
            Arc::clone(directory),
            Arc::clone(pipelines),
            storage.clone(),
            Arc::clone(&limits),
        );
        let deliveries = DeliveryService::new(
            Arc::clone(directory),
            storage.clone(),
            Arc::clone(dispatcher),
            Arc::clone(&limits),
        );
        let hooks = HookService::new(Arc::clone(directory), Arc::clone(dispatcher), trial.clone());
        Self { deliveries, hooks, trial, limits }
    }
}
