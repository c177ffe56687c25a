//! `POST /hooks/{id}/handshake`: asks the receiver once more.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::read::{find, find_readable, no_hook};
use super::receiver::HandshakeResultView;
use crate::api::author::Author;
use crate::api::params::{NoParams, Segment};
use crate::api::problem::{Kind, Problem};
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{HookId, Scope};
use crate::services::HookService;

/// Make a hook's handshake
///
/// Requires `hooks:write`. Asks the receiver whether it allows deliveries, and waits for its answer. The engine
/// also does so by itself when the hook is created or enabled, or when its URL changes.
#[utoipa::path(
    post, path = "/api/v3/hooks/{id}/handshake", tag = "hooks",
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses((status = 200, description = "What came of it", body = HandshakeResultView)),
)]
pub(super) async fn make_handshake(
    State(hooks): State<HookService>,
    State(directory): State<Arc<Directory>>,
    caller: Author,
    Segment(id): Segment<HookId>,
    _: NoParams,
) -> Result<Json<HandshakeResultView>, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let hook = find_readable(&directory, tenant, id)?;
    if hook.handshake().is_none() {
        let detail = "the hook needs no handshake; set `handshake` to `cloudevents` first";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    hooks.handshakes().make(&caller.actor(), tenant, id).await?;
    let hook = find(&directory, tenant, id)?;
    let result = hook.handshake().map(HandshakeResultView::from);
    Ok(Json(result.ok_or_else(|| no_hook(id))?))
}
