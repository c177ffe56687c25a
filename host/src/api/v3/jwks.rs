//! `GET /tenants/{id}/jwks.json`: the public keys of a tenant's hooks, for receivers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{Uri, header};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::openapi::schemas;
use crate::api::SharedApiState;
use crate::api::params::{Params, Segment};
use crate::api::problem::Problem;
use crate::directory::Directory;
use crate::domain::signing_key::SigningKey;
use crate::domain::{Hook, HookId, TenantId};
use crate::sources::Sources;

/// The media type of a JSON Web Key Set (RFC 7517, section 8.5.2).
const MEDIA_TYPE: &str = "application/jwk-set+json";
/// The most keys of a set. A receiver asks for those of its hook.
const MAX_KEYS: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(get_jwks))
}

/// A JSON Web Key Set (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeySet)]
pub(super) struct KeySetView {
    keys: Vec<JwkView>,
}

/// An Ed25519 public key as a JSON Web Key (RFC 8037).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Jwk)]
pub(super) struct JwkView {
    /// Always `OKP`.
    kty: &'static str,
    /// Always `Ed25519`.
    crv: &'static str,
    /// Always `EdDSA`.
    alg: &'static str,
    /// Always `sig`.
    #[serde(rename = "use")]
    usage: &'static str,
    /// The SHA-256 thumbprint of the key (RFC 7638).
    kid: String,
    /// The key, in base64url.
    x: String,
    /// The hook that signs with it.
    #[schema(value_type = schemas::HookId)]
    hook: String,
}

impl JwkView {
    fn of(hook: &Hook, key: &SigningKey) -> Self {
        Self {
            kty: "OKP",
            crv: "Ed25519",
            alg: "EdDSA",
            usage: "sig",
            kid: key.thumbprint(),
            x: key.jwk_x(),
            hook: hook.id.to_string(),
        }
    }
}

/// Get the public keys of a tenant's hooks
///
/// Needs no key. Lists the keys that sign now, at most 1,000, those of the newest hooks first. A receiver should
/// trust only the keys of its own hook: `?hook=`. A tenant without such hooks, and an unknown tenant, has no keys.
#[utoipa::path(
    get, path = "/api/v3/tenants/{id}/jwks.json", tag = "hooks", security(()),
    params(
        ("id" = schemas::TenantId, Path, description = "The tenant's id"),
        ("hook" = Option<schemas::HookId>, Query, description = "Only the keys of this hook"),
    ),
    responses((status = 200, description = "The keys", content_type = "application/jwk-set+json", body = KeySetView)),
)]
pub(super) async fn get_jwks(
    State(sources): State<Sources>,
    State(directory): State<Arc<Directory>>,
    Segment(tenant): Segment<TenantId>,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    let wanted = Params::of(&uri, &["hook"])?.parse::<HookId>("hook")?;
    let now = sources.now();
    let hooks = match wanted {
        Some(id) => directory.hook_of(tenant, id).into_iter().collect(),
        None => directory.hooks(tenant),
    };
    let signs = |hook: &&Arc<Hook>| hook.signs_asymmetrically() && !hook.unreadable;
    let keys = hooks.iter().rev().filter(signs).flat_map(|hook| {
        let live = hook.signing_keys().iter().filter(|key| key.is_live(now));
        live.map(|key| JwkView::of(hook, key))
    });
    let view = KeySetView { keys: keys.take(MAX_KEYS).collect() };
    let headers = [(header::CONTENT_TYPE, MEDIA_TYPE), (header::CACHE_CONTROL, "public, max-age=300")];
    Ok((headers, Json(view)))
}
