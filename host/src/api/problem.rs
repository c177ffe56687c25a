//! Problem details for HTTP APIs (RFC 9457): every error response of v3 has this form.
//!
//! Statuses:
//!
//! - 400: the request is invalid.
//! - 401 and 403: the caller lacks a key or a scope.
//! - 404: the resource does not exist, or belongs to another tenant.
//! - 405, 408, 413 and 415: as in HTTP (RFC 9110).
//! - 409: the request conflicts with stored state, or a tenant has the maximum number of resources.
//! - 429: a limit on the requests of the tenant, key or address is reached.
//! - 5xx: the engine failed. The failure is logged once, here; the response contains no internal details.

mod errors;

use std::borrow::Cow;
use std::fmt;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::pointer::Pointer;
use super::rate_limit;
use crate::domain::Invalid;
use crate::ingest::RateStatus;
use crate::log_limiter::LogLimiter;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $slug:literal, $title:literal;)+) => {
        /// The kind of problem. Each has its own `type`, `title` and status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $($(#[$doc])* $name),+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The last segment of the problem's `type`.
            #[must_use]
            pub fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug),+ }
            }

            /// A short summary that is the same for every problem of this kind.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }

            /// The HTTP status of the response.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),+ }
            }
        }
    };
}

kinds! {
    /// The body is not JSON, or is nested too deeply.
    MalformedJson = BAD_REQUEST, "malformed-json", "Malformed JSON";
    /// The object has a member that the request does not define.
    UnknownMember = BAD_REQUEST, "unknown-member", "Unknown member";
    /// The object lacks a required member.
    MissingMember = BAD_REQUEST, "missing-member", "Missing member";
    /// The object has two members of the same name.
    DuplicateMember = BAD_REQUEST, "duplicate-member", "Duplicate member";
    /// The value has another JSON type than expected.
    WrongType = BAD_REQUEST, "wrong-type", "Wrong type";
    /// The value has the right type and breaks a rule.
    InvalidValue = BAD_REQUEST, "invalid-value", "Invalid value";
    /// The request does not define this query parameter.
    UnknownParameter = BAD_REQUEST, "unknown-parameter", "Unknown query parameter";
    /// The query parameter or header breaks a rule.
    InvalidParameter = BAD_REQUEST, "invalid-parameter", "Invalid query parameter or header";
    /// The connection was closed before the body was complete, or the body is framed incorrectly.
    UnreadableBody = BAD_REQUEST, "unreadable-body", "Unreadable body";
    /// The upload is not a plugin that this engine can run.
    InvalidPlugin = BAD_REQUEST, "invalid-plugin", "Invalid plugin";
    /// The request has no API key, or an unknown one.
    Unauthenticated = UNAUTHORIZED, "unauthenticated", "Authentication required";
    /// The API key lacks the permission.
    Forbidden = FORBIDDEN, "forbidden", "Permission denied";
    /// The operator has suspended the tenant.
    TenantSuspended = FORBIDDEN, "tenant-suspended", "Tenant suspended";
    /// The resource does not exist, or the key cannot see it.
    NotFound = NOT_FOUND, "not-found", "Not found";
    /// The path exists and does not support the method.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed";
    /// The request did not arrive in time.
    RequestTimeout = REQUEST_TIMEOUT, "request-timeout", "Request timeout";
    /// The request conflicts with stored state.
    Conflict = CONFLICT, "conflict", "Conflict with stored state";
    /// The tenant has as many resources of this kind as are allowed.
    LimitReached = CONFLICT, "limit-reached", "Limit reached";
    /// The body or a value exceeds its maximum size.
    TooLarge = PAYLOAD_TOO_LARGE, "too-large", "Content too large";
    /// The request does not support the body's content type or encoding.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Unsupported media type";
    /// A limit on the requests of one tenant, key or address is reached.
    TooManyRequests = TOO_MANY_REQUESTS, "too-many-requests", "Too many requests";
    /// The tenant has as much stored as is allowed.
    StorageFull = TOO_MANY_REQUESTS, "storage-full", "Storage limit reached";
    /// The engine failed.
    Internal = INTERNAL_SERVER_ERROR, "internal", "Internal error";
    /// The engine cannot serve the request at the moment.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "Service unavailable";
}

/// The part of the request that has the problem.
#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Request,
    Body(Pointer),
    Parameter(Cow<'static, str>),
}

/// An error response. See the [module documentation](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    at: At,
    later: Later,
}

/// When another try makes sense. All surfaces tell it in the same header fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Later {
    /// After how many seconds to try again, if it is known.
    retry_after_s: Option<u64>,
    /// The rate that was exceeded.
    rate: Option<RateStatus>,
}

impl Later {
    /// Adds what is known to `response`. One with a status that asks for it has `Retry-After` in any case.
    pub(super) fn add_to(self, response: Response) -> Response {
        let mut response = with_retry_after(response);
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        rate_limit::with_status(response, self.rate)
    }
}

