//! Validation of settings by trial calls of the plugins, before a hook is created or changed.
//!
//! So the client that sends invalid settings gets the error, instead of the first delivery. The input is the
//! newest event that the hook would have received, because a plugin may read the event's data before its
//! settings. Without such an event, it is an event with an empty object.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;

use crate::api::SharedApiState;
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::request_limits::RequestLimits;
use crate::delivery::Pipelines;
use crate::directory::Directory;
use crate::domain::{Event, EventId, EventKey, EventType, Hook, Step, TenantId};
use crate::presence::ClientPresence;
use crate::sandbox::{PipelineEnd, PipelineRun, SandboxError};
use crate::storage::Storage;

/// The error code of a plugin for settings that are invalid for every event.
const BAD_SETTINGS: &str = "bad-settings";
/// The time limit for the trial calls of all plugins of a hook, without compilation. On timeout the change is
/// accepted, so that a hanging plugin cannot block its own fix.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The parts of the engine that trial calls use.
#[derive(Clone)]
pub(in crate::api) struct Trial {
    pub(in crate::api) directory: Arc<Directory>,
    pub(super) pipelines: Arc<Pipelines>,
    limits: Arc<RequestLimits>,
    storage: Storage,
    /// Trial calls happen before any change, so they stop if the client disconnects.
    client: ClientPresence,
}

impl Trial {
    /// Validates the settings of the steps of `wanted` for which `is_from_client` is true, which are those
    /// that the client wrote. Skips steps that `current` has as well: a newer version of a plugin may reject
    /// them, which must not block other changes.
    ///
    /// # Errors
    /// Fails if a plugin rejects its settings, or if too many changes of the tenant are waiting.
    pub(in crate::api) async fn settings(
        &self,
        wanted: &Hook,
        current: Option<&Hook>,
        is_from_client: impl Fn(&Step) -> bool,
    ) -> Result<(), Problem> {
        let steps = &wanted.pipeline.0;
        let known = current.map_or(&[][..], |current| &current.pipeline.0);
        let is_new =
            |(index, step): &(usize, &Step)| !known.contains(step) && !steps[..*index].contains(step);
        let is_checked = |place: &(usize, &Step)| is_from_client(place.1) && is_new(place);
        let new: Vec<_> = steps.iter().enumerate().filter(is_checked).collect();
        if new.is_empty() {
            return Ok(());
        }
        let checked = async {
            let _permit = self.limits.trials.acquire(wanted.tenant).await?;
            for (_index, step) in &new {
                self.pipelines.load(wanted.tenant, step).await?;
            }
            let event = Arc::new(self.event(wanted).await?);
            tokio::time::timeout(TRIAL_TIMEOUT, self.call_plugins(wanted, &new, &event))
                .await
                .unwrap_or(Ok(()))
        };
        let gone = || Err(Problem::new(Kind::RequestTimeout, "the client closed the connection"));
        self.client.or_gone(checked).await.unwrap_or_else(gone)
    }

    async fn call_plugins(
        &self,
        wanted: &Hook,
        steps: &[(usize, &Step)],
        event: &Arc<Event>,
    ) -> Result<(), Problem> {
        for (index, step) in steps {
            let run = match self.pipelines.try_step_of(wanted, step, event).await {
                Ok(run) => run,
                Err(SandboxError::Overloaded) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if let Some(words) = settings_rejection(&run) {
                let here = Pointer::to("pipeline").index(*index).member("settings");
                let detail = format!("`{}`: {words}", step.plugin);
                return Err(Problem::at(Kind::InvalidValue, here, detail));
            }
        }
        Ok(())
    }

    /// The newest event that `wanted` would have received, without test events, whose data is the engine's.
    pub(super) async fn event(&self, wanted: &Hook) -> Result<Event, Problem> {
        let test = EventType::test();
        let matches_hook = |event_type: &EventType, project: Option<i64>| {
            *event_type != test
                && wanted.subscription.matches(event_type)
                && wanted.project.is_none_or(|wanted| project == Some(wanted))
        };
        let recent = self.storage.events.recent(wanted.tenant, &matches_hook).await?;
        Ok(recent.unwrap_or_else(|| self.empty_event(wanted.tenant)))
    }

    /// An event with an empty object as data. Errors of a plugin other than invalid settings may be due to
    /// that.
    pub(super) fn empty_event(&self, tenant: TenantId) -> Event {
        let now = self.directory.clock().now();
        let key = EventKey::generate(self.directory.ids(), now);
        Event {
            key,
            id: EventId::of_key(key),
            tenant,
            project: None,
            event_type: EventType::test(),
            occurred_at: now,
            data: "{}".into(),
        }
    }
}

/// The plugin's message, if the run ended because it rejects its settings.
pub(super) fn settings_rejection(run: &PipelineRun) -> Option<&str> {
    match &run.end {
        PipelineEnd::Fault { fault, .. } if fault.code.as_deref() == Some(BAD_SETTINGS) => {
            Some(&fault.message)
        }
        _ => None,
    }
}

impl FromRef<SharedApiState> for Trial {
    fn from_ref(shared: &SharedApiState) -> Self {
        Self {
            directory: FromRef::from_ref(shared),
            pipelines: FromRef::from_ref(shared),
            limits: FromRef::from_ref(shared),
            storage: FromRef::from_ref(shared),
            client: ClientPresence::default(),
        }
    }
}

impl FromRequestParts<SharedApiState> for Trial {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &SharedApiState) -> Result<Self, Infallible> {
        let client = ClientPresence::from_request_parts(parts, shared).await?;
        Ok(Self { client, ..Self::from_ref(shared) })
    }
}
