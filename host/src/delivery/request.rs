//! Turns the request that a pipeline wrote into the one that is sent.

use compact_str::ToCompactString as _;
use http::{HeaderName, HeaderValue, header};
use http_body_util::Full;
use hyper::body::Bytes;

use super::header_values::{REQUEST_ORIGIN, USER_AGENT};
use super::oauth::Token;
use super::trace_headers::is_trace_header;
use super::{batch_request, signing};
use crate::domain::header::is_reserved_header;
use crate::domain::mask::{MASK, masked_url};
use crate::domain::{
    Event, Fault, FaultKind, HeaderList, Hook, Request, RequestBody, SentRequest, ShortText, Signing,
    Surface, UnixMillis,
};

/// The header with the event's type. The body is only the event's data, unless a plugin wraps it.
const EVENT_TYPE: &str = "hookwright-event-type";

/// Capacity for headers that are added later: the authorization, the host, the length.
const ADDED_HEADERS: usize = 3;

/// The request that is sent if no plugin changes it: the event's data, posted as JSON.
#[must_use]
pub fn draft(hook: &Hook, event: &Event) -> Request {
    let mut headers = Vec::with_capacity(hook.headers.len() + 6);
    let has = |name: &str| hook.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    if !has("content-type") {
        headers.push(("content-type".into(), "application/json".into()));
    }
    if !has("user-agent") {
        headers.push(("user-agent".into(), USER_AGENT.into()));
    }
    // A hook of another system's API sends what that system sends.
    let own = hook.origin.surface == Surface::V3;
    // Events that are sent together have different types.
    let alone = hook.batch().is_none();
    if own && alone && !has(EVENT_TYPE) && event.event_type.as_str().is_ascii() {
        headers.push((EVENT_TYPE.into(), event.event_type.as_str().into()));
    }
    headers.extend(hook.headers.iter().cloned());
    let body = RequestBody::Text(std::sync::Arc::clone(&event.data));
    Request { method: "POST".into(), url: hook.url.as_str().to_owned(), headers, body }
}

