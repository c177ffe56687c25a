//! Problem details for HTTP APIs (RFC 9457): the only form in which v3 refuses a request.
//!
//! One rule for statuses: 400 for whatever is wrong with what was sent, 401 and 403 for who sent it,
//! 404 for what isn't there (or is another tenant's), 405, 413 and 415 as HTTP has them, 409 where
//! the state of things stands against it, 429 where a limit of the tenant, key or address is reached. 5xx is for the engine's own failures alone: those are
//! logged here, once, and their answers tell nothing of the inside.

use std::borrow::Cow;
use std::fmt;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::pointer::Pointer;
use crate::directory::DirectoryError;
use crate::domain::Invalid;
use crate::ingest::TestError;
use crate::sandbox::SandboxError;
use crate::storage::StorageError;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $slug:literal, $title:literal;)+) => {
        /// What can be wrong: each has its own `type`, `title` and status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $($(#[$doc])* $name),+ }

        impl Kind {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The last segment of the problem's `type`.
            #[must_use]
            pub fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug),+ }
            }

            /// What it is, in a few words that never change.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }

            /// The status of the answer.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),+ }
            }
        }
    };
}

kinds! {
    /// The body isn't JSON, or not the shape of JSON that this engine takes.
    MalformedJson = BAD_REQUEST, "malformed-json", "The body is not valid JSON";
    /// A member that isn't part of the request.
    UnknownMember = BAD_REQUEST, "unknown-member", "A member is not known";
    /// A member that must be there.
    MissingMember = BAD_REQUEST, "missing-member", "A member is missing";
    /// A member that stands twice.
    DuplicateMember = BAD_REQUEST, "duplicate-member", "A member stands twice";
    /// A JSON value of another type than wanted.
    WrongType = BAD_REQUEST, "wrong-type", "A value has the wrong type";
    /// A value of the right type which breaks a rule.
    InvalidValue = BAD_REQUEST, "invalid-value", "A value is not acceptable";
    /// A query parameter that isn't part of the request.
    UnknownParameter = BAD_REQUEST, "unknown-parameter", "A query parameter is not known";
    /// A query parameter or header that breaks a rule.
    InvalidParameter = BAD_REQUEST, "invalid-parameter", "A query parameter or header is not acceptable";
    /// The connection broke off, or the body is framed wrongly.
    UnreadableBody = BAD_REQUEST, "unreadable-body", "The body could not be read";
    /// An upload that is no plugin.
    InvalidPlugin = BAD_REQUEST, "invalid-plugin", "The upload is not a plugin that can run here";
    /// No key, or none that is known.
    Unauthenticated = UNAUTHORIZED, "unauthenticated", "A known API key is needed";
    /// The key may not do that.
    Forbidden = FORBIDDEN, "forbidden", "The API key may not do that";
    /// Nothing of that name or id, as far as the key can see.
    NotFound = NOT_FOUND, "not-found", "There is no such thing";
    /// The path is there, the method isn't.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here";
    /// The request did not arrive in time.
    RequestTimeout = REQUEST_TIMEOUT, "request-timeout", "The request did not arrive in time";
    /// The state of things stands against it.
    Conflict = CONFLICT, "conflict", "The request conflicts with what is there";
    /// A bound on how many there may be is reached.
    LimitReached = CONFLICT, "limit-reached", "A limit is reached";
    /// More bytes than are taken.
    TooLarge = PAYLOAD_TOO_LARGE, "too-large", "The request is too large";
    /// A content type or encoding that isn't taken.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body's media type is not taken here";
    /// A limit on how much one tenant, key or address may ask for at the same time or in a time is reached.
    TooManyRequests = TOO_MANY_REQUESTS, "too-many-requests", "Too many requests";
    /// The engine's own failure.
    Internal = INTERNAL_SERVER_ERROR, "internal", "The engine failed";
    /// The engine cannot do it right now.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "The engine cannot do that right now";
}

/// Where in the request the fault lies.
#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Request,
    Body(Pointer),
    Parameter(Cow<'static, str>),
}

/// A refusal. See the module's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    at: At,
}

