//! How a request shows who sends it: by a key or by a session of the console.
//!
//! A session is a bearer token or a cookie. Browsers add cookies to requests that other pages caused, so one that
//! changes something must repeat the session's token in a header, which other pages cannot read.
//! Requests of operators name a tenant in the header `Hookwright-Tenant`.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use http::{HeaderMap, Method, header};

use super::auth::{AdminKeyHash, Caller, TENANT_HEADER, watched};
use super::problem::{Kind, Problem, shorten};
use super::sessions::{Session, Sessions};
use super::time::Time;
use crate::clients::Client;
use crate::directory::{Directory, KeyRefusal};

/// The name of the console's cookie over plain HTTP.
const PLAIN_COOKIE: &str = "hookwright_session";
/// Its name over TLS. Browsers accept it only from this host, not from siblings of it (RFC 6265bis, section 4.1.3.2).
const SECURE_COOKIE: &str = "__Host-hookwright_session";
/// The header in which requests of a session in a cookie repeat its token.
pub const CSRF_HEADER: &str = "X-CSRF-Token";

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Arc<Directory>: FromRef<S>,
    Arc<Sessions>: FromRef<S>,
    AdminKeyHash: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let directory = Arc::<Directory>::from_ref(state);
        let sessions = || Arc::<Sessions>::from_ref(state);
        match identify(parts, &directory, AdminKeyHash::from_ref(state), sessions) {
            Err(problem) if problem.kind() != Kind::Unauthenticated => Err(problem),
            login => {
                let client = parts.extensions.get::<Arc<Client>>().map(Arc::as_ref);
                watched(login, &directory, client, &parts.headers)
            }
        }
    }
}

/// The sender of a request.
fn identify(
    parts: &Parts,
    directory: &Directory,
    admin: AdminKeyHash,
    sessions: impl Fn() -> Arc<Sessions>,
) -> Result<Caller, Problem> {
    directory.check_fresh()?;
    let headers = &parts.headers;
    let key = bearer(headers);
    let is_secure = parts.extensions.get::<Arc<Client>>().is_some_and(|client| client.is_secure(headers));
    let cookie = session_cookie(headers, is_secure).filter(|_| !headers.contains_key(header::AUTHORIZATION));
    if key.is_none() && cookie.is_none() {
        return Err(unauthenticated());
    }
    let named = one(headers, TENANT_HEADER)?;
    let caller = match (key, cookie) {
        (Some(key), _) => of_bearer(key, directory, admin, sessions)?,
        (None, text) => of_cookie((text.unwrap_or_default(), parts), directory, admin, sessions)?,
    };
    let Some(text) = named else { return Ok(caller) };
    let tenant = directory.tenant_named(text);
    match caller.tenant() {
        None => tenant.map(|tenant| caller.acting_for(tenant)).ok_or_else(|| {
            Problem::parameter(TENANT_HEADER, format!("there is no tenant `{}`", shorten(text)))
        }),
        Some(own) if tenant.is_some_and(|tenant| tenant.id == own) => Ok(caller),
        Some(_) => {
            let detail = "the key belongs to another tenant than Hookwright-Tenant names; omit the header";
            Err(Problem::new(Kind::Forbidden, detail).of_parameter(TENANT_HEADER))
        }
    }
}

/// The caller with this key, or with this token of a session. The operator may have chosen a key that looks like a token.
fn of_bearer(
    text: &str,
    directory: &Directory,
    admin: AdminKeyHash,
    sessions: impl Fn() -> Arc<Sessions>,
) -> Result<Caller, Problem> {
    if Sessions::may_be_bearer(text)
        && let Some(session) = sessions().of_bearer(text)
    {
        return Caller::of_session(session, directory, admin).map_err(refused);
    }
    Caller::of_key(text, directory, admin).map_err(refused)
}