impl Problem {
    /// A problem with the request as a whole.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), at: At::Request, later: Later::default() }
    }

    /// A problem with the value at `pointer` in the body.
    pub fn at(kind: Kind, pointer: Pointer, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { at: At::Body(pointer), ..Self::new(kind, detail) }
    }

    /// A value in the body that breaks a rule of the domain.
    #[must_use]
    pub fn invalid(pointer: Pointer, Invalid(rule): Invalid) -> Self {
        Self::at(Kind::InvalidValue, pointer, rule)
    }

    /// A query parameter or header that breaks a rule.
    pub fn parameter(name: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::InvalidParameter, detail).of_parameter(name)
    }

    /// Names the query parameter or header that has the problem.
    #[must_use]
    pub fn of_parameter(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { at: At::Parameter(name.into()), ..self }
    }

    /// Tells after how many seconds to try again, and which rate was exceeded.
    #[must_use]
    pub fn later(self, retry_after_s: Option<u64>, rate: Option<RateStatus>) -> Self {
        Self { later: Later { retry_after_s, rate }, ..self }
    }

    /// There is no `what` with the name or id `which`, or another tenant owns it: the response is the same
    /// for both.
    #[must_use]
    pub fn not_found(what: &str, which: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no {what} `{}`", shorten(which)))
    }

    /// The engine failed. Logs `error`, which the response does not contain.
    pub fn internal(doing: &'static str, error: &dyn std::error::Error) -> Self {
        tracing::error!(doing, error = in_words(error), "request failed");
        Self::new(Kind::Internal, "the engine failed; the operator finds the reason in the engine's log")
    }

    /// The engine cannot serve the request at the moment. Logs `error`, which the response does not contain: the first one,
    /// and then one now and then, because all requests may fail for the same reason.
    pub fn unavailable(doing: &'static str, error: &dyn std::error::Error) -> Self {
        static LOGGED: LogLimiter = LogLimiter::new();
        if let Some(unlogged) = LOGGED.permit() {
            tracing::error!(doing, unlogged, error = in_words(error), "requests fail");
        }
        Self::new(Kind::Unavailable, "the engine cannot serve this request at the moment; try again later")
    }

    /// The kind of problem.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// When to try again, for surfaces that write problems in another form.
    pub(super) fn when(&self) -> Later {
        self.later
    }

    /// What is wrong with this request, for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The value that has the problem, if the problem is in the body.
    #[must_use]
    pub fn pointer(&self) -> Option<&Pointer> {
        match &self.at {
            At::Body(pointer) => Some(pointer),
            At::Request | At::Parameter(_) => None,
        }
    }

    /// Moves the problem to one line of a batch: prefixes the pointer and the detail with the line number.
    #[must_use]
    pub fn in_line(self, number: usize) -> Self {
        let at = match self.at {
            At::Body(pointer) => At::Body(Pointer::root().index(number).join(&pointer)),
            At::Request => At::Body(Pointer::root().index(number)),
            parameter @ At::Parameter(_) => parameter,
        };
        Self { detail: format!("line {number}: {}", self.detail).into(), at, ..self }
    }

    /// Moves the problem to a nested value: prefixes the pointer with `parent`.
    #[must_use]
    pub fn under(self, parent: &Pointer) -> Self {
        let at = match self.at {
            At::Body(pointer) => At::Body(parent.clone().join(&pointer)),
            At::Request => At::Body(parent.clone()),
            parameter @ At::Parameter(_) => parameter,
        };
        Self { at, ..self }
    }
}

/// `text` cut to 100 characters, for messages that quote the caller.
pub(super) fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(100) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}

/// A problem as it is sent (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// A URI reference that identifies the kind of problem. It is stable across versions.
    #[serde(rename = "type")]
    #[schema(example = "/problems/unknown-member")]
    kind: String,
    /// A short summary, the same for every problem of this type.
    title: &'static str,
    /// The HTTP status of the response.
    #[schema(example = 400)]
    status: u16,
    /// What is wrong with this request, what was expected, and what to do. For people: the text may change.
    detail: &'a str,
    /// The value in the body that has the problem, as a JSON pointer (RFC 6901). In a batch, the first
    /// segment is the line number, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "/pipeline/0/plugin")]
    pointer: Option<&'a Pointer>,
    /// The query parameter or header that has the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    parameter: Option<&'a str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let parameter = match &self.at {
            At::Parameter(name) => Some(name.as_ref()),
            At::Request | At::Body(_) => None,
        };
        let status = self.kind.status();
        let body = ProblemBody {
            kind: format!("/problems/{}", self.kind.slug()),
            title: self.kind.title(),
            status: status.as_u16(),
            detail: &self.detail,
            pointer: self.pointer(),
            parameter,
        };
        let text = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response();
        if self.kind == Kind::Unauthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        self.later.add_to(response)
    }
}

/// Tells the client, in seconds, when to try again, if the response is one that asks for it.
pub(super) fn with_retry_after(mut response: Response) -> Response {
    if matches!(response.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_type() {
        let mut slugs: Vec<_> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Kind::ALL.len());
    }

    #[test]
    fn the_pointer_of_a_batch_begins_with_the_line_number() {
        let problem = Problem::at(Kind::WrongType, Pointer::to("type"), "not a string");
        let problem = problem.in_line(17);
        assert_eq!(problem.pointer().map(Pointer::as_str), Some("/17/type"));
        assert_eq!(problem.detail(), "line 17: not a string");
        let whole = Problem::new(Kind::MalformedJson, "no JSON").in_line(2);
        assert_eq!(whole.pointer().map(Pointer::as_str), Some("/2"));
    }

    #[test]
    fn long_names_are_shortened() {
        assert_eq!(shorten("hook_1"), "hook_1");
        assert_eq!(shorten(&"ä".repeat(5_000)).chars().count(), 101);
    }
}