impl Problem {
    /// A problem with the request as a whole.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), at: At::Request }
    }

    /// A problem with the value at `pointer` in the body.
    pub fn at(kind: Kind, pointer: Pointer, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), at: At::Body(pointer) }
    }

    /// A value of the body that breaks a rule of the domain.
    #[must_use]
    pub fn invalid(pointer: Pointer, Invalid(rule): Invalid) -> Self {
        Self::at(Kind::InvalidValue, pointer, rule)
    }

    /// A query parameter or header that breaks a rule.
    pub fn parameter(name: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::InvalidParameter, detail).of_parameter(name)
    }

    /// The same, with the query parameter or header where the fault lies.
    #[must_use]
    pub fn of_parameter(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { at: At::Parameter(name.into()), ..self }
    }

    /// `what` with the name or id `which` isn't there, or isn't the caller's: nobody can tell which.
    #[must_use]
    pub fn not_found(what: &str, which: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no {what} `{}`", shorten(which)))
    }

    /// The engine failed: logs `error` and answers without it.
    pub fn internal(doing: &'static str, error: &dyn std::error::Error) -> Self {
        log_failure(doing, error);
        Self::new(Kind::Internal, "the engine failed; its operator finds the reason in its log")
    }

    /// The engine cannot do it now: logs `error` and answers without it.
    pub fn unavailable(doing: &'static str, error: &dyn std::error::Error) -> Self {
        log_failure(doing, error);
        Self::new(Kind::Unavailable, "the engine cannot do that right now; try again in a moment")
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is wrong with this request, in words.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Where in the body the fault lies, if it lies there.
    #[must_use]
    pub fn pointer(&self) -> Option<&Pointer> {
        match &self.at {
            At::Body(pointer) => Some(pointer),
            At::Request | At::Parameter(_) => None,
        }
    }

    /// The problem of one line of a body that has many: the pointer begins with the line's number.
    #[must_use]
    pub fn in_line(self, number: usize) -> Self {
        let at = match self.at {
            At::Body(pointer) => At::Body(Pointer::root().index(number).join(&pointer)),
            At::Request => At::Body(Pointer::root().index(number)),
            parameter @ At::Parameter(_) => parameter,
        };
        Self { kind: self.kind, detail: format!("line {number}: {}", self.detail).into(), at }
    }

    /// The problem of a member of the body: the pointer begins with that of the member.
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

/// What of a caller's text is repeated to it: enough to know it by.
pub(super) fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(100) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

fn log_failure(doing: &'static str, error: &dyn std::error::Error) {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    tracing::error!(doing, error = words, "request failed");
}

/// A problem as it is sent (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// A URI reference that names the kind of problem and never changes.
    #[serde(rename = "type")]
    #[schema(example = "/problems/unknown-member")]
    kind: String,
    /// The kind of problem in words that never change.
    title: &'static str,
    /// The status of the answer.
    #[schema(example = 400)]
    status: u16,
    /// What is wrong with this very request.
    detail: &'a str,
    /// Where in the body: a JSON pointer (RFC 6901). In a batch its first segment is the number of the line, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "/pipeline/0/plugin")]
    pointer: Option<&'a Pointer>,
    /// The query parameter or header where the fault lies.
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
        let headers = response.headers_mut();
        match self.kind {
            Kind::Unauthenticated => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Kind::Unavailable | Kind::TooManyRequests => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        match &error {
            StorageError::Taken { .. } => Self::new(Kind::Conflict, error.to_string()),
            StorageError::TooManyReads => {
                Self::new(Kind::TooManyRequests, format!("{error}; wait for their answers, then try again"))
            }
            StorageError::NoSpace => Self::new(
                Kind::Unavailable,
                "the engine's disk is full: nothing new is taken until its operator makes room; reading and deleting go on",
            ),
            StorageError::Damaged { .. } => Self::internal("reading from storage", &error),
            _ => Self::unavailable("using storage", &error),
        }
    }
}

impl From<DirectoryError> for Problem {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Taken(what) | DirectoryError::InUse(what) => Self::new(Kind::Conflict, what),
            DirectoryError::NoProject(_) => {
                Self::at(Kind::InvalidValue, Pointer::to("project"), error.to_string())
            }
            DirectoryError::NoPlugin { step, .. } => {
                let here = Pointer::to("pipeline").index(step).member("plugin");
                Self::at(Kind::InvalidValue, here, error.to_string())
            }
            DirectoryError::TooManyChanges => {
                Self::new(Kind::TooManyRequests, format!("{error}; wait for their answers, then try again"))
            }
            DirectoryError::TooMany(what) => Self::new(Kind::LimitReached, what),
            DirectoryError::Storage(error) => error.into(),
        }
    }
}

impl From<TestError> for Problem {
    fn from(error: TestError) -> Self {
        match error {
            TestError::Busy => Self::new(Kind::Unavailable, error.to_string()),
            TestError::Storage(error) => error.into(),
        }
    }
}

impl From<SandboxError> for Problem {
    fn from(error: SandboxError) -> Self {
        Self::unavailable("running a plugin", &error)
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
    fn a_line_number_leads_the_pointer() {
        let problem = Problem::at(Kind::WrongType, Pointer::to("type"), "not a string");
        let problem = problem.in_line(17);
        assert_eq!(problem.pointer().map(Pointer::as_str), Some("/17/type"));
        assert_eq!(problem.detail(), "line 17: not a string");
        let whole = Problem::new(Kind::MalformedJson, "no JSON").in_line(2);
        assert_eq!(whole.pointer().map(Pointer::as_str), Some("/2"));
    }

    #[test]
    fn long_names_are_not_repeated_in_full() {
        assert_eq!(shorten("hook_1"), "hook_1");
        assert_eq!(shorten(&"ä".repeat(5_000)).chars().count(), 101);
    }
}
