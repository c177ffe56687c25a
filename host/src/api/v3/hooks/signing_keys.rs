//! `/hooks/{id}/signing-keys`: the key pairs of `v1a` signatures. Only public keys are shown.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::read::{find_readable, no_hook};
use super::receiver::check_signs_asymmetrically;
use crate::api::auth::Caller;
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::json;
use crate::api::params::{NoParams, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::time::Time;
use crate::api::v3::limits::MAX_SMALL_BODY;
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::signing_key::SigningKey;
use crate::domain::{Hook, HookId, Scope, UnixMillis};
use crate::services::{HookService, new_signing_key};
use crate::sources::Sources;

/// The public keys with which receivers verify `v1a` signatures.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HookSigningKeys)]
pub(super) struct SigningKeysView {
    /// The keys that sign now, the current one first.
    keys: Vec<PublicKeyView>,
    /// The path of the same keys as a JSON Web Key Set, which needs no authentication.
    #[schema(example = "/api/v3/tenants/ten_01m8rz4g3k2v7/jwks.json?hook=hook_01m8rz4g3k2v7")]
    jwks_path: String,
}

/// A public key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublicKey)]
pub(super) struct PublicKeyView {
    /// Its id in the JSON Web Key Set: its SHA-256 thumbprint (RFC 7638).
    kid: String,
    /// The key: `whpk_` and 32 bytes in base64.
    #[schema(example = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")]
    public_key: String,
    /// The time until which a replaced key still signs; null for the current one.
    expires_at: Option<Time>,
}

impl SigningKeysView {
    fn of(hook: &Hook, now: UnixMillis) -> Self {
        let keys = hook.signing_keys().iter().filter(|key| hook.signs_asymmetrically() && key.is_live(now));
        let keys = keys.map(|key| PublicKeyView {
            kid: key.thumbprint(),
            public_key: key.public(),
            expires_at: key.expires_at.map(Time),
        });
        let jwks_path = format!("/api/v3/tenants/{}/jwks.json?hook={}", hook.tenant, hook.id);
        Self { keys: keys.collect(), jwks_path }
    }
}

/// The new key pair of a hook.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateKeyInput {
    /// The private key: `whsk_` and an Ed25519 key of 32 or 64 bytes in base64. Default: a generated key.
    #[schema(value_type = Option<schemas::SigningKey>, write_only)]
    key: Option<String>,
}

/// Get a hook's public keys
///
/// Requires `hooks:read`. A hook has keys if its `signing` is `ed25519` or `both`.
#[utoipa::path(
    get, path = "/api/v3/hooks/{id}/signing-keys", tag = "hooks",
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses((status = 200, description = "The keys that sign now", body = SigningKeysView)),
)]
pub(super) async fn get_hook_signing_keys(
    State(sources): State<Sources>,
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    Segment(id): Segment<HookId>,
    _: NoParams,
) -> Result<Json<SigningKeysView>, Problem> {
    let tenant = caller.may(Scope::HooksRead)?;
    let hook = find_readable(&directory, tenant, id)?;
    Ok(Json(SigningKeysView::of(&hook, sources.now())))
}

/// Rotate a hook's key pair
///
/// Requires `hooks:write`. The previous key still signs for 24 hours, so that receivers can change theirs. At
/// most five keys sign at the same time; a sixth revokes the oldest at once. The body is optional.
#[utoipa::path(
    post, path = "/api/v3/hooks/{id}/signing-keys/rotate", tag = "hooks", request_body = Option<RotateKeyInput>,
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses((status = 200, description = "The keys that sign now", body = SigningKeysView)),
)]
pub(super) async fn rotate_hook_signing_key(
    State(sources): State<Sources>,
    State(hooks): State<HookService>,
    State(directory): State<Arc<Directory>>,
    caller: Author,
    Segment(id): Segment<HookId>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<SigningKeysView>, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let body = payload.read_optional(ContentType::Json, MAX_SMALL_BODY).await?;
    let given = match body {
        Some(body) => json::parse::<RotateKeyInput>(&body)?.key,
        None => None,
    };
    find_readable(&directory, tenant, id)?;
    let key: SigningKey = match given {
        Some(text) => text.parse().map_err(|rule| Problem::invalid(Pointer::to("key"), rule))?,
        None => new_signing_key().map_err(|error| Problem::internal("making a key pair", &error))?,
    };
    let may_rotate = |hook: &Hook| {
        check_signs_asymmetrically(hook)?;
        match hook.signing_keys().first().is_some_and(|current| current.is_same_pair(&key)) {
            true => {
                let rule = "this is already the hook's key; send a different one";
                Err(Problem::at(Kind::InvalidValue, Pointer::to("key"), rule))
            }
            false => Ok(()),
        }
    };
    let rotated = hooks.rotate_signing_key(&caller.actor(), (tenant, id), key.clone(), may_rotate).await?;
    let hook = rotated.ok_or_else(|| no_hook(id))?;
    Ok(Json(SigningKeysView::of(&hook, sources.now())))
}
