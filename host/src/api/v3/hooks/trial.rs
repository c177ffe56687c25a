//! Whether the plugins of a hook take their settings. They are asked before the hook is made or changed, so that a misspelled
//! member is told to whoever wrote it, and not found at the first delivery.
//!
//! A plugin is asked with the newest event that the hook would have had, since it may read the event's data before it looks at its
//! settings; and with an empty object if the tenant has no such event.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;

use super::test::default_type;
use crate::api::Shared;
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::turns::Turns;
use crate::delivery::Pipelines;
use crate::directory::Directory;
use crate::domain::{Event, EventId, EventKey, EventType, Hook, Step, TenantId};
use crate::presence::ClientPresence;
use crate::sandbox::{PipelineEnd, PipelineRun, SandboxError};
use crate::storage::Storage;

/// The code by which a plugin says that its settings are wrong, whatever the event.
const BAD_SETTINGS: &str = "bad-settings";
/// How long all plugins of a hook may take to say so, once their code is there. They wait their turn behind what else the tenant
/// has them do, and nobody is to be kept from mending a hook by the plugin that is at fault: who has not answered by then has
/// nothing against it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What plugins are asked with.
#[derive(Clone)]
pub(in crate::api) struct Trial {
    pub(in crate::api) directory: Arc<Directory>,
    pub(super) pipelines: Arc<Pipelines>,
    turns: Arc<Turns>,
    storage: Storage,
    /// Nothing has been changed yet when plugins are asked, so a client that is gone need not be answered.
    client: ClientPresence,
}

impl Trial {
    /// Asks the plugin of each step of `wanted` that `are_given` holds for, whose settings the sender wrote, but for those that
    /// `current` has as well: a newer version of a plugin may refuse what an older one took, and the rest of the hook can be
    /// changed all the same.
    ///
    /// # Errors
    /// If one refuses its settings, or too many changes of the tenant wait for that already.
    pub(in crate::api) async fn settings(
        &self,
        wanted: &Hook,
        current: Option<&Hook>,
        are_given: impl Fn(&Step) -> bool,
    ) -> Result<(), Problem> {
        let steps = &wanted.pipeline.0;
        let known = current.map_or(&[][..], |current| &current.pipeline.0);
        let is_new =
            |(index, step): &(usize, &Step)| !known.contains(step) && !steps[..*index].contains(step);
        let asked = |place: &(usize, &Step)| are_given(place.1) && is_new(place);
        let new: Vec<_> = steps.iter().enumerate().filter(asked).collect();
        if new.is_empty() {
            return Ok(());
        }
        let asked = async {
            let _turn = self.turns.trials.turn(wanted.tenant).await?;
            for (_index, step) in &new {
                self.pipelines.load(wanted.tenant, step).await?;
            }
            let event = Arc::new(self.event(wanted).await?);
            tokio::time::timeout(PATIENCE, self.ask(wanted, &new, &event)).await.unwrap_or(Ok(()))
        };
        let gone = || Err(Problem::new(Kind::RequestTimeout, "the connection was closed"));
        self.client.or_gone(asked).await.unwrap_or_else(gone)
    }

    async fn ask(&self, wanted: &Hook, steps: &[(usize, &Step)], event: &Arc<Event>) -> Result<(), Problem> {
        for (index, step) in steps {
            let run = match self.pipelines.try_step_of(wanted, step, event).await {
                Ok(run) => run,
                Err(SandboxError::Overloaded) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if let Some(words) = refuses_settings(&run) {
                let here = Pointer::to("pipeline").index(*index).member("settings");
                let detail = format!("`{}`: {words}", step.plugin);
                return Err(Problem::at(Kind::InvalidValue, here, detail));
            }
        }
        Ok(())
    }

    /// The newest event that `wanted` would have had, but for tests of hooks, whose data is the engine's.
    pub(super) async fn event(&self, wanted: &Hook) -> Result<Event, Problem> {
        let test = default_type()?;
        let suits = |event_type: &EventType, project: Option<i64>| {
            *event_type != test
                && wanted.subscription.matches(event_type)
                && wanted.project.is_none_or(|wanted| project == Some(wanted))
        };
        let recent = self.storage.events.recent(wanted.tenant, &suits).await?;
        recent.map_or_else(|| self.empty_event(wanted.tenant), Ok)
    }

    /// There is nothing in it, and whatever else a plugin fails with may be due to that.
    pub(super) fn empty_event(&self, tenant: TenantId) -> Result<Event, Problem> {
        let now = self.directory.clock().now();
        let key = EventKey::generate(self.directory.ids(), now);
        Ok(Event {
            key,
            id: EventId::of_key(key),
            tenant,
            project: None,
            event_type: default_type()?,
            occurred_at: now,
            data: "{}".into(),
        })
    }
}

/// Why the plugin refuses its settings, if that is how the run ended.
pub(super) fn refuses_settings(run: &PipelineRun) -> Option<&str> {
    match &run.end {
        PipelineEnd::Fault { fault, .. } if fault.code.as_deref() == Some(BAD_SETTINGS) => {
            Some(&fault.message)
        }
        _ => None,
    }
}

impl FromRef<Shared> for Trial {
    fn from_ref(shared: &Shared) -> Self {
        Self {
            directory: FromRef::from_ref(shared),
            pipelines: FromRef::from_ref(shared),
            turns: FromRef::from_ref(shared),
            storage: FromRef::from_ref(shared),
            client: ClientPresence::default(),
        }
    }
}

impl FromRequestParts<Shared> for Trial {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Infallible> {
        let client = ClientPresence::from_request_parts(parts, shared).await?;
        Ok(Self { client, ..Self::from_ref(shared) })
    }
}
