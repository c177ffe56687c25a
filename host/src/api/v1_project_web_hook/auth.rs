//! Authentication: HTTP Basic with a time-based password, or a key of the engine.
//!
//! The password is `Base64(HMAC-SHA256(secret, "name:<user>;timestamp:<ts>;"))`; the timestamp is sent in a
//! header. The protocol does not sign the rest of the request, so a password is not bound to one. Against
//! replay, a password expires after five minutes, and one minute after its first use ([`UsedPasswords`]).

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::request::Parts;
use subtle::ConstantTimeEq as _;

use super::envelope::ApiError;
use super::used_passwords::{MAX_CLOCK_DIFFERENCE, UsedPasswords};
use crate::api::auth::{AdminKeyHash, Caller, watched};
use crate::api::author::Author;
use crate::api::credentials::bearer;
use crate::api::problem::Problem;
use crate::api::sessions::Sessions;
use crate::clients;
use crate::directory::Directory;
use crate::domain::UnixMillis;
use crate::domain::hash::hmac_sha256;
use crate::sources::Sources;

/// The header names that the original API accepts; the first is the documented one.
const AUTHORIZATION: [&str; 2] = ["authorization", "http-authorization"];
const TIMESTAMP: [&str; 2] = ["x-api-timestamp", "http-x-api-timestamp"];

/// The authenticated sender of a request.
pub(super) struct Client(pub(super) Author);

impl<S> FromRequestParts<S> for Client
where
    S: Send + Sync,
    Arc<Directory>: FromRef<S>,
    Arc<UsedPasswords>: FromRef<S>,
    Sources: FromRef<S>,
    Arc<Sessions>: FromRef<S>,
    AdminKeyHash: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let client = parts.extensions.get::<Arc<clients::Client>>().cloned();
        if bearer(&parts.headers).is_some() {
            return Ok(Self(Author::from_request_parts(parts, state).await?));
        }
        let directory = Arc::<Directory>::from_ref(state);
        directory.check_fresh().map_err(Problem::from)?;
        let now = Sources::from_ref(state).now();
        let caller = login(&parts.headers, &directory, &Arc::<UsedPasswords>::from_ref(state), now);
        let caller = watched(caller, &directory, client.as_deref(), &parts.headers)?;
        Ok(Self(Author::of(caller, client.as_deref(), &parts.headers)))
    }
}

fn login(
    headers: &HeaderMap,
    directory: &Directory,
    used: &UsedPasswords,
    now: UnixMillis,
) -> Result<Caller, ApiError> {
    let (user, given) = one(headers, AUTHORIZATION)?.and_then(basic).ok_or_else(|| {
        ApiError::forbidden(
            "authentication is required; send HTTP Basic with X-API-TIMESTAMP, or `Authorization: Bearer hwk_…`",
        )
    })?;
    let timestamp = one(headers, TIMESTAMP)?.and_then(|text| text.trim().parse::<i64>().ok());
    let timestamp = timestamp.ok_or_else(|| {
        ApiError::forbidden(
            "X-API-TIMESTAMP is missing or invalid; send the current Unix time in seconds, as an integer",
        )
    })?;
    if timestamp.abs_diff(now.unix_seconds()) > MAX_CLOCK_DIFFERENCE {
        return Err(ApiError::forbidden(format!(
            "X-API-TIMESTAMP differs from the server's clock by more than {MAX_CLOCK_DIFFERENCE} seconds; see GET /api/v1/time"
        )));
    }
    let mut matching = directory.logins_named(&user);
    if matching.is_empty() {
        // An unknown name takes as long as a wrong password.
        let _ = is_password(&given, "no such login", &user, timestamp);
    }
    matching.retain(|login| is_password(&given, login.secret.reveal(), &user, timestamp));
    match matching.as_slice() {
        [login] if !used.may_be_used(login.tenant, &user, timestamp, now) => Err(ApiError::forbidden(
            "the password was first used more than a minute ago; make a new one for each request, with the current X-API-TIMESTAMP",
        )),
        [login] => Ok(Caller::of_login(Arc::clone(login))),
        // Logins of two tenants with the same name and secret are ambiguous.
        _ => Err(ApiError::forbidden("invalid user name or password")),
    }
}

fn is_password(given: &str, secret: &str, user: &str, timestamp: i64) -> bool {
    password(secret, user, timestamp).as_bytes().ct_eq(given.as_bytes()).into()
}

/// The value of a header with two possible names, which may occur once in total.
fn one<'h>(headers: &'h HeaderMap, names: [&str; 2]) -> Result<Option<&'h str>, ApiError> {
    let mut all = names.iter().flat_map(|name| headers.get_all(*name));
    let Some(value) = all.next() else { return Ok(None) };
    match (value.to_str(), all.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(ApiError::forbidden(format!("{} is duplicated or not ASCII; send it once", names[0]))),
    }
}

/// User name and password (RFC 7617, section 2).
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

/// The password of `user` at `timestamp`.
fn password(secret: &str, user: &str, timestamp: i64) -> String {
    let signed = format!("name:{user};timestamp:{timestamp};");
    STANDARD.encode(hmac_sha256(secret.as_bytes(), &[signed.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_matches_the_published_test_vector() {
        let made = password("some-api-secret", "username", 123_456_789);
        assert_eq!(made, "gFUxSuDp1AexwedepvxGPOixhk4jsiinClqYGrjqkNc=");
    }

    #[test]
    fn basic_credentials_are_parsed() {
        for (value, read) in [
            ("Basic dTpwOnE=", Some(("u".to_owned(), "p:q".to_owned()))),
            ("basic  dTpw", Some(("u".to_owned(), "p".to_owned()))),
            ("Bearer dTpw", None),
            ("Basic", None),
            ("Basic dQ==", None),
            ("Basic ***", None),
            ("Basic /w==", None),
        ] {
            assert_eq!(basic(value), read, "{value}");
        }
    }
}
