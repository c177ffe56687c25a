//! Domain tokens: JSON Web Tokens (RFC 7519) signed by HMAC with SHA-256, in the original's form.
//!
//! A token is taken while its signature is this engine's, it has not ended, and the directory has it enabled for the
//! domain that it names. What the directory does not know was deleted, or made by another system.

use std::sync::Arc;

use http::StatusCode;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::answer::Refusal;
use super::hs256;
use crate::directory::Directory;
use crate::domain::{DomainToken, Scope, Scopes, Tenant, TenantId, UnixMillis};
use crate::vault::{DOMAIN_TOKENS, Key, Vault};

/// Says of a token that it is a domain's.
const KIND: &str = "domain";
/// The version of the form.
const VERSION: u8 = 2;

/// What a token says, in the original's order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    id: String,
    /// When it ends, in milliseconds: RFC 7519 has seconds.
    exp: i64,
    d: String,
    t: String,
    v: u8,
}

/// What the bearer of a domain token may do.
pub(super) fn scopes() -> Scopes {
    [Scope::HooksRead, Scope::HooksWrite, Scope::EventsWrite].into_iter().collect()
}

/// The text of a token.
///
/// # Errors
/// Never: there is nothing in it that could not be written.
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

/// Whose token this is.
///
/// # Errors
/// Where it is none, has ended, or is not, or no longer, one of its domain.
pub(super) fn verify(
    text: &str,
    directory: &Directory,
    vault: &Vault,
    now: UnixMillis,
) -> Result<TenantId, Refusal> {
    let refuse = |info| Refusal::new(StatusCode::UNAUTHORIZED, info);
    hs256::install();
    let mut validation = Validation::new(Algorithm::HS256);
    // The crate would read `exp` as seconds; it is checked below.
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    // Tokens outlive the choice of another key.
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
        return Err(refuse("Token Expired"));
    }
    let is_it = |token: &Arc<DomainToken>| token.enabled && token.expires_at.0 == claims.exp;
    let known = directory.domain_token(&claims.id).filter(is_it);
    let tenant = known.and_then(|token| directory.tenant(token.tenant));
    let tenant = tenant.filter(|tenant| tenant.name == claims.d);
    tenant.map(|tenant| tenant.id).ok_or_else(|| refuse("Not found token"))
}
