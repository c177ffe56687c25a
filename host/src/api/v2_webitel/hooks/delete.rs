//! `DELETE /hooks/:id`.

use std::sync::Arc;

use axum::extract::State;

use super::named;
use crate::api::v2_webitel::access::{Call, Segments};
use crate::api::v2_webitel::answer::{Changed, Done, Refusal};
use crate::directory::Directory;
use crate::domain::Scope;

/// Deletes a hook, and calls off its deliveries that are not final.
pub(super) async fn delete_hook(
    State(directory): State<Arc<Directory>>,
    path: Segments,
    call: Call,
) -> Result<Done<Changed>, Refusal> {
    let domain = call.domain(Scope::HooksWrite)?;
    let deleted = match named(&directory, &domain, &path)? {
        Some(hook) => directory.delete_hook(domain.id, hook.id).await?,
        None => false,
    };
    Ok(Done::with(Changed::count(deleted)))
}
