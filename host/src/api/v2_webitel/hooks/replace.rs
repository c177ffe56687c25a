//! `PUT /hooks/:id`: replaces a whole hook.

use std::sync::Arc;

use axum::extract::State;

use super::find::find_hook;
use super::members::{HookInput, Identity};
use super::plugin_settings::check_plugin_settings;
use crate::api::v2_webitel::access::{Call, Segments};
use crate::api::v2_webitel::response::{ApiError, Success, WriteResult};
use crate::api::v3::hooks::Trial;
use crate::delivery::Dispatcher;
use crate::domain::{Hook, Scope};

/// Replaces a hook.
pub(super) async fn replace_hook(
    trial: Trial,
    State(dispatcher): State<Arc<Dispatcher>>,
    path: Segments,
    mut call: Call,
) -> Result<Success<WriteResult>, ApiError> {
    let domain = call.domain(Scope::HooksWrite)?;
    let directory = &trial.directory;
    let current = find_hook(&directory, &domain, &path)?;
    let body = call.body().await?;
    let wanted = || HookInput::read(&body, domain.id, directory);
    let first = wanted()?;
    let Some(current) = current else { return Ok(Success::with(WriteResult::replaced(false))) };
    check_plugin_settings(&trial, first, Identity::of(&current), Some(&current)).await?;
    // Parsed again under the directory's lock, because plugins may have changed.
    let replace = |current: &Hook| wanted()?.into_hook(Identity::of(current));
    let changed = directory.change_hook(domain.id, current.id, replace).await?;
    // The change may have enabled the hook, whose deliveries may be due.
    dispatcher.wake();
    Ok(Success::with(WriteResult::replaced(changed.is_some())))
}
