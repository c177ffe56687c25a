//! Operations on deliveries and hooks, independent of the API that clients use.
//!
//! A service contains the rules: whether a delivery may be retried, whether plugins accept the settings of a hook, and what to
//! wake after a change. It has no types of HTTP or of one API. The APIs authenticate, parse, convert and call it.

mod deliveries;
mod delivery_lists;
mod engine_figures;
mod erasure;
mod event_matches;
mod handshakes;
mod hook_states;
mod hooks;
mod jobs;
mod newest_events;
mod operational_events;
mod other_nodes;
mod readiness;
mod request_limits;
mod retention;
mod secrets;
mod settings_trial;
mod tenants;

use std::sync::Arc;

use crate::delivery::{Dispatcher, Notices, Pipelines};
use crate::directory::Directory;
use crate::sources::Sources;
use crate::storage::Storage;

pub use deliveries::{DeliveryError, DeliveryService};
pub use delivery_lists::{ListPart, list_filtered, list_noted};
pub use engine_figures::{COUNTED_STATES, EngineFigures, ReadFigures, RecentTimes, SampledFigures};
pub use erasure::{Erased, ErasureFollower};
pub use event_matches::{HookMatch, MatchReason};
pub use handshakes::Handshakes;
pub use hook_states::{HookState, HookStates, Recovered};
pub use hooks::HookService;
pub use jobs::{CANCELLABLE, JobError, JobRunner, JobService, REPLAYABLE, RETRYABLE, ReplayPreview};
pub use newest_events::newest_events;
pub use operational_events::{ExpiringKeys, OperationalEvents};
pub use other_nodes::OtherNodes;
pub use readiness::{NotReady, Readiness};
pub use request_limits::{LimitExceeded, RequestLimiter, RequestLimits};
pub use retention::{Retention, RetentionCounters, RetentionDefaults};
pub use secrets::{SameSecret, new_secret, new_signing_key};
pub use settings_trial::{SettingsError, SettingsTrial};
pub use tenants::{TenantChange, TenantDeleter, TenantService};

/// All services. Clones share the same services.
#[derive(Clone)]
pub struct Services {
    /// Retries and cancels deliveries.
    pub deliveries: DeliveryService,
    /// Creates and changes hooks.
    pub hooks: HookService,
    /// Tells states of hooks.
    pub hook_states: HookStates,
    /// Starts jobs.
    pub jobs: JobService,
    /// Changes and deletes tenants.
    pub tenants: TenantService,
    /// Makes trial calls of plugins.
    pub trial: SettingsTrial,
    /// Limits on the concurrent requests of a tenant.
    pub limits: Arc<RequestLimits>,
}

impl Services {
    /// Creates the services from the parts of the engine that they use.
    #[must_use]
    pub fn new(
        sources: &Sources,
        directory: &Arc<Directory>,
        storage: &Storage,
        dispatcher: &Arc<Dispatcher>,
        pipelines: &Arc<Pipelines>,
        told: (Handshakes, Notices),
    ) -> Self {
        let limits = Arc::<RequestLimits>::default();
        let trial =
            SettingsTrial::new(sources.clone(), Arc::clone(pipelines), storage.clone(), Arc::clone(&limits));
        let deliveries = DeliveryService::new(
            sources.clone(),
            Arc::clone(directory),
            storage.clone(),
            Arc::clone(dispatcher),
            Arc::clone(&limits),
        );
        let (directory, dispatcher) = (Arc::clone(directory), Arc::clone(dispatcher));
        let hook_states = HookStates::new(
            sources.clone(),
            Arc::clone(&directory),
            storage.clone(),
            Arc::clone(&dispatcher),
        );
        let tenants = TenantService::new(
            sources.clone(),
            Arc::clone(&directory),
            storage.clone(),
            Arc::clone(&dispatcher),
        );
        let jobs = JobService::new(
            sources.clone(),
            Arc::clone(&directory),
            storage.clone(),
            Arc::clone(&dispatcher),
            Arc::clone(&limits),
        );
        let hooks = HookService::new(sources.clone(), directory, dispatcher, trial.clone(), told);
        Self { deliveries, hooks, hook_states, jobs, tenants, trial, limits }
    }
}
