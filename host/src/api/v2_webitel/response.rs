//! The envelopes of all responses: `{"status":"OK","data":…}` and `{"status":"error","info":…}`.

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use crate::api::problem::{Kind, Later, Problem};
use crate::directory::DirectoryError;
use crate::services::SettingsError;

/// A successful response. Its status is always 200.
#[derive(Debug, Serialize)]
pub(super) struct Success<T> {
    status: &'static str,
    data: T,
}

impl<T: Serialize> Success<T> {
    /// A response with `data`.
    pub(super) fn with(data: T) -> Self {
        Self { status: "OK", data }
    }
}

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// The result of a write, as the database of the original API (MongoDB) reports it.
#[derive(Debug, Serialize)]
pub(super) struct WriteResult {
    ok: u8,
    #[serde(rename = "nModified", skip_serializing_if = "Option::is_none")]
    modified: Option<u8>,
    n: u8,
}

impl WriteResult {
    /// The result of an insertion or deletion.
    pub(super) fn count(n: bool) -> Self {
        Self { ok: 1, modified: None, n: n.into() }
    }

    /// The result of a replacement.
    pub(super) fn replaced(n: bool) -> Self {
        Self { ok: 1, modified: Some(n.into()), n: n.into() }
    }
}

/// An error response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    info: Cow<'static, str>,
    code: Option<&'static str>,
    later: Later,
}

impl ApiError {
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn new(status: StatusCode, info: impl Into<Cow<'static, str>>) -> Self {
        Self { status, info: info.into(), code: None, later: Later::default() }
    }

    /// The request is invalid.
    pub(super) fn bad(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("Bad request: {what}."))
    }

    /// The caller lacks the permission.
    pub(super) fn denied() -> Self {
        Self::new(StatusCode::FORBIDDEN, "Permission denied!")
    }

    /// The domain does not exist, or belongs to another tenant.
    pub(super) fn no_domain() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found domain")
    }

    /// The message.
    #[cfg(test)]
    pub(super) fn info(&self) -> &str {
        &self.info
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    status: &'static str,
    info: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let written = ErrorBody { status: "error", info: &self.info, code: self.code };
        self.later.add_to((self.status, Json(written)).into_response())
    }
}

/// Converts errors of modules that all surfaces share. The kind of problem becomes the `code`.
impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let kind = problem.kind();
        let refusal = match kind.status() {
            StatusCode::BAD_REQUEST => Self::bad(problem.detail()),
            status => Self::new(status, problem.detail().to_owned()),
        };
        let code = (kind != Kind::Forbidden).then(|| kind.slug());
        Self { code, later: problem.when(), ..refusal }
    }
}

impl From<SettingsError> for ApiError {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::Rejected { .. } => Self::bad(format_args!("action.settings: {error}")),
            error => Problem::from(error).into(),
        }
    }
}

impl From<DirectoryError> for ApiError {
    fn from(error: DirectoryError) -> Self {
        Problem::from(error).into()
    }
}
