//! Domain tokens: JSON Web Tokens (RFC 7519) with HS256 and the claims of the original API.
//!
//! A token is valid if this engine signed it, it has not expired, and the directory has it enabled for its
//! domain. A token that the directory does not know was deleted, or issued by another system.

use std::sync::Arc;

use http::StatusCode;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::hs256;
use super::response::ApiError;
use crate::directory::Directory;
use crate::domain::{DomainToken, Scope, Scopes, Tenant, UnixMillis};
use crate::vault::{DOMAIN_TOKENS, Key, Vault};

/// The claim `t` of domain tokens.
const KIND: &str = "domain";
/// The claim `v`: the version of the claims.
const VERSION: u8 = 2;

/// The claims, in the order of the original API.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    id: String,
    /// The expiration time, in milliseconds, unlike RFC 7519.
    exp: i64,
    d: String,
    t: String,
    v: u8,
}

/// The scopes of domain tokens.
pub(super) fn scopes() -> Scopes {
    [Scope::HooksRead, Scope::HooksWrite, Scope::EventsWrite].into_iter().collect()
}

/// Encodes and signs a token.
///
/// # Errors
/// Does not fail: all claims can be serialized.
pub(super) fn sign(
    token: &DomainToken,
    domain: &Tenant,
    vault: &Vault,
) -> Result<String, jsonwebtoken::errors::Error> {
    hs256::install();
    let claims = Claims {
        id: token.id.clone(),
        exp: token.expires_at.0,
        d: domain.name.clone(),
        t: KIND.to_owned(),
        v: VERSION,
    };
    let key = EncodingKey::from_secret(vault.derive(DOMAIN_TOKENS).reveal());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
}

/// What the original API says of an expired token.
pub(super) fn expired() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "Token Expired")
}

/// Verifies a token and returns it.
///
/// # Errors
/// Fails if the token is malformed, expired, revoked, or of another domain.
pub(super) fn verify(
    text: &str,
    directory: &Directory,
    vault: &Vault,
    now: UnixMillis,
) -> Result<Arc<DomainToken>, ApiError> {
    let refuse = |info| ApiError::new(StatusCode::UNAUTHORIZED, info);
    hs256::install();
    let mut validation = Validation::new(Algorithm::HS256);
    // The crate would interpret `exp` as seconds; it is checked below.
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    // Tokens stay valid when the encryption key changes.
    let read = |key: &Key| {
        let key = DecodingKey::from_secret(key.reveal());
        jsonwebtoken::decode::<Claims>(text, &key, &validation).ok()
    };
    let read = vault.derived(DOMAIN_TOKENS).iter().find_map(read);
    let claims = read.ok_or_else(|| refuse("Invalid token"))?.claims;
    if claims.t != KIND || claims.v != VERSION {
        return Err(refuse("Invalid token"));
    }
    if claims.exp <= now.0 {
        return Err(expired());
    }
    let is_it = |token: &Arc<DomainToken>| token.enabled && token.expires_at.0 == claims.exp;
    // The name in the token is the one at its creation: the tenant may have been renamed since. A name that another tenant
    // has by now is not taken for it.
    let named = directory.tenant_named(&claims.d);
    let is_own = |token: &Arc<DomainToken>| {
        let has_tenant = directory.tenant(token.tenant).is_some();
        has_tenant && named.as_ref().is_none_or(|named| named.id == token.tenant)
    };
    let known = directory.domain_token(&claims.id).filter(is_it).filter(is_own);
    known.filter(|_| !claims.d.is_empty()).ok_or_else(|| refuse("Not found token"))
}
