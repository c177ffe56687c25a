//! `/domains/:name/settings/token`: the tokens with which a domain's clients authenticate.
//!
//! A token has the scopes to change hooks and publish events. A key needs the same scopes to create one,
//! because no key can grant scopes that it lacks.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, patch};
use http::{StatusCode, header};
use serde::Serialize;

use super::access::{Call, Segments};
use super::input::{Input, compact};
use super::response::{ApiError, Success, WriteResult};
use super::slashes::with_and_without_slash;
use super::token;
use crate::api::SharedApiState;
use crate::api::problem::Problem;
use crate::directory::Directory;
use crate::domain::{DomainToken, Scope, UnixMillis};
use crate::random;
use crate::sources::Sources;
use crate::vault::Vault;

/// The maximum size of a role, in bytes.
const MAX_ROLE_LEN: usize = 128;
/// The latest expiration time: the end of the year 9999, which clients can format as a date.
const LATEST_END: i64 = 253_402_300_799_999;

/// The paths below the surface's prefixes.
pub(super) const PATHS: [&str; 2] =
    ["/domains/{name}/settings/token", "/domains/{name}/settings/token/{uuid}"];

pub(super) fn routes() -> Router<SharedApiState> {
    let one = patch(enable_token).delete(delete_token);
    with_and_without_slash(PATHS[0], get(list_tokens).post(create_token))
        .merge(with_and_without_slash(PATHS[1], one))
}

/// The view of a token.
#[derive(Debug, Serialize)]
struct TokenView {
    uuid: String,
    role: String,
    enabled: bool,
    /// The expiration time, in milliseconds since 1970.
    expire: i64,
    /// The signed token, only in the response that creates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TokenView {
    fn of(token: &DomainToken, text: Option<String>) -> Self {
        Self {
            uuid: token.id.clone(),
            role: token.role.clone(),
            enabled: token.enabled,
            expire: token.expires_at.0,
            token: text,
        }
    }
}

/// Lists the domain's tokens, oldest first, so that a token whose id was lost can be deleted.
async fn list_tokens(
    State(directory): State<Arc<Directory>>,
    path: Segments,
    call: Call,
) -> Result<Success<Vec<TokenView>>, ApiError> {
    let domain = call.domain_called(path.get(0), Scope::KeysRead)?;
    let tokens = directory.domain_tokens(domain.id);
    Ok(Success::with(tokens.iter().map(|token| TokenView::of(token, None)).collect()))
}

/// Creates a token: `{"expire": <ms>, "role": "…"}`.
async fn create_token(
    State(sources): State<Sources>,
    State(directory): State<Arc<Directory>>,
    State(vault): State<Arc<Vault>>,
    path: Segments,
    mut call: Call,
) -> Result<impl IntoResponse, ApiError> {
    let domain = call.domain_called(path.get(0), Scope::KeysWrite)?;
    check_can_grant(&call)?;
    let text = compact(&call.body().await?)?;
    let input = Input::read(&text)?;
    let expire = input.integer("expire")?.ok_or_else(|| ApiError::bad("expire is required"))?;
    if expire <= sources.now().0 || expire > LATEST_END {
        return Err(input.wrong("expire", "a future time in milliseconds since 1970"));
    }
    let role = input.string("role")?.unwrap_or_default();
    if role.len() > MAX_ROLE_LEN {
        return Err(input.wrong("role", "at most 128 bytes"));
    }
    let made = directory
        .by(&call.actor())
        .create_domain_token(domain.id, new_uuid(), role, UnixMillis(expire))
        .await?;
    let text =
        token::sign(&made, &domain, &vault).map_err(|error| Problem::internal("signing a token", &error))?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Success::with(TokenView::of(&made, Some(text)))))
}

/// Enables or disables a token: `{"state": true}`.
async fn enable_token(
    State(directory): State<Arc<Directory>>,
    path: Segments,
    mut call: Call,
) -> Result<Success<TokenView>, ApiError> {
    let domain = call.domain_called(path.get(0), Scope::KeysWrite)?;
    let text = compact(&call.body().await?)?;
    let state = Input::read(&text)?.boolean("state")?.ok_or_else(|| ApiError::bad("state is required"))?;
    if state {
        check_can_grant(&call)?;
    }
    let id = path.get(1).unwrap_or_default();
    let token = directory.by(&call.actor()).enable_domain_token(domain.id, id, state).await?;
    let token = token.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "Not found token"))?;
    Ok(Success::with(TokenView::of(&token, None)))
}

/// Deletes a token.
async fn delete_token(
    State(directory): State<Arc<Directory>>,
    path: Segments,
    call: Call,
) -> Result<Success<WriteResult>, ApiError> {
    let domain = call.domain_called(path.get(0), Scope::KeysWrite)?;
    let id = path.get(1).unwrap_or_default();
    let deleted = directory.by(&call.actor()).delete_domain_token(domain.id, id).await?;
    Ok(Success::with(WriteResult::count(deleted)))
}

fn check_can_grant(call: &Call) -> Result<(), ApiError> {
    token::scopes().iter().try_for_each(|scope| call.must_have(scope))
}

/// A random UUID (RFC 9562, section 5.4).
fn new_uuid() -> String {
    let mut bytes: [u8; 16] = random::secret_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_random_and_well_formed() {
        let uuid = new_uuid();
        let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
        assert_eq!(&uuid[14..15], "4", "{uuid}");
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
        assert_ne!(uuid, new_uuid());
    }
}
