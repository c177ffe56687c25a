//! Whether the plugins of a hook take their settings. They are asked before the hook is made or changed, so that a misspelled
//! member is told to whoever wrote it, and not found at the first delivery.

use std::sync::Arc;

use axum::extract::FromRef;

use super::test::default_type;
use crate::api::Shared;
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::delivery::Pipelines;
use crate::directory::Directory;
use crate::domain::{Event, EventId, EventKey, Hook, Step, TenantId};
use crate::sandbox::PipelineEnd;

/// The code by which a plugin says that its settings are wrong, whatever the event.
const BAD_SETTINGS: &str = "bad-settings";

/// What plugins are asked with.
#[derive(Clone)]
pub(super) struct Trial {
    pub(super) directory: Arc<Directory>,
    pub(super) pipelines: Arc<Pipelines>,
}

impl Trial {
    /// Asks the plugin of each step of `wanted`, but for those that `current` has as well: a newer version of a plugin may refuse
    /// what an older one took, and the rest of the hook can be changed all the same.
    ///
    /// # Errors
    /// Where one refuses its settings.
    pub(super) async fn settings(&self, wanted: &Hook, current: Option<&Hook>) -> Result<(), Problem> {
        for (index, step) in wanted.pipeline.0.iter().enumerate() {
            if current.is_some_and(|current| current.pipeline.0.contains(step)) {
                continue;
            }
            if let Some(refusal) = self.refusal(wanted.tenant, step).await? {
                let here = Pointer::to("pipeline").index(index).member("settings");
                return Err(Problem::at(Kind::InvalidValue, here, format!("`{}`: {refusal}", step.plugin)));
            }
        }
        Ok(())
    }

    /// The event has nothing in it, and whatever else a plugin fails with may be due to that.
    async fn refusal(&self, tenant: TenantId, step: &Step) -> Result<Option<String>, Problem> {
        let now = self.directory.clock().now();
        let key = EventKey::generate(self.directory.ids(), now);
        let event = Event {
            key,
            id: EventId::of_key(key),
            tenant,
            project: None,
            event_type: default_type()?,
            occurred_at: now,
            data: "{}".into(),
        };
        let run = self.pipelines.run_step(step, Arc::new(event)).await?;
        Ok(match run.end {
            PipelineEnd::Fault { fault, .. } if fault.code.as_deref() == Some(BAD_SETTINGS) => {
                Some(fault.message)
            }
            PipelineEnd::Fault { .. } | PipelineEnd::Verdict(_) => None,
        })
    }
}

impl FromRef<Shared> for Trial {
    fn from_ref(shared: &Shared) -> Self {
        Self { directory: FromRef::from_ref(shared), pipelines: FromRef::from_ref(shared) }
    }
}
