//! `PUT /hooks/:id`: the whole hook, not a part of it.

use std::sync::Arc;

use axum::extract::State;

use super::members::{Identity, Wanted};
use super::named;
use crate::api::v2_webitel::access::{Call, Segments};
use crate::api::v2_webitel::answer::{Changed, Done, Refusal};
use crate::delivery::Dispatcher;
use crate::directory::Directory;
use crate::domain::{Hook, Scope};

/// Puts what was sent in a hook's place.
pub(super) async fn replace_hook(
    State(directory): State<Arc<Directory>>,
    State(dispatcher): State<Arc<Dispatcher>>,
    path: Segments,
    mut call: Call,
) -> Result<Done<Changed>, Refusal> {
    let domain = call.domain(Scope::HooksWrite)?;
    let current = named(&directory, &domain, &path)?;
    let wanted = Wanted::read(&call.body().await?, domain.id, &directory)?;
    let Some(current) = current else { return Ok(Done::with(Changed::replaced(false))) };
    let replace = |current: &Hook| {
        wanted.into_hook(Identity {
            id: current.id,
            tenant: current.tenant,
            secrets: current.secrets.clone(),
            created_at: current.created_at,
            updated_at: current.updated_at,
        })
    };
    let changed = directory.change_hook(domain.id, current.id, replace).await?;
    // It may have been enabled, with deliveries that have been due for long.
    dispatcher.wake();
    Ok(Done::with(Changed::replaced(changed.is_some())))
}
