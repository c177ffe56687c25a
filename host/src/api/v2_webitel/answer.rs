//! The forms of all answers: `{"status":"OK","data":…}` and `{"status":"error","info":…}`.

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use crate::api::problem::{Kind, Problem};
use crate::directory::DirectoryError;

/// An answer with something in it. Its status is always 200.
#[derive(Debug, Serialize)]
pub(super) struct Done<T> {
    status: &'static str,
    data: T,
}

impl<T: Serialize> Done<T> {
    /// An answer with `data` in it.
    pub(super) fn with(data: T) -> Self {
        Self { status: "OK", data }
    }
}

impl<T: Serialize> IntoResponse for Done<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// What the original's database says of a change.
#[derive(Debug, Serialize)]
pub(super) struct Changed {
    ok: u8,
    #[serde(rename = "nModified", skip_serializing_if = "Option::is_none")]
    modified: Option<u8>,
    n: u8,
}

impl Changed {
    /// So much was made or removed.
    pub(super) fn count(n: bool) -> Self {
        Self { ok: 1, modified: None, n: n.into() }
    }

    /// So much was replaced.
    pub(super) fn replaced(n: bool) -> Self {
        Self { ok: 1, modified: Some(n.into()), n: n.into() }
    }
}

/// A refusal, in this surface's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    info: Cow<'static, str>,
    code: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, info: impl Into<Cow<'static, str>>) -> Self {
        Self { status, info: info.into(), code: None }
    }

    /// Something is wrong with what was sent.
    pub(super) fn bad(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("Bad request: {what}."))
    }

    /// The caller may not do that.
    pub(super) fn denied() -> Self {
        Self::new(StatusCode::FORBIDDEN, "Permission denied!")
    }

    /// There is no such domain, or it is another's: nobody can tell which.
    pub(super) fn no_domain() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found domain")
    }

    /// What is wrong, in words.
    #[cfg(test)]
    pub(super) fn info(&self) -> &str {
        &self.info
    }
}

#[derive(Serialize)]
struct Written<'a> {
    status: &'static str,
    info: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let written = Written { status: "error", info: &self.info, code: self.code };
        (self.status, Json(written)).into_response()
    }
}

/// What is shared by all surfaces refuses with problems: those have a kind, which is the refusal's code.
impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let kind = problem.kind();
        let refusal = match kind.status() {
            StatusCode::BAD_REQUEST => Self::bad(problem.detail()),
            status => Self::new(status, problem.detail().to_owned()),
        };
        Self { code: (kind != Kind::Forbidden).then(|| kind.slug()), ..refusal }
    }
}

impl From<DirectoryError> for Refusal {
    fn from(error: DirectoryError) -> Self {
        Problem::from(error).into()
    }
}
