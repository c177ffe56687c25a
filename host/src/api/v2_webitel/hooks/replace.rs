//! `PUT /hooks/:id`: the whole hook, not a part of it.

use std::sync::Arc;

use axum::extract::State;

use super::members::{Identity, Wanted};
use super::{ask, named};
use crate::api::v2_webitel::access::{Call, Segments};
use crate::api::v2_webitel::answer::{Changed, Done, Refusal};
use crate::api::v3::hooks::Trial;
use crate::delivery::Dispatcher;
use crate::domain::{Hook, Scope};

/// Puts what was sent in a hook's place.
pub(super) async fn replace_hook(
    trial: Trial,
    State(dispatcher): State<Arc<Dispatcher>>,
    path: Segments,
    mut call: Call,
) -> Result<Done<Changed>, Refusal> {
    let domain = call.domain(Scope::HooksWrite)?;
    let directory = &trial.directory;
    let current = named(directory, &domain, &path)?;
    let body = call.body().await?;
    let wanted = || Wanted::read(&body, domain.id, directory);
    let first = wanted()?;
    let Some(current) = current else { return Ok(Done::with(Changed::replaced(false))) };
    ask(&trial, first, Identity::of(&current), Some(&current)).await?;
    // Read again while nobody else changes anything: plugins may be others by now.
    let replace = |current: &Hook| wanted()?.into_hook(Identity::of(current));
    let changed = directory.change_hook(domain.id, current.id, replace).await?;
    // It may have been enabled, with deliveries that have been due for long.
    dispatcher.wake();
    Ok(Done::with(Changed::replaced(changed.is_some())))
}
