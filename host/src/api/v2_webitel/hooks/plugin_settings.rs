//! Validation of the settings of `action.plugin`.

use super::members::{HookInput, Identity};
use crate::api::problem::Kind;
use crate::api::v2_webitel::response::ApiError;
use crate::api::v3::hooks::Trial;
use crate::domain::Hook;

/// Validates the settings of `action.plugin`, if there is one, by a trial call. The engine wrote the settings
/// of the other plugins.
///
/// # Errors
/// Fails if the plugin rejects its settings.
pub(super) async fn check_plugin_settings(
    trial: &Trial,
    wanted: HookInput,
    identity: Identity,
    current: Option<&Hook>,
) -> Result<(), ApiError> {
    let Some(own) = wanted.own_plugin.clone() else { return Ok(()) };
    let hook = wanted.into_hook(identity)?;
    let checked = trial.settings(&hook, current, |step| step.plugin == own).await;
    checked.map_err(|problem| match problem.kind() {
        Kind::InvalidValue => ApiError::bad(format_args!("action.settings: {}", problem.detail())),
        _ => problem.into(),
    })
}
