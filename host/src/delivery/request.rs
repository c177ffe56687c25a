//! From what a pipeline wrote to what is sent.

use http::{HeaderName, HeaderValue};
use http_body_util::Full;
use hyper::body::Bytes;

use super::signing;
use crate::domain::hook::is_reserved_header;
use crate::domain::{Event, Fault, FaultKind, Hook, Request, RequestBody, SentRequest, Signing, UnixMillis};

/// Sent where neither hook nor plugin says otherwise.
const USER_AGENT: &str = concat!("Hookwright/", env!("CARGO_PKG_VERSION"));
/// Tells the receiver the event's type: the body is the event's data alone, unless a plugin wraps it.
const EVENT_TYPE: &str = "hookwright-event-type";

/// What is sent if no plugin says otherwise: the event's data, posted as JSON.
#[must_use]
pub fn draft(hook: &Hook, event: &Event) -> Request {
    let mut headers = Vec::with_capacity(hook.headers.len() + 6);
    let has = |name: &str| hook.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    if !has("content-type") {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    if !has("user-agent") {
        headers.push(("user-agent".to_owned(), USER_AGENT.to_owned()));
    }
    if !has(EVENT_TYPE) && event.event_type.as_str().is_ascii() {
        headers.push((EVENT_TYPE.to_owned(), event.event_type.as_str().to_owned()));
    }
    headers.extend(hook.headers.iter().cloned());
    let body = RequestBody::Text(std::sync::Arc::clone(&event.data));
    Request { method: "POST".to_owned(), url: hook.url.as_str().to_owned(), headers, body }
}

/// All headers as they are sent, in order: the request's own without reserved ones, then the signature's.
#[must_use]
pub fn signed_headers(
    hook: &Hook,
    event: &Event,
    request: &Request,
    now: UnixMillis,
) -> Vec<(String, String)> {
    sign_headers(hook, event, request.headers.clone(), request.body.as_bytes(), now)
}

fn sign_headers(
    hook: &Hook,
    event: &Event,
    mut headers: Vec<(String, String)>,
    body: &[u8],
    now: UnixMillis,
) -> Vec<(String, String)> {
    headers.retain(|(name, _)| !is_reserved_header(name));
    if hook.signing == Signing::Standard {
        let id = event.id.as_str();
        headers.push((signing::ID.to_owned(), id.to_owned()));
        headers.push((signing::TIMESTAMP.to_owned(), now.unix_seconds().to_string()));
        headers.push((signing::SIGNATURE.to_owned(), signing::sign(&hook.secrets, id, now, body)));
    }
    headers
}

/// What was sent, without its signature: what a retry signs anew and sends again.
#[must_use]
pub fn unsigned(sent: &SentRequest, body: RequestBody) -> Request {
    let mut headers = sent.headers.clone();
    headers.retain(|(name, _)| !is_reserved_header(name));
    Request { method: sent.method.clone(), url: sent.url.clone(), headers, body }
}

/// The signed request in hyper's terms, and what is recorded of it.
///
/// # Errors
/// A fault where the request cannot be sent; the sandbox checks what plugins write, so that this is
/// rather a hook's own doing.
pub fn build(
    hook: &Hook,
    event: &Event,
    request: Request,
    now: UnixMillis,
) -> Result<(http::Request<Full<Bytes>>, SentRequest), Fault> {
    let unsendable = |what: String| Fault::new(FaultKind::InvalidOutput, what);
    let headers = sign_headers(hook, event, request.headers, request.body.as_bytes(), now);
    let body = match request.body {
        RequestBody::None => Bytes::new(),
        RequestBody::Text(text) => Bytes::from_owner(SharedText(text)),
        RequestBody::Binary(bytes) => Bytes::from(bytes),
    };
    let mut built = http::Request::new(Full::new(body));
    *built.method_mut() = http::Method::from_bytes(request.method.as_bytes())
        .map_err(|_| unsendable(format!("`{}` is not an HTTP method", request.method)))?;
    *built.uri_mut() =
        request.url.parse().map_err(|error| unsendable(format!("`{}`: {error}", request.url)))?;
    let map = built.headers_mut();
    map.reserve(headers.len());
    for (name, value) in &headers {
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| unsendable(format!("`{name}` is not a header name")))?;
        let value = HeaderValue::from_str(value).map_err(|_| {
            unsendable(format!("the value of `{name}` has characters that a header cannot carry"))
        })?;
        map.append(parsed, value);
    }
    let body_bytes = hyper::body::Body::size_hint(built.body()).exact().unwrap_or(0);
    let sent = SentRequest { method: request.method, url: request.url, headers, body_bytes };
    Ok((built, sent))
}

/// Lets a body share the event's text.
struct SharedText(std::sync::Arc<str>);

impl AsRef<[u8]> for SharedText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
