//! Validation of settings by trial calls of the plugins, before a hook is created or changed.
//!
//! So the client that sends invalid settings gets the error, instead of the first delivery. The input is the
//! newest event that the hook would have received, because a plugin may read the event's data before its
//! settings. Without such an event, it is an event with an empty object.

use std::sync::Arc;
use std::time::Duration;

use super::request_limits::{LimitExceeded, RequestLimits};
use crate::delivery::Pipelines;
use crate::domain::attempt::ResolvedPlugin;
use crate::domain::{
    Event, EventId, EventKey, EventType, Hook, Pipeline, PipelinePlace, PluginRef, Step, TenantId,
};
use crate::sandbox::{PipelineEnd, PipelineRun, SandboxError, of_plain_call};
use crate::sources::Sources;
use crate::storage::{Storage, StorageError};

/// The error code of a plugin for settings that are invalid for every event.
const BAD_SETTINGS: &str = "bad-settings";
/// The time limit for the trial calls of all plugins of a hook, without compilation. On timeout the change is
/// accepted, so that a hanging plugin cannot block its own fix.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes trial calls of plugins. Clones share one service.
#[derive(Clone)]
pub struct SettingsTrial {
    sources: Sources,
    pipelines: Arc<Pipelines>,
    storage: Storage,
    limits: Arc<RequestLimits>,
}

/// Why the validation of settings failed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A plugin rejects its settings.
    #[error("`{plugin}`: {message}")]
    Rejected {
        /// In which of the hook's pipelines.
        place: PipelinePlace,
        /// The step of the pipeline, counted from 0.
        step: usize,
        /// The plugin, as the step names it.
        plugin: PluginRef,
        /// The plugin's message.
        message: String,
    },
    /// The client disconnected during the validation.
    #[error("the client closed the connection")]
    Abandoned,
    /// Too many changes of the tenant wait for trial calls.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The sandbox failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A step that a client wrote, and where it is.
type NewStep<'a> = (PipelinePlace, usize, &'a Step);

impl SettingsTrial {
    /// Creates the service from the parts of the engine that it uses.
    #[must_use]
    pub fn new(
        sources: Sources,
        pipelines: Arc<Pipelines>,
        storage: Storage,
        limits: Arc<RequestLimits>,
    ) -> Self {
        Self { sources, pipelines, storage, limits }
    }

    /// Validates the settings of the steps of `wanted` for which `is_from_client` is true, which are those that
    /// the client wrote. Skips steps that `current` has as well: a newer version of a plugin may reject them,
    /// which must not block other changes. Stops when `gone` completes.
    ///
    /// # Errors
    /// Fails if a plugin rejects its settings, or if too many changes of the tenant are waiting.
    pub async fn validate(
        &self,
        wanted: &Hook,
        current: Option<&Hook>,
        is_from_client: impl Fn(&Step) -> bool,
        gone: impl Future<Output = ()>,
    ) -> Result<(), SettingsError> {
        let of_event = new_steps(&wanted.pipeline, current.map(|current| &current.pipeline));
        let of_event = of_event.map(|(index, step)| (PipelinePlace::Event, index, step));
        let known = current.map(|current| &current.options.batch_pipeline);
        let of_batch = new_steps(&wanted.options.batch_pipeline, known);
        let of_batch = of_batch.map(|(index, step)| (PipelinePlace::Batch, index, step));
        let new: Vec<NewStep<'_>> =
            of_event.chain(of_batch).filter(|(.., step)| is_from_client(step)).collect();
        if new.is_empty() {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = gone => Err(SettingsError::Abandoned),
            validated = self.validate_steps(wanted, &new) => validated,
        }
    }

