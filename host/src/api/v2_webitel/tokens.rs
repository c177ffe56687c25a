//! `/domains/:name/settings/token`: the tokens that a domain's clients show.
//!
//! A token may change hooks and post events, so that whoever makes one must be able to do as much: no key makes
//! something that may do more than itself.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, patch};
use http::{StatusCode, header};
use serde::Serialize;

use super::access::{Call, Segments};
use super::answer::{Changed, Done, Refusal};
use super::given::{Given, compact};
use super::{either, token};
use crate::api::Shared;
use crate::api::problem::Problem;
use crate::directory::Directory;
use crate::domain::{DomainToken, Scope, UnixMillis};
use crate::vault::Vault;

/// The greatest size of a role, in bytes.
const MAX_ROLE_LEN: usize = 128;
/// No token lasts beyond this, the end of the year 9999: what clients can show as a date.
const LATEST_END: i64 = 253_402_300_799_999;

pub(super) fn routes() -> Router<Shared> {
    let one = patch(enable_token).delete(delete_token);
    either("/domains/{name}/settings/token", get(list_tokens).post(create_token))
        .merge(either("/domains/{name}/settings/token/{uuid}", one))
}

/// A token as it is shown.
#[derive(Debug, Serialize)]
struct TokenView {
    uuid: String,
    role: String,
    enabled: bool,
    /// When it ends, in milliseconds.
    expire: i64,
    /// The token itself: shown where it is made, and never again.
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

/// The domain's tokens, oldest first, so that one whose id nobody kept can be ended.
async fn list_tokens(
    State(directory): State<Arc<Directory>>,
    path: Segments,
    call: Call,
) -> Result<Done<Vec<TokenView>>, Refusal> {
    let domain = call.domain_called(path.get(0), Scope::KeysRead)?;
    let tokens = directory.domain_tokens(domain.id);
    Ok(Done::with(tokens.iter().map(|token| TokenView::of(token, None)).collect()))
}

/// Makes a token: `{"expire": <ms>, "role": "…"}`.
async fn create_token(
    State(directory): State<Arc<Directory>>,
    State(vault): State<Arc<Vault>>,
    path: Segments,
    mut call: Call,
) -> Result<impl IntoResponse, Refusal> {
    let domain = call.domain_called(path.get(0), Scope::KeysWrite)?;
    may_give(&call)?;
    let text = compact(&call.body().await?)?;
    let given = Given::read(&text)?;
    let expire = given.whole("expire")?.ok_or_else(|| Refusal::bad("expire is required"))?;
    if expire <= directory.clock().now().0 || expire > LATEST_END {
        return Err(given.wrong("expire", "a time to come, in milliseconds since 1970"));
    }
    let role = given.text("role")?.unwrap_or_default();
    if role.len() > MAX_ROLE_LEN {
        return Err(given.wrong("role", "at most 128 bytes"));
    }
    let made = directory.create_domain_token(domain.id, new_uuid(), role, UnixMillis(expire)).await?;
    let text =
        token::sign(&made, &domain, &vault).map_err(|error| Problem::internal("signing a token", &error))?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Done::with(TokenView::of(&made, Some(text)))))
}

/// Says whether a token is taken: `{"state": true}`.
async fn enable_token(
    State(directory): State<Arc<Directory>>,
    path: Segments,
    mut call: Call,
) -> Result<Done<TokenView>, Refusal> {
    let domain = call.domain_called(path.get(0), Scope::KeysWrite)?;
    let text = compact(&call.body().await?)?;
    let state = Given::read(&text)?.flag("state")?.ok_or_else(|| Refusal::bad("state is required"))?;
    if state {
        may_give(&call)?;
    }
    let id = path.get(1).unwrap_or_default();
    let token = directory.enable_domain_token(domain.id, id, state).await?;
    let token = token.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "Not found token"))?;
    Ok(Done::with(TokenView::of(&token, None)))
}

/// Deletes a token.
async fn delete_token(
    State(directory): State<Arc<Directory>>,
    path: Segments,
    call: Call,
) -> Result<Done<Changed>, Refusal> {
    let domain = call.domain_called(path.get(0), Scope::KeysWrite)?;
    let id = path.get(1).unwrap_or_default();
    Ok(Done::with(Changed::count(directory.delete_domain_token(domain.id, id).await?)))
}

fn may_give(call: &Call) -> Result<(), Refusal> {
    token::scopes().iter().try_for_each(|scope| call.must_have(scope))
}

/// A random UUID (RFC 9562, section 5.4).
fn new_uuid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_their_form() {
        let uuid = new_uuid();
        let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
        assert_eq!(&uuid[14..15], "4", "{uuid}");
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
        assert_ne!(uuid, new_uuid());
    }
}
