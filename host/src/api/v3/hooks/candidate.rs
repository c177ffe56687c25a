//! Trial calls of plugin versions that are not stored yet.

use std::sync::Arc;

use super::trial::{Trial, settings_rejection};
use crate::api::problem::Problem;
use crate::domain::attempt::ResolvedPlugin;
use crate::domain::{Hook, Step, TenantId};
use crate::sandbox::{PipelineRun, SandboxError, of_plain_call};

impl Trial {
    /// Why `version` rejects the settings of `step`, a step of `hook`. `None` if it accepts them, or if the
    /// version in use rejects them, too.
    ///
    /// # Errors
    /// Fails if the engine fails.
    pub(in crate::api) async fn refusal(
        &self,
        hook: &Hook,
        step: &Step,
        version: &ResolvedPlugin,
    ) -> Result<Option<String>, Problem> {
        let event = Arc::new(self.event(hook).await?);
        let tried = unless_overloaded(self.pipelines.try_version_of(hook, step, version, &event).await)?;
        let Some(words) = tried.as_ref().and_then(settings_rejection) else { return Ok(None) };
        let before = unless_overloaded(self.pipelines.try_step_of(hook, step, &event).await)?;
        let was_broken = before.as_ref().and_then(settings_rejection).is_some();
        Ok((!was_broken).then(|| words.to_owned()))
    }

    /// Calls `version` with an empty event and empty settings. Returns a warning if the call shows that the
    /// plugin is likely broken.
    ///
    /// # Errors
    /// Fails if the engine fails.
    pub(in crate::api) async fn plain_call(
        &self,
        tenant: TenantId,
        version: &ResolvedPlugin,
    ) -> Result<Option<String>, Problem> {
        let event = Arc::new(self.empty_event(tenant));
        let tried = unless_overloaded(self.pipelines.try_version(version, event).await)?;
        Ok(tried.as_ref().and_then(of_plain_call))
    }
}

/// Treats an overloaded sandbox as no result, so that load does not reject a plugin.
fn unless_overloaded(run: Result<PipelineRun, SandboxError>) -> Result<Option<PipelineRun>, Problem> {
    match run {
        Ok(run) => Ok(Some(run)),
        Err(SandboxError::Overloaded) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
