//! `/hooks/{id}/secret`: the secrets with which receivers verify signatures.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::change::refuse_foreign;
use super::create::new_secret;
use super::read::{find_readable, no_hook};
use super::wire;
use crate::api::auth::Caller;
use crate::api::body::{ContentType, Payload};
use crate::api::json;
use crate::api::params::{NoParams, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::time::Time;
use crate::api::v3::limits::MAX_SMALL_BODY;
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{Hook, HookId, Scope, Signing, SigningSecret, UnixMillis};

/// How long a replaced secret still signs.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// The maximum number of secrets that sign at the same time.
const MAX_LIVE: usize = 5;

/// The signing secrets of a hook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HookSecrets)]
pub(super) struct SecretsView {
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
    fn of(hook: &Hook, now: UnixMillis) -> Self {
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
/// Requires `hooks:write`.
#[utoipa::path(
    get, path = "/api/v3/hooks/{id}/secret", tag = "hooks",
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses((status = 200, description = "The secrets that sign now", body = SecretsView)),
)]
pub(super) async fn get_hook_secret(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    Segment(id): Segment<HookId>,
    _: NoParams,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let hook = find_readable(&directory, tenant, id)?;
    let view = SecretsView::of(&hook, directory.clock().now());
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
    State(directory): State<Arc<Directory>>,
    caller: Caller,
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
    let secret = given.as_deref().map_or_else(new_secret, wire::read_secret)?;
    let now = directory.clock().now();
    let change = |hook: &Hook| {
        if hook.signing == Signing::None {
            refuse_foreign(hook)?;
        }
        let secrets = rotated(&hook.secrets, secret, now)?;
        Ok::<_, Problem>(Hook { secrets, ..hook.clone() })
    };
    let hook = directory.change_hook(tenant, id, change).await?.ok_or_else(|| no_hook(id))?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(SecretsView::of(&hook, now))))
}

/// The secrets after a rotation: `new` first, then at most four that still sign.
fn rotated(
    current: &[SigningSecret],
    new: SigningSecret,
    now: UnixMillis,
) -> Result<Vec<SigningSecret>, Problem> {
    if current.first().is_some_and(|current| current.key() == new.key()) {
        let detail = "this is already the hook's secret; send a different one";
        return Err(Problem::at(Kind::InvalidValue, Pointer::to("secret"), detail));
    }
    let sign_on = current.iter().filter(|secret| secret.is_live(now) && secret.key() != new.key());
    let older = sign_on.map(|secret| {
        let mut older = secret.clone();
        older.expires_at = Some(secret.expires_at.unwrap_or(now.plus(OVERLAP)));
        older
    });
    let older: Vec<_> = older.take(MAX_LIVE - 1).collect();
    Ok(std::iter::once(new).chain(older).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> SigningSecret {
        SigningSecret::from_bytes(vec![byte; 32]).unwrap()
    }

    fn bytes(secrets: &[SigningSecret]) -> Vec<u8> {
        secrets.iter().map(|secret| secret.key()[0]).collect()
    }

    #[test]
    fn a_replaced_secret_signs_for_another_day() {
        let now = UnixMillis(1_000);
        let secrets = rotated(&[secret(1)], secret(2), now).unwrap();
        assert_eq!(bytes(&secrets), [2, 1]);
        assert_eq!(secrets[0].expires_at, None);
        assert_eq!(secrets[1].expires_at, Some(now.plus(OVERLAP)));
        let later = rotated(&secrets, secret(3), now.plus(OVERLAP)).unwrap();
        assert_eq!(bytes(&later), [3, 2]);
    }

    #[test]
    fn at_most_five_distinct_secrets_sign() {
        let now = UnixMillis(0);
        let rotate = |secrets: Vec<_>, byte| rotated(&secrets, secret(byte), now).unwrap();
        let secrets = (2..=7).fold(vec![secret(1)], rotate);
        assert_eq!(bytes(&secrets), [7, 6, 5, 4, 3]);
        assert_eq!(bytes(&rotate(secrets.clone(), 5)), [5, 7, 6, 4, 3]);
        assert!(rotated(&secrets, secret(7), now).is_err());
    }
}