/// The request for a plugin that runs without a hook: that of a hook without headers of its own.
#[must_use]
pub fn plain_draft(event: &Event) -> Request {
    Request {
        method: "POST".into(),
        url: "https://receiver.example/".to_owned(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: RequestBody::Text(std::sync::Arc::clone(&event.data)),
    }
}

/// All headers in the order in which they are sent: the request's own without reserved ones, then the signature's.
#[must_use]
pub fn signed_headers(hook: &Hook, event: &Event, request: &Request, now: UnixMillis) -> HeaderList {
    let of_batch = hook.batch().map(|_| batch_request::id_of(std::iter::once(event)));
    let id = of_batch.as_deref().unwrap_or(event.id.as_str());
    sign_headers(hook, id, request.headers.clone(), request.body.as_bytes(), now)
}

fn sign_headers(hook: &Hook, id: &str, mut headers: HeaderList, body: &[u8], now: UnixMillis) -> HeaderList {
    headers.retain(|(name, _)| !is_added(hook, name));
    if hook.signing != Signing::None {
        let own = hook.signature_headers();
        let names = own.map_or((signing::ID, signing::TIMESTAMP, signing::SIGNATURE), |own| {
            (&own.id, &own.timestamp, &own.signature)
        });
        headers.push((names.0.into(), id.into()));
        headers.push((names.1.into(), now.unix_seconds().to_compact_string()));
        headers.push((names.2.into(), signing::sign(hook, id, now, body).into()));
    }
    if let Some(handshake) = hook.handshake().filter(|handshake| handshake.is_allowed()) {
        headers.push((REQUEST_ORIGIN.into(), handshake.origin.as_str().into()));
    }
    headers
}

/// Whether the engine adds this header, so that a hook's or a plugin's own is not sent.
fn is_added(hook: &Hook, name: &str) -> bool {
    is_reserved_header(name) || hook.signature_headers().is_some_and(|own| own.contains(name))
}

/// The request without its signature and the hook's authorization. A retry signs it anew and sends it again.
#[must_use]
pub fn unsigned(hook: &Hook, sent: &SentRequest, body: RequestBody) -> Request {
    let mut headers = sent.headers.clone();
    retain_own(hook, &mut headers);
    Request { method: sent.method.clone(), url: sent.url.clone(), headers, body }
}

/// Removes the headers that the engine adds whenever it sends a request.
pub fn retain_own(hook: &Hook, headers: &mut HeaderList) {
    headers.retain(|(name, _)| is_own(hook, name));
}

/// Whether the engine does not add this header by itself.
fn is_own(hook: &Hook, name: &str) -> bool {
    !is_added(hook, name) && !is_overridden(hook, name)
}

/// In what `request`, which a pipeline has written now, differs from the one that was `sent`: `method`, `url`, `headers` and
/// `body`. A value that is masked in the record counts as equal. Of the body only the length is recorded, and its beginning if
/// it was `kept`.
#[must_use]
pub fn differences(
    hook: &Hook,
    (sent, kept): (&SentRequest, Option<&[u8]>),
    request: &Request,
) -> Vec<&'static str> {
    let own = |headers: &HeaderList| {
        let own = headers.iter().filter(|(name, _)| is_own(hook, name) && !is_trace_header(name));
        let mut own: Vec<_> = own.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        own.sort_by(|(one, _), (other, _)| one.cmp(other));
        own
    };
    let (before, now) = (own(&sent.headers), own(&request.headers));
    let is_same = |(one, other): (&(ShortText, ShortText), &(ShortText, ShortText))| {
        one.0 == other.0 && (one.1 == other.1 || one.1 == MASK)
    };
    let same_headers = before.len() == now.len() && before.iter().zip(&now).all(is_same);
    let body = request.body.as_bytes();
    let same_body = sent.body_bytes == body.len() as u64 && kept.is_none_or(|kept| body.starts_with(kept));
    let all = [
        ("method", sent.method != request.method),
        ("url", sent.url != request.url && sent.url != masked_url(&request.url)),
        ("headers", !same_headers),
        ("body", !same_body),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// The signed request in hyper's terms, and what is recorded of it. Its receiver knows it by `id`. `token` is the access token of a hook that needs one.
///
/// # Errors
/// Fails if the request cannot be sent. The sandbox checks what plugins write, so this is rather due to the hook.
pub fn build(
    hook: &Hook,
    id: &str,
    request: Request,
    now: UnixMillis,
    token: Option<&Token>,
) -> Result<(http::Request<Full<Bytes>>, SentRequest), Fault> {
    let Request { method, url, headers, body } = request;
    let mut headers = sign_headers(hook, id, headers, body.as_bytes(), now);
    headers.retain(|(name, _)| !is_overridden(hook, name));
    let (body_bytes, body) = (body.as_bytes().len() as u64, shared(body));
    let mut sent = SentRequest { method, url, headers, body_bytes, body_kept_until: None, batch: None };
    let mut built = assemble(&sent, |_| true, body)?;
    if authorize(hook, &mut built, token)? {
        sent.headers.push((header::AUTHORIZATION.as_str().into(), MASK.into()));
    }
    Ok((built, sent))
}

/// Builds the same request once more from its record `sent` and its `body`.
///
/// # Errors
/// Fails like [`build`], so never after it.
pub fn build_again(
    hook: &Hook,
    sent: &SentRequest,
    body: Full<Bytes>,
    token: Option<&Token>,
) -> Result<http::Request<Full<Bytes>>, Fault> {
    let mut built = assemble(sent, |name| !is_overridden(hook, name), body)?;
    authorize(hook, &mut built, token)?;
    Ok(built)
}

/// Adds the hook's access token or its own authorization, if it has one.
fn authorize(
    hook: &Hook,
    built: &mut http::Request<Full<Bytes>>,
    token: Option<&Token>,
) -> Result<bool, Fault> {
    if let Some(token) = token {
        built.headers_mut().insert(header::AUTHORIZATION, token.header().clone());
        return Ok(true);
    }
    let Some(secret) = hook.secret_authorization() else { return Ok(false) };
    let mut value = HeaderValue::from_str(secret.reveal()).map_err(|_| {
        unsendable("the hook's authorization has characters that a header cannot carry".to_owned())
    })?;
    value.set_sensitive(true);
    built.headers_mut().insert(header::AUTHORIZATION, value);
    Ok(true)
}

/// The record of a request that may contain secrets from the preflight response: without the values of headers that plugins
/// wrote, and without the URL's query.
#[must_use]
pub fn without_secrets(mut sent: SentRequest) -> SentRequest {
    const PLAIN: [&str; 3] = ["accept", "content-type", "user-agent"];
    for (name, value) in &mut sent.headers {
        if !PLAIN.iter().any(|plain| name.eq_ignore_ascii_case(plain)) {
            *value = MASK.into();
        }
    }
    if let Some(query) = sent.url.find('?') {
        sent.url.truncate(query + 1);
        sent.url.push_str(MASK);
    }
    sent
}

/// Whether the hook's own authorization or access token replaces this header.
fn is_overridden(hook: &Hook, name: &str) -> bool {
    (hook.secret_authorization().is_some() || hook.oauth().is_some())
        && name.eq_ignore_ascii_case(header::AUTHORIZATION.as_str())
}

fn unsendable(what: String) -> Fault {
    Fault::new(FaultKind::InvalidOutput, what)
}

/// A request that is neither signed nor authorized, in hyper's terms.
///
/// # Errors
/// Fails like [`build`].
pub fn build_plain(request: Request) -> Result<http::Request<Full<Bytes>>, Fault> {
    let Request { method, url, headers, body } = request;
    let body_bytes = body.as_bytes().len() as u64;
    let written = SentRequest { method, url, headers, body_bytes, body_kept_until: None, batch: None };
    assemble(&written, |name| !is_reserved_header(name), shared(body))
}

fn shared(body: RequestBody) -> Full<Bytes> {
    Full::new(match body {
        RequestBody::None => Bytes::new(),
        RequestBody::Text(text) => Bytes::from_owner(SharedText(text)),
        RequestBody::Binary(bytes) => Bytes::from(bytes),
    })
}

/// Builds a request from `written`, with those of its headers that are `wanted`.
fn assemble(
    written: &SentRequest,
    wanted: impl Fn(&str) -> bool,
    body: Full<Bytes>,
) -> Result<http::Request<Full<Bytes>>, Fault> {
    let SentRequest { method, url, headers, .. } = written;
    let mut built = http::Request::new(body);
    *built.method_mut() = http::Method::from_bytes(method.as_bytes())
        .map_err(|_| unsendable(format!("`{method}` is not an HTTP method")))?;
    *built.uri_mut() = url.parse().map_err(|error| unsendable(format!("its URL: {error}")))?;
    let map = built.headers_mut();
    map.reserve(headers.len() + ADDED_HEADERS);
    for (name, value) in headers.iter().filter(|(name, _)| wanted(name)) {
        let parsed = header_name(name)?;
        let value = HeaderValue::from_str(value).map_err(|_| {
            unsendable(format!("the value of `{name}` has characters that a header cannot carry"))
        })?;
        map.append(parsed, value);
    }
    Ok(built)
}

fn header_name(name: &str) -> Result<HeaderName, Fault> {
    const OWN: [HeaderName; 4] = [
        HeaderName::from_static(signing::ID),
        HeaderName::from_static(signing::TIMESTAMP),
        HeaderName::from_static(signing::SIGNATURE),
        HeaderName::from_static(EVENT_TYPE),
    ];
    // These are on every request, and static names need not be copied.
    if let Some(own) = OWN.iter().find(|own| own.as_str() == name) {
        return Ok(own.clone());
    }
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsendable(format!("`{name}` is not a header name")))
}

/// Lets a body share the event's data.
struct SharedText(std::sync::Arc<str>);

impl AsRef<[u8]> for SharedText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SecretText;
    use crate::domain::hook::Authorization;
    use crate::domain::testing::{self, NOW, event};

    fn hook(authorization: Option<&str>) -> Hook {
        let authorization =
            authorization.map(|value| Authorization { value: SecretText::new(value), enabled: true });
        Hook {
            headers: vec![("x-two".into(), "1".into()), ("X-Two".into(), "2".into())],
            masked_headers: vec!["x-two".into()],
            authorization,
            ..testing::hook("https://example.com:8443/hook?a=1")
        }
    }

    #[test]
    fn what_differs_from_the_request_that_was_sent_is_named() {
        let (hook, event) = (hook(Some("Bearer secret")), event());
        let wanted = draft(&hook, &event);
        let (_, mut sent) = build(&hook, event.id.as_str(), wanted.clone(), NOW, None).unwrap();
        sent.mask(&hook, &[]);
        assert_eq!(differences(&hook, (&sent, None), &wanted), [""; 0], "masked values count as equal");
        assert_eq!(differences(&hook, (&sent, Some(br#"{"n""#)), &wanted), [""; 0]);
        assert_eq!(differences(&hook, (&sent, Some(br#"{"m": 1}"#)), &wanted), ["body"]);
        let other = Request {
            method: "PUT".into(),
            url: "https://example.com:8443/hook?a=2".to_owned(),
            headers: vec![("x-two".into(), "1".into())],
            body: RequestBody::None,
        };
        assert_eq!(differences(&hook, (&sent, None), &other), ["method", "url", "headers", "body"]);
    }

    #[test]
    fn a_request_that_is_built_again_is_the_same() {
        for authorization in [None, Some("Bearer secret")] {
            let (hook, event) = (hook(authorization), event());
            let mut draft = draft(&hook, &event);
            draft.headers.push(("Authorization".into(), "of a plugin".into()));
            draft.headers.push(("Webhook-Id".into(), "of a plugin".into()));
            let (built, sent) = build(&hook, event.id.as_str(), draft, NOW, None).unwrap();
            assert_eq!(built.headers()["authorization"], authorization.unwrap_or("of a plugin"));
            assert_eq!(built.headers()[signing::ID], event.id.as_str());
            assert!(!sent.headers.iter().any(|(_, value)| value.contains("Bearer")));
            assert_eq!(sent.body_bytes, 8);

            let again = build_again(&hook, &sent, built.body().clone(), None).unwrap();
            assert_eq!((again.method(), again.uri()), (built.method(), built.uri()));
            assert_eq!(again.headers(), built.headers());
        }
    }
}
