//! `/hooks/{id}/secret`: the secrets with which receivers verify signatures.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::change::refuse_foreign;
use super::read::{find_readable, no_hook};
use super::wire;
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::json;
use crate::api::params::{NoParams, Segment};
use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::api::v3::limits::MAX_SMALL_BODY;
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{AuditAction, AuditObject, Hook, HookId, Scope, Signing, SigningSecret, UnixMillis};
use crate::services::{HookService, new_secret};
use crate::sources::Sources;

/// The signing secrets of a hook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HookSecrets)]
pub(in crate::api::v3) struct SecretsView {
    /// The current secret.
    #[schema(value_type = Option<schemas::SigningSecret>)]
    secret: Option<String>,
    /// Replaced secrets that still sign.
    older: Vec<OlderSecret>,
}

/// A replaced secret that still signs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OlderSecret {
    #[schema(value_type = schemas::SigningSecret)]
    secret: String,
    /// The time until which it signs.
    expires_at: Option<Time>,
}

impl SecretsView {
    pub(in crate::api::v3) fn of(hook: &Hook, now: UnixMillis) -> Self {
        let mut live = hook.secrets.iter().filter(|secret| secret.is_live(now));
        let current = live.next().map(SigningSecret::reveal);
        let older = live
            .map(|secret| OlderSecret { secret: secret.reveal(), expires_at: secret.expires_at.map(Time) });
        Self { secret: current, older: older.collect() }
    }
}

/// The new secret of a hook.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateInput {
    /// The new secret: `whsec_` and 24 to 64 bytes in base64. Default: a generated secret.
    #[schema(value_type = Option<schemas::SigningSecret>)]
    secret: Option<String>,
}

/// Get a hook's secrets
///
/// Requires `hooks:write`. The audit log says who has read them.
#[utoipa::path(
    get, path = "/api/v3/hooks/{id}/secret", tag = "hooks",
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses((status = 200, description = "The secrets that sign now", body = SecretsView)),
)]
pub(super) async fn get_hook_secret(
    State(sources): State<Sources>,
    State(directory): State<Arc<Directory>>,
    caller: Author,
    Segment(id): Segment<HookId>,
    _: NoParams,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let hook = find_readable(&directory, tenant, id)?;
    directory
        .by(&caller.actor())
        .note(tenant, AuditAction::HookSecretRead, AuditObject::hook(id), Vec::new())
        .await?;
    let view = SecretsView::of(&hook, sources.now());
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(view)))
}

/// Rotate a hook's secret
///
/// Requires `hooks:write`. The previous secret still signs for 24 hours, so that receivers can change theirs.
/// At most five secrets sign at the same time; a sixth revokes the oldest at once. The body is optional.
#[utoipa::path(
    post, path = "/api/v3/hooks/{id}/secret/rotate", tag = "hooks", request_body = Option<RotateInput>,
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses((status = 200, description = "The secrets that sign now", body = SecretsView)),
)]
pub(super) async fn rotate_hook_secret(
    State(sources): State<Sources>,
    State(hooks): State<HookService>,
    State(directory): State<Arc<Directory>>,
    caller: Author,
    Segment(id): Segment<HookId>,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let body = payload.read_optional(ContentType::Json, MAX_SMALL_BODY).await?;
    let given = match body {
        Some(body) => json::parse::<RotateInput>(&body)?.secret,
        None => None,
    };
    find_readable(&directory, tenant, id)?;
    let secret = given.as_deref().map_or_else(|| Ok(new_secret()), wire::read_secret)?;
    let may_rotate = |hook: &Hook| if hook.signing == Signing::None { refuse_foreign(hook) } else { Ok(()) };
    let rotated = hooks.rotate_secret(&caller.actor(), (tenant, id), secret, may_rotate).await?;
    let hook = rotated.ok_or_else(|| no_hook(id))?;
    let now = sources.now();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(SecretsView::of(&hook, now))))
}