fn of_cookie(
    (text, parts): (&str, &Parts),
    directory: &Directory,
    admin: AdminKeyHash,
    sessions: impl Fn() -> Arc<Sessions>,
) -> Result<Caller, Problem> {
    let session = sessions().of_cookie(text).ok_or_else(session_ended)?;
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        check_csrf(&session, &parts.headers)?;
    }
    Caller::of_session(session, directory, admin).map_err(refused)
}

/// Refuses a request that may be caused by the page of somebody else.
///
/// # Errors
/// If the request does not repeat the token of its session.
fn check_csrf(session: &Session, headers: &HeaderMap) -> Result<(), Problem> {
    match one(headers, CSRF_HEADER)? {
        Some(text) if session.is_csrf_token(text) => Ok(()),
        _ => {
            let detail = "a request in a session of the console repeats the session's `csrf_token` in the header X-CSRF-Token";
            Err(Problem::new(Kind::Forbidden, detail).of_parameter(CSRF_HEADER))
        }
    }
}

/// The name of the console's cookie.
#[must_use]
pub fn cookie_name(is_secure: bool) -> &'static str {
    if is_secure { SECURE_COOKIE } else { PLAIN_COOKIE }
}

/// The text of the console's cookie. Over TLS, one without the prefix may be another host's, and does not count.
#[must_use]
pub fn session_cookie(headers: &HeaderMap, is_secure: bool) -> Option<&str> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    cookies.find(|(name, _)| *name == cookie_name(is_secure)).map(|(_, value)| value)
}

/// Only who has the whole key learns that it was valid once.
pub(super) fn refused(refusal: KeyRefusal) -> Problem {
    match refusal {
        KeyRefusal::Unknown => unauthenticated(),
        KeyRefusal::Expired(end) => Problem::new(
            Kind::Unauthenticated,
            format!("the key expired at {}; use another one, or have a new one created", Time(end)),
        ),
    }
}

/// The same message for a missing and an unknown key.
fn unauthenticated() -> Problem {
    Problem::new(
        Kind::Unauthenticated,
        "the API key is missing or invalid; send `Authorization: Bearer hwk_…`",
    )
}

/// The session is unknown or has ended.
pub(super) fn session_ended() -> Problem {
    Problem::new(Kind::Unauthenticated, "the session of the console has ended; sign in again")
}

/// The token of `Authorization: Bearer <token>` (RFC 6750, section 2.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (all.next()?.to_str().ok()?, all.next()) else { return None };
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The value of a header that may occur once.
///
/// # Errors
/// Fails if the header is duplicated or not UTF-8.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Problem> {
    let mut all = headers.get_all(name).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Problem::parameter(name, format!("duplicate header `{name}`")));
    }
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Problem::parameter(name, format!("the value of `{name}` is not UTF-8"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_is_a_key() {
        for (values, token) in [
            (&["Bearer hwk_1"] as &[_], Some("hwk_1")),
            (&["bearer  hwk_1 "], Some("hwk_1")),
            (&[], None),
            (&["hwk_1"], None),
            (&["Bearer"], None),
            (&["Bearer "], None),
            (&["Basic aHdrXzE="], None),
            (&["Bearer a", "Bearer b"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(bearer(&headers), token, "{values:?}");
        }
    }

    #[test]
    fn the_cookie_of_the_console_is_found_among_others() {
        for (values, plain, secure) in [
            (&["hookwright_session=abc"] as &[_], Some("abc"), None),
            (&["a=b; hookwright_session=abc;c=d"], Some("abc"), None),
            (&["a=b", "hookwright_session=a=b"], Some("a=b"), None),
            (&["hookwright_session=a; __Host-hookwright_session=b"], Some("a"), Some("b")),
            (&["__host-hookwright_session=b"], None, None),
            (&["xhookwright_session=abc"], None, None),
            (&["hookwright_session"], None, None),
            (&[], None, None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::COOKIE, value.parse().unwrap());
            }
            assert_eq!(session_cookie(&headers, false), plain, "{values:?}");
            assert_eq!(session_cookie(&headers, true), secure, "{values:?}");
        }
    }
}
