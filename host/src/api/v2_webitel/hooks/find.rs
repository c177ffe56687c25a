//! The hook that a path names.

use std::sync::Arc;

use http::StatusCode;

use crate::api::v2_webitel::access::Segments;
use crate::api::v2_webitel::id::{self, ParsedId};
use crate::api::v2_webitel::response::ApiError;
use crate::directory::Directory;
use crate::domain::{Hook, Surface, Tenant};

/// Finds the hook in the path, if the domain created it through this surface.
///
/// # Errors
/// Fails if the id in the path is malformed.
pub(super) fn find_hook(
    directory: &Directory,
    domain: &Tenant,
    path: &Segments,
) -> Result<Option<Arc<Hook>>, ApiError> {
    let text = path.get(0).unwrap_or_default();
    let parsed = id::parse(text).ok_or_else(|| ApiError::new(StatusCode::BAD_REQUEST, "Bad id"))?;
    let ParsedId::Own(id) = parsed else { return Ok(None) };
    Ok(directory.hook_of(domain.id, id).filter(|hook| hook.origin.surface == Surface::Webitel))
}
