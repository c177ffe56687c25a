//! `DELETE /hooks/:id`.

use std::sync::Arc;

use axum::extract::State;

use super::find::find_hook;
use crate::api::v2_webitel::access::{Call, Segments};
use crate::api::v2_webitel::response::{ApiError, Success, WriteResult};
use crate::directory::Directory;
use crate::domain::Scope;

/// Deletes a hook and cancels its deliveries that are not in a final state.
pub(super) async fn delete_hook(
    State(directory): State<Arc<Directory>>,
    path: Segments,
    call: Call,
) -> Result<Success<WriteResult>, ApiError> {
    let domain = call.domain(Scope::HooksWrite)?;
    let deleted = match find_hook(&directory, &domain, &path)? {
        Some(hook) => directory.by(&call.actor()).delete_hook(domain.id, hook.id).await?,
        None => false,
    };
    Ok(Success::with(WriteResult::count(deleted)))
}
