//! `PUT /hooks/:id`: replaces a whole hook.

use std::sync::Arc;

use axum::extract::State;

use super::find::find_hook;
use super::members::{HookInput, Identity};
use crate::api::v2_webitel::access::{Call, Segments};
use crate::api::v2_webitel::response::{ApiError, Success, WriteResult};
use crate::directory::Directory;
use crate::domain::{Hook, Scope, Step};
use crate::presence::ClientPresence;
use crate::services::HookService;

/// Replaces a hook.
pub(super) async fn replace_hook(
    State(hooks): State<HookService>,
    State(directory): State<Arc<Directory>>,
    client: ClientPresence,
    path: Segments,
    mut call: Call,
) -> Result<Success<WriteResult>, ApiError> {
    let domain = call.domain(Scope::HooksWrite)?;
    let current = find_hook(&directory, &domain, &path)?;
    let body = call.body().await?;
    let wanted = || HookInput::read(&body, domain.id, &directory);
    // The engine wrote the settings of the other plugins.
    let own = wanted()?.own_plugin;
    let is_own = |step: &Step| own.as_ref() == Some(&step.plugin);
    let Some(current) = current else { return Ok(Success::with(WriteResult::replaced(false))) };
    // Parsed again under the directory's lock, because plugins may have changed.
    let replace = |current: &Hook| wanted()?.into_hook(Identity::of(current));
    let which = (domain.id, current.id);
    let changed = hooks.change(&call.actor(), which, is_own, client.gone(), replace).await?;
    Ok(Success::with(WriteResult::replaced(changed.is_some())))
}
