//! `/console/session`: signing in with a key or a link, and signing out.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, FromRequestParts as _, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::view::SessionView;
use crate::api::auth::{AdminKeyHash, Caller, watched};
use crate::api::body::{ContentType, Payload};
use crate::api::credentials::{self, cookie_name, session_cookie};
use crate::api::params::NoParams;
use crate::api::problem::{Kind, Problem};
use crate::api::sessions::{Purpose, Session, Sessions};
use crate::api::{SharedApiState, json};
use crate::clients::Client;
use crate::directory::Directory;

/// The largest body of a sign-in, in bytes.
const MAX_BODY: usize = 8 * 1024;
/// How long a client that is not signed in may take to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The header by which browsers say whose page caused a request.
const FETCH_SITE: &str = "sec-fetch-site";

pub(super) fn routes() -> MethodRouter<SharedApiState> {
    get(current).post(sign_in).delete(sign_out)
}

/// With what to sign in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    /// A key.
    key: Option<String>,
    /// The token of a link.
    link: Option<String>,
    /// Whether the page is in a frame of another site, to which browsers send no cookies.
    #[serde(default)]
    embed: bool,
}

async fn sign_in(
    State(directory): State<Arc<Directory>>,
    (State(sessions), State(admin)): (State<Arc<Sessions>>, State<AdminKeyHash>),
    client: Option<Extension<Arc<Client>>>,
    _: NoParams,
    payload: Payload,
) -> Result<Response, Problem> {
    let (client, headers) = (client.map(|Extension(client)| client), payload.headers().clone());
    let client = client.as_deref();
    check_own_page(&headers)?;
    directory.check_fresh()?;
    let body = payload.within(BODY_TIMEOUT).uncounted().read(ContentType::Json, MAX_BODY).await?;
    let SignIn { key, link, embed } = json::parse(&body)?;
    let (session, caller) = match (key, link) {
        (Some(key), None) if !embed => {
            let caller = Caller::of_key(&key, &directory, admin).map_err(credentials::refused);
            let caller = watched(caller, &directory, client, &headers)?;
            let key = caller.key_hash(admin).ok_or_else(credentials::session_ended)?;
            (sessions.begin(key), caller)
        }
        (None, Some(link)) => {
            let session = sessions.begin_with(&link);
            let caller = session
                .clone()
                .ok_or_else(link_ended)
                .and_then(|session| Caller::of_session(session, &directory, admin).map_err(|_| link_ended()));
            let caller = watched(caller, &directory, client, &headers)?;
            (session.ok_or_else(link_ended)?, caller)
        }
        _ => {
            let detail = "send either `key` or `link`; `embed` is for a `link`";
            return Err(Problem::new(Kind::InvalidValue, detail));
        }
    };
    let mut view = SessionView::of(&session, &caller, &directory);
    if embed {
        view.token = Some(sessions.seal_session(&session, Purpose::Bearer));
        return Ok(not_stored(Json(view)));
    }
    let is_secure = is_secure(client, &headers);
    let text = sessions.seal_session(&session, Purpose::Cookie);
    let cookie = cookie(&text, sessions.lifetime(&session), is_secure);
    Ok(([(header::SET_COOKIE, cookie)], not_stored(Json(view))).into_response())
}

/// The session of the request. One without credentials is no failed login: a page asks before it shows the sign-in.
async fn current(
    State(directory): State<Arc<Directory>>,
    State(state): State<SharedApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers();
    let client = request.extensions().get::<Arc<Client>>().map(Arc::as_ref);
    if session_cookie(headers, is_secure(client, headers)).is_none()
        && !headers.contains_key(header::AUTHORIZATION)
    {
        return Err(credentials::session_ended());
    }
    let caller = Caller::from_request_parts(&mut request.into_parts().0, &state).await?;
    let session: &Session = caller.session().ok_or_else(credentials::session_ended)?;
    Ok(not_stored(Json(SessionView::of(session, &caller, &directory))))
}

/// Has the browser forget the session.
async fn sign_out(
    client: Option<Extension<Arc<Client>>>,
    caller: Caller,
    headers: HeaderMap,
    _: NoParams,
) -> Result<Response, Problem> {
    check_own_page(&headers)?;
    caller.session().ok_or_else(credentials::session_ended)?;
    let client = client.as_ref().map(|Extension(client)| &**client);
    let gone = cookie("", Duration::ZERO, is_secure(client, &headers));
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]).into_response())
}

/// Refuses a request that a page of another site, or of a sibling of this one, has caused.
fn check_own_page(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(FETCH_SITE).map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(Problem::new(Kind::Forbidden, "only the console's own page signs in and out")),
    }
}

fn link_ended() -> Problem {
    Problem::new(Kind::Unauthenticated, "the link has expired, or the key that made it; ask for another one")
}

/// Whether the browser reaches the engine over TLS.
pub(super) fn is_secure(client: Option<&Client>, headers: &HeaderMap) -> bool {
    client.is_some_and(|client| client.is_secure(headers))
}

fn cookie(text: &str, lifetime: Duration, is_secure: bool) -> String {
    let (seconds, secure) = (lifetime.as_millis().div_ceil(1_000), if is_secure { "; Secure" } else { "" });
    let name = cookie_name(is_secure);
    format!("{name}={text}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

fn not_stored(view: Json<SessionView>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], view).into_response()
}