    async fn validate_steps(&self, wanted: &Hook, steps: &[NewStep<'_>]) -> Result<(), SettingsError> {
        let _permit = self.limits.trials.acquire(wanted.tenant).await?;
        for (.., step) in steps {
            self.pipelines.load(wanted.tenant, step).await?;
        }
        let event = Arc::new(self.event(wanted).await?);
        let called = tokio::time::timeout(TRIAL_TIMEOUT, self.call_plugins(wanted, steps, &event));
        called.await.unwrap_or(Ok(()))
    }

    async fn call_plugins(
        &self,
        wanted: &Hook,
        steps: &[NewStep<'_>],
        event: &Arc<Event>,
    ) -> Result<(), SettingsError> {
        let together = Arc::new(Pipelines::together(event));
        for (place, index, step) in steps {
            let event = match place {
                PipelinePlace::Event => event,
                PipelinePlace::Batch => &together,
            };
            let run = unless_overloaded(self.pipelines.try_step_of(wanted, step, event).await)?;
            let Some(run) = run else { return Ok(()) };
            if let Some(message) = settings_rejection(&run) {
                return Err(SettingsError::Rejected {
                    place: *place,
                    step: *index,
                    plugin: step.plugin.clone(),
                    message: message.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Why `version`, which need not be stored yet, rejects the settings of `step`, a step of `hook`. `None` if it accepts
    /// them, or if the version in use rejects them, too.
    ///
    /// # Errors
    /// Fails if the engine fails.
    pub async fn rejection_by(
        &self,
        hook: &Hook,
        step: &Step,
        version: &ResolvedPlugin,
    ) -> Result<Option<String>, SettingsError> {
        let event = Arc::new(self.event(hook).await?);
        let tried = unless_overloaded(self.pipelines.try_version_of(hook, step, version, &event).await)?;
        let Some(message) = tried.as_ref().and_then(settings_rejection) else { return Ok(None) };
        let before = unless_overloaded(self.pipelines.try_step_of(hook, step, &event).await)?;
        let was_broken = before.as_ref().and_then(settings_rejection).is_some();
        Ok((!was_broken).then(|| message.to_owned()))
    }

    /// Calls `version` with an empty event and empty settings. Returns a warning if the call shows that the
    /// plugin is likely broken.
    ///
    /// # Errors
    /// Fails if the engine fails.
    pub async fn plain_call(
        &self,
        tenant: TenantId,
        version: &ResolvedPlugin,
    ) -> Result<Option<String>, SettingsError> {
        let event = Arc::new(self.empty_event(tenant));
        let tried = unless_overloaded(self.pipelines.try_version(version, event).await)?;
        Ok(tried.as_ref().and_then(of_plain_call))
    }

    /// The newest event that `wanted` would have received, without test events, whose data is the engine's.
    async fn event(&self, wanted: &Hook) -> Result<Event, StorageError> {
        let test = EventType::test();
        let matches_hook = |event_type: &EventType, project: Option<i64>| {
            *event_type != test && wanted.wants(event_type, project)
        };
        let recent = self.storage.events.recent(wanted.tenant, &matches_hook).await?;
        Ok(recent.unwrap_or_else(|| self.empty_event(wanted.tenant)))
    }

    /// An event with an empty object as data. Errors of a plugin other than invalid settings may be due to
    /// that.
    fn empty_event(&self, tenant: TenantId) -> Event {
        let now = self.sources.now();
        let key = EventKey::generate(&self.sources.ids, now);
        Event {
            key,
            id: EventId::of_key(key),
            tenant,
            project: None,
            ordering_key: None,
            trace: None,
            event_type: EventType::test(),
            occurred_at: now,
            data: "{}".into(),
        }
    }
}

/// The steps of `wanted` that `known` does not have, each once, with their indexes.
fn new_steps<'a>(
    wanted: &'a Pipeline,
    known: Option<&'a Pipeline>,
) -> impl Iterator<Item = (usize, &'a Step)> {
    let is_known = move |step: &Step| known.is_some_and(|known| known.0.contains(step));
    let steps = wanted.0.iter().enumerate();
    steps.filter(move |(index, step)| !is_known(step) && !wanted.0[..*index].contains(step))
}

/// The plugin's message, if the run ended because it rejects its settings.
fn settings_rejection(run: &PipelineRun) -> Option<&str> {
    match &run.end {
        PipelineEnd::Fault { fault, .. } if fault.code.as_deref() == Some(BAD_SETTINGS) => {
            Some(&fault.message)
        }
        _ => None,
    }
}

/// Treats an overloaded sandbox as no result, so that load does not reject a plugin.
fn unless_overloaded(run: Result<PipelineRun, SandboxError>) -> Result<Option<PipelineRun>, SandboxError> {
    match run {
        Ok(run) => Ok(Some(run)),
        Err(SandboxError::Overloaded) => Ok(None),
        Err(error) => Err(error),
    }
}
